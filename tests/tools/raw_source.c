/*
 * A source that checks nothing, for tests in Python: its events reach the
 * transformer as feeds will bring them, and what is wrong with them is found
 * there.
 *
 *   raw_source RUN_DIR CONTRACT_SET
 *
 * sends the lines of standard input, STREAM, a tab and an event each, as one
 * batch that names the contract set (16 hex digits), and ends when all sinks
 * have it. Exit code 1 when they do not within 30 s.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/uuid.h"
#include "bus/bus.h"

#define PATIENCE_US 30000000

struct sending {
	struct batch *batch;
	struct bus_source *source;
	bool freed;
};

static int on_read(void *arg, uint64_t *position, uint64_t *next,
		   struct batch **b, struct err *err)
{
	struct sending *s = arg;

	(void)err;
	if (*position >= 100)
		return 0;
	*next = 100;
	*b = batch_ref(s->batch);
	return 1;
}

static void on_freed(void *arg, uint64_t position)
{
	((struct sending *)arg)->freed = position >= 100;
}

static void on_begin(void *arg, uint64_t above)
{
	struct sending *s = arg;

	bus_source_begin(s->source, above + 1, 0, 0);
}

/* The text of event_id in the line, which has no escapes. */
static void find_id(const char *line, struct batch_event *e)
{
	const char *id = strstr(line, "\"event_id\":\"");

	if (!id)
		return;
	id += strlen("\"event_id\":\"");
	e->id_offset = e->offset + (uint32_t)(id - line);
	e->id_bytes = (uint16_t)strcspn(id, "\"");
}

static void add(struct batch_builder *w, char *line)
{
	struct batch_event e = {.offset = batch_builder_offset(w)};
	char *event = strchr(line, '\t');
	size_t bytes;

	if (!event)
		exit(2);
	*event++ = '\0';
	event[strcspn(event, "\n")] = '\0';
	bytes = strlen(event);
	e.bytes = (uint32_t)bytes;
	e.stream = batch_builder_stream(w, line, strlen(line));
	find_id(event, &e);
	memcpy(batch_builder_room(w, bytes + 1), event, bytes);
	batch_builder_room(w, bytes + 1)[bytes] = '\n';
	batch_builder_commit(w, bytes + 1);
	batch_builder_event(w, &e);
}

static struct batch *read_batch(uint64_t set)
{
	const struct batch_header header = {.created_at_us = clock_wall_us(),
					    .contract_set = set};
	struct batch_builder *w = batch_builder_new();
	struct batch *b;
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0)
		add(w, line);
	free(line);
	b = batch_builder_seal(w, &header);
	batch_builder_free(&w);
	return b;
}

int main(int argc, char **argv)
{
	int64_t until_us = clock_mono_us() + PATIENCE_US;
	struct sending s = {0};
	struct bus_endpoint peer = {.link = "raw"};
	struct bus_source_options options = {.id = uuid_new(),
					     .window_bytes = 8 << 20,
					     .silence_us = 2000000,
					     .drain_us = 1000000,
					     .peers = &peer,
					     .peer_count = 1};
	struct bus_source_events events = {
	    .read = on_read, .freed = on_freed, .begin = on_begin, .arg = &s};
	struct loop *loop = loop_new();
	struct bus *bus = bus_new(loop);
	struct err err;

	if (argc != 3)
		return 2;
	snprintf(peer.data, sizeof(peer.data), "ipc://%s/raw.0", argv[1]);
	snprintf(peer.state, sizeof(peer.state), "ipc://%s/raw.0.state",
		 argv[1]);
	s.batch = read_batch(strtoull(argv[2], NULL, 16));
	if (bus_source_open(&s.source, bus, &options, &events, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	bus_source_begin(s.source, 1, 0, 0);
	while (!s.freed && clock_mono_us() < until_us)
		loop_turn(loop, 10000);
	bus_source_close(&s.source);
	batch_unref(&s.batch);
	bus_free(&bus);
	loop_free(&loop);
	return s.freed ? 0 : 1;
}
