/* Joining small batches of a log on their way out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "run/gather.h"

#define RECORDS 6

/* A log of RECORDS batches at positions 100, 200, … */
struct fake {
	struct batch *batches[RECORDS];
	uint64_t durable; /* positions before it may be read */
	bool bad[RECORDS];
	bool fails;
};

static int fake_read(void *arg, uint64_t *position, uint64_t *next,
		     struct batch **b, struct err *err)
{
	struct fake *f = arg;
	uint64_t i = (*position + 99) / 100;

	if (f->fails)
		return err_set(err, EIO, "the disk is gone");
	while (i >= 1 && i <= RECORDS && f->bad[i - 1])
		i++;
	if (i < 1 || i > RECORDS || i * 100 >= f->durable)
		return 0;
	*position = i * 100;
	*next = (i + 1) * 100;
	*b = batch_ref(f->batches[i - 1]);
	return 1;
}

/* A batch of `events` events of one stream, told apart by `name`. */
static struct batch *make(const char *name, uint32_t events,
			  const struct batch_header *header)
{
	struct batch_builder *w = batch_builder_new();
	char stream[32], text[64];
	struct batch *b;

	snprintf(stream, sizeof(stream), "s_%c", name[0]);
	for (uint32_t i = 0; i < events; i++) {
		struct batch_event e = {.offset = batch_builder_offset(w)};
		int n =
		    snprintf(text, sizeof(text), "{\"id\":\"%s%u\"}", name, i);

		e.bytes = (uint32_t)n;
		e.id_offset = e.key_offset = e.type_offset = e.offset + 7;
		e.id_bytes = (uint16_t)(n - 9);
		e.stream = batch_builder_stream(w, stream, strlen(stream));
		text[n++] = '\n';
		memcpy(batch_builder_room(w, (size_t)n), text, (size_t)n);
		batch_builder_commit(w, (size_t)n);
		batch_builder_event(w, &e);
	}
	b = batch_builder_seal(w, header);
	batch_builder_free(&w);
	return b;
}

static void fake_open(struct fake *f)
{
	static const char *const names[RECORDS] = {"a", "b", "a",
						   "c", "a", "b"};
	struct batch_header header = {.created_at_us = 1000, .contract_set = 7};

	memset(f, 0, sizeof(*f));
	for (uint32_t i = 0; i < RECORDS; i++) {
		header.created_at_us += 10;
		header.trace[0] = i >= 1 ? (uint8_t)i : 0;
		f->batches[i] = make(names[i], i + 1, &header);
	}
	f->durable = 10000;
}

static void fake_close(struct fake *f)
{
	for (int i = 0; i < RECORDS; i++)
		batch_unref(&f->batches[i]);
}

static struct gather *gather_open(struct fake *f, size_t target_bytes)
{
	const struct gather_log log = {fake_read, NULL, f};

	return gather_new(&log, target_bytes);
}

static int read_at(struct gather *g, uint64_t *position, uint64_t *next,
		   struct batch **b)
{
	struct err err;

	*b = NULL;
	return gather_read(g, position, next, b, &err);
}

/* Event number i of b is the one of that id, in that stream. */
static void expect_event(const struct batch *b, uint32_t i, const char *id,
			 const char *stream)
{
	const struct batch_event *e = &b->events[i];
	char name[BATCH_STREAM_NAME_BYTES + 1], text[64];

	assert_int_equal(e->id_bytes, strlen(id));
	assert_memory_equal(b->payload + e->id_offset, id, e->id_bytes);
	snprintf(text, sizeof(text), "{\"id\":\"%s\"}\n", id);
	assert_memory_equal(b->payload + e->offset, text, e->bytes + 1);
	assert_string_equal(batch_stream(b, e->stream, name), stream);
}

static void joins_all_that_is_there(void **state)
{
	struct fake f;
	struct gather *g = gather_open(&f, 1 << 20);
	uint64_t position = 50, next = 0;
	struct batch *b, *again;
	struct err err;

	(void)state;
	fake_open(&f);
	f.durable = 501;
	assert_int_equal(read_at(g, &position, &next, &b), 1);
	assert_int_equal(position, 100);
	assert_int_equal(next, 600);
	assert_int_equal(b->header.events, 15);
	assert_int_equal(b->header.created_at_us, 1010);
	assert_int_equal(b->header.contract_set, 7);
	assert_int_equal(b->header.trace[0], 1);
	expect_event(b, 0, "a0", "s_a");
	expect_event(b, 1, "b0", "s_b");
	expect_event(b, 5, "a2", "s_a");
	expect_event(b, 9, "c3", "s_c");
	expect_event(b, 14, "a4", "s_a");
	/* It stands every check of a batch from a wire. */
	again = batch_open(&b->header, b->index, b->payload, NULL, NULL, &err);
	assert_non_null(again);
	batch_unref(&again);
	batch_unref(&b);
	/* One that ends nothing else is given as it is. */
	f.durable = 601;
	position = 600;
	next = 0;
	assert_int_equal(read_at(g, &position, &next, &b), 1);
	assert_ptr_equal(b, f.batches[5]);
	batch_unref(&b);
	position = 700;
	next = 0;
	assert_int_equal(read_at(g, &position, &next, &b), 0);
	gather_free(&g);
	fake_close(&f);
}

