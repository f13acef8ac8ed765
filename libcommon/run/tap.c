#include "run/tap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "contract/mapper.h"
#include "proto/control.h"
#include "run/private.h"

#define MOST_A_SECOND 1000
#define SECOND_US     INT64_C(1000000)

struct tap {
	struct run *run;
	struct bus_tap *bus;	 /* NULL: could not be opened */
	struct mapper *mapper;	 /* made when it is first needed */
	struct batch_builder *w; /* likewise */
	struct buf message;
	int64_t second_mono_us; /* when the present one began */
	uint32_t shown;		/* in it */
	uint64_t left_out;	/* since the last message */
	uint32_t chosen_count;
	uint32_t chosen[MOST_A_SECOND]; /* events of the batch at hand */
};

static int find_endpoint(const struct run *run, char *endpoint, size_t bytes,
			 struct err *err)
{
	const char *dir = run->conf->pipeline->run_dir;
	int n = snprintf(endpoint, bytes, "ipc://%s/" CONTROL_TAP, dir,
			 run->name, run->instance);
	size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	if (n > 0 && (size_t)n < bytes && (size_t)n - 6 <= most)
		return 0;
	return err_set(err, ENAMETOOLONG,
		       "the path of the tap in %s is too long for a socket",
		       dir);
}

struct tap *tap_new(struct run *run)
{
	struct tap *t = xcalloc(1, sizeof(*t));
	char quoted[LOG_QUOTE_BYTES], endpoint[256];
	struct err err;

	t->run = run;
	if (find_endpoint(run, endpoint, sizeof(endpoint), &err) != 0 ||
	    bus_tap_open(&t->bus, run->bus, endpoint, &err) != 0)
		log_warn("tap_unavailable",
			 "error=%s hint=\"pipelinectl tap shows nothing of "
			 "this process; a shorter run_dir helps\"",
			 log_quote(quoted, err.text));
	return t;
}

void tap_free(struct tap **tap)
{
	struct tap *t = *tap;

	if (!t)
		return;
	bus_tap_close(&t->bus);
	mapper_free(&t->mapper);
	batch_builder_free(&t->w);
	buf_free(&t->message);
	free(t);
	*tap = NULL;
}

bool tap_is_wanted(const struct tap *t)
{
	return t->bus && bus_tap_active(t->bus);
}

/* How many events more may be shown in this second. */
static uint32_t allowance(struct tap *t)
{
	int64_t now_mono_us = clock_mono_us();

	if (now_mono_us - t->second_mono_us >= SECOND_US) {
		t->second_mono_us = now_mono_us;
		t->shown = 0;
	}
	return MOST_A_SECOND - t->shown;
}

/* Begins the message of a stream; false when nobody wants it. */
static bool begin(struct tap *t, const char *link, const struct batch *b,
		  uint16_t stream)
{
	char name[BATCH_STREAM_NAME_BYTES + 1];

	buf_clear(&t->message);
	buf_printf(&t->message, CONTROL_TAP_TOPIC, link,
		   batch_stream(b, stream, name));
	return bus_tap_wants(t->bus, t->message.data, t->message.used);
}

/* Chooses of the events that somebody wants as many as may be shown. */
static void choose(struct tap *t, const char *link, const struct batch *b)
{
	uint32_t may = allowance(t);
	bool wanted[BATCH_MAX_STREAMS];

	for (uint16_t i = 0; i < b->stream_count; i++)
		wanted[i] = begin(t, link, b, i);
	t->chosen_count = 0;
	for (uint32_t i = 0; i < b->header.events; i++) {
		if (!wanted[b->events[i].stream])
			continue;
		if (t->chosen_count < may)
			t->chosen[t->chosen_count++] = i;
		else
			t->left_out++;
	}
	t->shown += t->chosen_count;
}

/* What was not mapped is not masked either: NULL when it cannot be mapped. */
static struct batch *map_chosen(struct tap *t, const struct batch *b)
{
	struct err err;
	struct contract_set *set =
	    run_contracts_of(t->run, b->header.contract_set, &err);

	if (!set)
		return NULL;
	if (!t->mapper) {
		t->mapper = mapper_new();
		t->w = batch_builder_new();
	}
	for (uint32_t i = 0; i < t->chosen_count; i++) {
		mapper_event(t->mapper, set, b, t->chosen[i], t->w);
		t->chosen[i] = i;
	}
	return batch_builder_seal(t->w, &b->header);
}

/* The chosen events that are of one stream, as one message. */
static void show_stream(struct tap *t, const char *link, const struct batch *b,
			uint16_t stream)
{
	bool any = false;

	if (!begin(t, link, b, stream))
		return;
	buf_printf(&t->message, "%" PRIu64 "\n", t->left_out);
	for (uint32_t i = 0; i < t->chosen_count; i++) {
		const struct batch_event *e = &b->events[t->chosen[i]];

		if (e->stream != stream)
			continue;
		buf_append(&t->message, b->payload + e->offset,
			   (size_t)e->bytes + 1);
		any = true;
	}
	if (!any)
		return;
	bus_tap_send(t->bus, t->message.data, t->message.used);
	t->left_out = 0;
}

void tap_show(struct tap *t, const char *link, const struct batch *b)
{
	struct batch *mapped = NULL;
	const struct batch *shown = b;

	choose(t, link, b);
	if (!t->chosen_count)
		return;
	if (!(b->header.flags & BATCH_MAPPED))
		shown = mapped = map_chosen(t, b);
	for (uint16_t i = 0; shown && i < shown->stream_count; i++)
		show_stream(t, link, shown, i);
	batch_unref(&mapped);
}
