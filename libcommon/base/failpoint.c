#include "base/failpoint.h"

#ifdef WEFT_FAILPOINTS

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct failpoint_row *rows;
static size_t row_count;
static char process[FAILPOINT_NAME_BYTES / 2]; /* "transformer.1", "weftd" */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void map_rows(void)
{
	const char *path = getenv("WEFT_FAILPOINT_FILE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	struct stat st;
	void *at = MAP_FAILED;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0)
		at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
			  MAP_SHARED, fd, 0);
	if (at != MAP_FAILED) {
		rows = at;
		row_count = (size_t)st.st_size / sizeof(*rows);
	}
	if (fd >= 0)
		close(fd);
}

/* The word behind `option` among `bytes` of words that each end with a 0. */
static const char *word_behind(const char *words, size_t bytes,
			       const char *option)
{
	for (size_t at = 0; at < bytes; at += strlen(words + at) + 1)
		if (strcmp(words + at, option) == 0 &&
		    at + strlen(option) + 1 < bytes)
			return words + at + strlen(option) + 1;
	return NULL;
}

/* Services are started as `program --name ROW --instance N`. */
static void name_process(void)
{
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	char words[4096] = "";
	const char *row = NULL, *instance = NULL;
	ssize_t n = fd < 0 ? 0 : read(fd, words, sizeof(words) - 1);

	if (n > 0) {
		row = word_behind(words, (size_t)n, "--name");
		instance = word_behind(words, (size_t)n, "--instance");
	}
	if (row && instance)
		snprintf(process, sizeof(process), "%.32s.%.8s", row, instance);
	else
		snprintf(process, sizeof(process), "%.40s",
			 program_invocation_short_name);
	if (fd >= 0)
		close(fd);
}

static void begin(void)
{
	map_rows();
	name_process();
}

/* Two threads that look at the same time find the same. */
static void find_row(struct failpoint *p)
{
	char name[FAILPOINT_NAME_BYTES];

	pthread_once(&once, begin);
	snprintf(name, sizeof(name), "%s:%s", process, p->name);
	for (size_t i = 0; i < row_count; i++)
		if (strncmp(rows[i].name, name, sizeof(name)) == 0)
			__atomic_store_n(&p->row, &rows[i], __ATOMIC_RELEASE);
	__atomic_store_n(&p->known, true, __ATOMIC_RELEASE);
}

void failpoint_pass(struct failpoint *p)
{
	struct failpoint_row *row;
	int64_t left;

	if (!__atomic_load_n(&p->known, __ATOMIC_ACQUIRE))
		find_row(p);
	row = __atomic_load_n(&p->row, __ATOMIC_ACQUIRE);
	if (!row)
		return;
	__atomic_add_fetch(&row->passes, 1, __ATOMIC_RELAXED);
	left = __atomic_load_n(&row->countdown, __ATOMIC_ACQUIRE);
	while (left > 0 && !__atomic_compare_exchange_n(
			       &row->countdown, &left, left - 1, false,
			       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		continue;
	if (left != 1)
		return;
	__atomic_add_fetch(&row->fired, 1, __ATOMIC_ACQ_REL);
	kill(getpid(), (int)row->signal);
}

#endif