/* Whatever came since, the same range gives the same bytes. */
static void gives_the_same_again(void **state)
{
	struct fake f;
	struct gather *g = gather_open(&f, 1 << 20);
	uint64_t position = 200, next = 0;
	struct batch *b, *again;

	(void)state;
	fake_open(&f);
	f.durable = 301;
	assert_int_equal(read_at(g, &position, &next, &b), 1);
	assert_int_equal(next, 400);
	f.durable = 10000;
	assert_int_equal(read_at(g, &position, &next, &again), 1);
	assert_int_equal(next, 400);
	assert_int_equal(again->header.body_crc, b->header.body_crc);
	assert_int_equal(again->header.events, b->header.events);
	assert_int_equal(again->header.created_at_us, b->header.created_at_us);
	batch_unref(&again);
	/* A single one, too. */
	next = 300;
	assert_int_equal(read_at(g, &position, &next, &again), 1);
	assert_ptr_equal(again, f.batches[1]);
	batch_unref(&again);
	batch_unref(&b);
	gather_free(&g);
	fake_close(&f);
}

static void says_when_it_cannot_be_given_again(void **state)
{
	struct fake f;
	struct gather *g = gather_open(&f, 1 << 20);
	uint64_t position = 200, next;
	struct batch *b;

	(void)state;
	fake_open(&f);
	f.bad[2] = true; /* the last of the range */
	next = 400;
	assert_int_equal(read_at(g, &position, &next, &b), 0);
	f.bad[2] = false;
	f.durable = 300; /* its end is gone */
	assert_int_equal(read_at(g, &position, &next, &b), 0);
	f.fails = true;
	assert_int_equal(read_at(g, &position, &next, &b), -1);
	/* and nothing of these trials is left in the next batch */
	f.fails = false;
	f.durable = 10000;
	assert_int_equal(read_at(g, &position, &next, &b), 1);
	assert_int_equal(b->header.events, 5);
	batch_unref(&b);
	gather_free(&g);
	fake_close(&f);
}

static void keeps_to_its_size(void **state)
{
	struct fake f;
	struct gather *g;
	uint64_t position = 100, next = 0;
	struct batch *b;
	size_t two;

	(void)state;
	fake_open(&f);
	two = batch_bytes(f.batches[0]) + batch_bytes(f.batches[1]);
	g = gather_open(&f, two + 16);
	assert_int_equal(read_at(g, &position, &next, &b), 1);
	assert_int_equal(b->header.events, 3);
	batch_unref(&b);
	gather_free(&g);
	/* Large ones are not copied. */
	g = gather_open(&f, batch_bytes(f.batches[5]));
	position = 600;
	next = 0;
	assert_int_equal(read_at(g, &position, &next, &b), 1);
	assert_ptr_equal(b, f.batches[5]);
	batch_unref(&b);
	gather_free(&g);
	fake_close(&f);
}

static void joins_only_what_belongs_together(void **state)
{
	struct fake f;
	struct gather *g = gather_open(&f, 1 << 20);
	uint64_t position = 100, next = 0;
	struct batch *b;

	(void)state;
	fake_open(&f);
	f.batches[2]->header.contract_set = 8;
	f.batches[4]->header.flags = BATCH_REPLAY;
	assert_int_equal(read_at(g, &position, &next, &b), 1);
	assert_int_equal(next, 300);
	batch_unref(&b);
	position = 300;
	next = 0;
	assert_int_equal(read_at(g, &position, &next, &b), 1);
	assert_int_equal(next, 400);
	assert_int_equal(b->header.contract_set, 8);
	batch_unref(&b);
	position = 500;
	next = 0;
	assert_int_equal(read_at(g, &position, &next, &b), 1);
	assert_int_equal(next, 600);
	assert_int_equal(b->header.flags, BATCH_REPLAY);
	batch_unref(&b);
	gather_free(&g);
	fake_close(&f);
}

