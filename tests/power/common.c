#include "tests/power/common.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "tests/power/record.h"

#define CHECK_SECONDS 30

static int answer_fd = -1; /* while a state is checked */

void promise(const char *format, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (record_promise)
		record_promise(text, (size_t)n);
}

void bad(const char *format, ...)
{
	char text[900];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	dprintf(answer_fd >= 0 ? answer_fd : STDERR_FILENO, "bad %s\n", text);
	_exit(1);
}

void draw_seed(struct draw *d, uint64_t seed)
{
	d->state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	for (int i = 0; i < 8; i++)
		draw(d, 2); /* small seeds start alike */
}

uint64_t draw(struct draw *d, uint64_t below)
{
	d->state ^= d->state >> 12;
	d->state ^= d->state << 25;
	d->state ^= d->state >> 27;
	return (d->state * UINT64_C(0x2545f4914f6cdd1d) >> 33) % below;
}

char **read_promises(const char *path, size_t *count)
{
	char **lines = NULL, *line = NULL;
	size_t size = 0;
	ssize_t n;
	FILE *f;

	*count = 0;
	if (!*path)
		return NULL;
	f = fopen(path, "r");
	MUST(f, "%s: %s", path, strerror(errno));
	while ((n = getline(&line, &size, f)) > 0) {
		line[n - 1] = '\0';
		lines = xreallocarray(lines, *count + 1, sizeof(*lines));
		lines[(*count)++] = xstrdup(line);
	}
	free(line);
	fclose(f);
	return lines;
}

/* In a process of its own: a crash is an answer too. */
static void check_one(const struct subject *subject, const char *folder,
		      const char *promises)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		alarm(CHECK_SECONDS);
		answer_fd = STDOUT_FILENO;
		subject->check(folder, promises);
		if (write(answer_fd, "ok\n", 3) != 3)
			_exit(1);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		exit(1);
	if (WIFSIGNALED(status))
		dprintf(STDOUT_FILENO, "bad the program ended by signal %d\n",
			WTERMSIG(status));
}

static int check_all(const struct subject *subject)
{
	char *line = NULL, *space;
	size_t size = 0;
	ssize_t n;

	while ((n = getline(&line, &size, stdin)) > 0) {
		line[n - 1] = '\0';
		space = strchr(line, ' ');
		if (!space)
			return 2;
		*space = '\0';
		check_one(subject, line, space + 1);
	}
	free(line);
	return 0;
}

int power_main(int argc, char **argv, const struct subject *subject)
{
	log_open("power", getenv("VERBOSE") ? LOG_INFO : LOG_ERROR, LOG_LOGFMT);
	if (argc == 2 && strcmp(argv[1], "check") == 0)
		return check_all(subject);
	if (argc != 6 || strcmp(argv[1], "run") != 0)
		return 2;
	subject->run(argv[2], strtoull(argv[3], NULL, 10),
		     strtoull(argv[4], NULL, 10), argv[5]);
	return 0;
}

struct batch *make_batch(struct batch_builder *w, uint64_t sequence,
			 uint32_t events, size_t bytes)
{
	struct batch_header header = {.created_at_us = 1000000,
				      .flags = BATCH_MAPPED};
	uint16_t stream = batch_builder_stream(w, "orders", 6);

	for (uint32_t i = 0; i < events; i++) {
		struct batch_event event = {.stream = stream};
		char *line = batch_builder_room(w, bytes + 64);
		int n =
		    snprintf(line, bytes + 64,
			     "{\"n\":%" PRIu64 ",\"i\":%u,\"fill\":\"%0*d\"}",
			     sequence, i, (int)bytes, i);

		line[n] = '\n';
		event.offset = batch_builder_offset(w);
		event.bytes = (uint32_t)n;
		batch_builder_commit(w, (size_t)n + 1);
		batch_builder_event(w, &event);
	}
	return batch_builder_seal(w, &header);
}

uint64_t sequence_of(const struct batch *b)
{
	uint64_t sequence = 0;
	size_t bytes = b->header.payload_bytes;
	char begin[32] = "";

	memcpy(begin, b->payload, bytes < 31 ? bytes : 31);
	MUST(sscanf(begin, "{\"n\":%" SCNu64, &sequence) == 1,
	     "a batch that nobody made");
	return sequence;
}