static void expect_alike(const struct batch_header *a,
			 const struct batch_header *b)
{
	assert_int_equal(a->events, b->events);
	assert_int_equal(a->index_bytes, b->index_bytes);
	assert_int_equal(a->payload_bytes, b->payload_bytes);
	assert_int_equal(a->created_at_us, b->created_at_us);
	assert_int_equal(a->contract_set, b->contract_set);
	assert_int_equal(a->flags, b->flags);
	assert_memory_equal(a->trace, b->trace, sizeof(a->trace));
}

/* The range and the header are those of the batch that would be joined. */
static void refers_to_what_it_would_join(void **state)
{
	struct fake f;
	struct gather *g;
	struct reference r;
	struct batch_header header;
	struct batch *b;
	struct err err;

	(void)state;
	fake_open(&f);
	for (size_t target = 1; target < 6000; target += 97) {
		uint64_t position = 100, next = 0;
		uint32_t crc = 0;

		g = gather_open(&f, target);
		for (; read_at(g, &position, &next, &b) == 1;
		     position = next, next = 0, crc = 0) {
			r = (struct reference){.position = position};
			assert_int_equal(gather_refer(g, &r, &header, &err), 1);
			assert_int_equal(r.position, position);
			assert_int_equal(r.next, next);
			expect_alike(&header, &b->header);
			for (uint64_t at = position; at < next; at += 100)
				crc = reference_crc(
				    crc,
				    f.batches[at / 100 - 1]->header.body_crc);
			assert_int_equal(r.bodies_crc, crc);
			/* Again, and of whoever joins without a target. */
			header.events = 0;
			assert_int_equal(gather_refer(g, &r, &header, &err), 1);
			expect_alike(&header, &b->header);
			batch_unref(&b);
		}
		gather_free(&g);
	}
	fake_close(&f);
}

/* Streams of batches that were only looked at are in no later one. */
static void leaves_no_streams_behind(void **state)
{
	struct fake f;
	struct gather *g = gather_open(&f, 1 << 20);
	struct reference r = {.position = 100};
	struct batch_header header, alone;
	struct batch *b;
	struct err err;
	uint64_t position = 500, next = 700;

	(void)state;
	fake_open(&f);
	assert_int_equal(gather_refer(g, &r, &header, &err), 1);
	assert_int_equal(header.events, 21);
	r = (struct reference){.position = 500, .next = 700};
	assert_int_equal(gather_refer(g, &r, &alone, &err), 1);
	assert_int_equal(read_at(g, &position, &next, &b), 1);
	assert_int_equal(b->stream_count, 2);
	expect_alike(&alone, &b->header);
	batch_unref(&b);
	f.fails = true;
	assert_int_equal(gather_refer(g, &r, &header, &err), -1);
	f.fails = false;
	f.durable = 600;
	assert_int_equal(gather_refer(g, &r, &header, &err), 0);
	gather_free(&g);
	fake_close(&f);
}

static struct contract_batch_limits few_events(void *arg, uint64_t set)
{
	(void)arg;
	return (struct contract_batch_limits){set == 7 ? 6 : 0, 1 << 20};
}

/* What the mapper can make of them is a limit too. */
static void keeps_to_the_events_of_the_set(void **state)
{
	struct fake f;
	const struct gather_log log = {fake_read, few_events, &f};
	struct gather *g = gather_new(&log, 1 << 20);
	uint64_t position = 100, next = 0;
	struct batch *b;

	(void)state;
	fake_open(&f);
	assert_int_equal(read_at(g, &position, &next, &b), 1);
	assert_int_equal(next, 400);
	assert_int_equal(b->header.events, 6);
	batch_unref(&b);
	/* Mapped ones grow no more, whatever their set may do to others. */
	for (int i = 0; i < RECORDS; i++)
		f.batches[i]->header.flags |= BATCH_MAPPED;
	next = 0;
	assert_int_equal(read_at(g, &position, &next, &b), 1);
	assert_int_equal(b->header.events, 21);
	batch_unref(&b);
	/* What was sent once is given again as it was. */
	next = 500;
	assert_int_equal(read_at(g, &position, &next, &b), 1);
	assert_int_equal(b->header.events, 10);
	batch_unref(&b);
	gather_free(&g);
	fake_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(joins_all_that_is_there),
	    cmocka_unit_test(gives_the_same_again),
	    cmocka_unit_test(says_when_it_cannot_be_given_again),
	    cmocka_unit_test(refers_to_what_it_would_join),
	    cmocka_unit_test(leaves_no_streams_behind),
	    cmocka_unit_test(keeps_to_its_size),
	    cmocka_unit_test(keeps_to_the_events_of_the_set),
	    cmocka_unit_test(joins_only_what_belongs_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
