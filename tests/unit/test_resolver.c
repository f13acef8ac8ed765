/* Bodies by reference: the batch that was meant, or an error. */
#include "tests/unit/spool_fixture.h"

#include "run/gather.h"
#include "run/resolver.h"

struct source {
	struct log_test *t;
	struct gather *gather;
	struct resolver *resolver;
};

static int read_spool(void *arg, uint64_t *position, uint64_t *next,
		      struct batch **b, struct err *err)
{
	struct source *s = arg;

	return spool_read(s->t->spool, position, next, b, err);
}

static void source_open(struct source *s, struct log_test *t)
{
	const struct gather_log log = {read_spool, NULL, s};

	t->options.segment_bytes = 65536;
	open_log(t);
	s->t = t;
	s->gather = gather_new(&log, 100000);
	s->resolver = resolver_new(t->loop);
}

static void source_close(struct source *s)
{
	resolver_free(&s->resolver);
	gather_free(&s->gather);
}

/* What is sent of the log from `position` on, in place of a body. */
static struct batch *refer(struct source *s, uint64_t position)
{
	struct reference r = {.log = *spool_id(s->t->spool),
			      .position = position};
	struct batch_header header;
	struct err err;

	snprintf(r.dir, sizeof(r.dir), "%s", s->t->dir);
	assert_int_equal(gather_refer(s->gather, &r, &header, &err), 1);
	header.lane =
	    (struct batch_lane){.source = r.log, .epoch = 3, .number = 1};
	header.sequence = 7;
	header.flags |= BATCH_REPLAY;
	return batch_refer(&header, &r);
}

static void expect(struct source *s, struct batch *b)
{
	uint64_t position = b->reference->position, next = b->reference->next;
	struct batch *whole = NULL, *joined;
	struct err err = {0};

	if (resolver_read(s->resolver, b, &whole, &err) != 0)
		fail_msg("resolver_read: %s", err.text);
	assert_int_equal(
	    gather_read(s->gather, &position, &next, &joined, &err), 1);
	assert_null(whole->reference);
	assert_int_equal(whole->header.sequence, 7);
	assert_int_equal(whole->header.lane.epoch, 3);
	assert_int_equal(whole->header.flags, BATCH_REPLAY);
	assert_int_equal(whole->header.body_crc, joined->header.body_crc);
	assert_int_equal(whole->header.events, joined->header.events);
	assert_memory_equal(whole->payload, joined->payload,
			    joined->header.payload_bytes);
	batch_unref(&whole);
	batch_unref(&joined);
}

static void refuse(struct source *s, struct batch *b, const char *why)
{
	struct batch *whole = NULL;
	struct err err = {0};

	assert_int_equal(resolver_read(s->resolver, b, &whole, &err), -1);
	assert_null(whole);
	if (!strstr(err.text, why))
		fail_msg("not \"%s\": %s", why, err.text);
}

/* Single ones and joined ones, over the ends of files. */
static void test_gives_the_batch_that_was_meant(void **state)
{
	struct log_test *t = *state;
	struct source s;
	uint64_t position = 0, sizes[] = {100, 100, 9000, 100, 3000};
	int joined = 0, single = 0;

	source_open(&s, t);
	for (uint64_t i = 1; i <= 60; i++) {
		append(t, i, 10, sizes[i % 5]);
		wait_durable(t);
	}
	while (position < t->durable) {
		struct batch *b = refer(&s, position);

		joined += b->header.events > 10;
		single += b->header.events == 10;
		expect(&s, b);
		position = b->reference->next;
		batch_unref(&b);
	}
	assert_true(joined > 3);
	assert_true(single > 3);
	source_close(&s);
}

/* A record that is good, but not the one that was sent: after a repair. */
static void test_refuses_another_batch(void **state)
{
	struct log_test *t = *state;
	struct source s;
	struct batch *b, *twin;
	struct reference r;

	source_open(&s, t);
	append(t, 1, 10, 100);
	append(t, 2, 10, 100);
	wait_durable(t);
	b = refer(&s, 0);
	expect(&s, b);
	r = *b->reference;
	r.bodies_crc ^= 1;
	twin = batch_refer(&b->header, &r);
	refuse(&s, twin, "not those that were sent");
	batch_unref(&twin);
	/* A range that ends inside a record, and one that is too long. */
	r = *b->reference;
	r.next -= 8;
	twin = batch_refer(&b->header, &r);
	refuse(&s, twin, "cut off");
	batch_unref(&twin);
	r.next += 4096;
	twin = batch_refer(&b->header, &r);
	refuse(&s, twin, t->dir);
	batch_unref(&twin);
	for (int i = 0; i < 7; i++) {
		struct batch_header h = b->header;

		h.events += i == 0;
		h.index_bytes += i == 1 ? 8 : 0;
		h.payload_bytes += i == 2;
		h.created_at_us += i == 3;
		h.contract_set += i == 4;
		h.flags ^= i == 5 ? BATCH_MAPPED : 0;
		h.trace[0] = i == 6;
		twin = batch_refer(&h, b->reference);
		refuse(&s, twin, "not those that were sent");
		batch_unref(&twin);
	}
	expect(&s, b);
	batch_unref(&b);
	source_close(&s);
}

static void test_refuses_a_log_that_is_not_there(void **state)
{
	struct log_test *t = *state;
	struct source s;
	struct batch *b, *twin;
	struct reference r;

	source_open(&s, t);
	append(t, 1, 10, 100);
	wait_durable(t);
	b = refer(&s, 0);
	r = *b->reference;
	strcpy(r.dir, "/tmp/weft-no-such-log");
	twin = batch_refer(&b->header, &r);
	refuse(&s, twin, "cannot list /tmp/weft-no-such-log");
	batch_unref(&twin);
	r = *b->reference;
	r.log = uuid_new();
	twin = batch_refer(&b->header, &r);
	refuse(&s, twin, "no segment");
	batch_unref(&twin);
	/* More logs than it keeps: the first is begun again. */
	for (int i = 0; i < 80; i++) {
		snprintf(r.dir, sizeof(r.dir), "/tmp/weft-no-such-log-%d", i);
		twin = batch_refer(&b->header, &r);
		refuse(&s, twin, r.dir);
		batch_unref(&twin);
	}
	expect(&s, b);
	batch_unref(&b);
	source_close(&s);
}

/* As many collectors as there may be lanes of: none begins again each time. */
static void test_keeps_sixty_logs(void **state)
{
	struct log_test *t = *state;
	struct source s;
	struct batch *b, *of[60];
	struct reference r;

	source_open(&s, t);
	append(t, 1, 10, 100);
	wait_durable(t);
	b = refer(&s, 0);
	r = *b->reference;
	for (int i = 0; i < 60; i++) {
		snprintf(r.dir, sizeof(r.dir), "%s-%d", t->dir, i);
		assert_int_equal(symlink(t->dir, r.dir), 0);
		of[i] = batch_refer(&b->header, &r);
		expect(&s, of[i]);
	}
	for (int i = 0; i < 60; i++)
		assert_int_equal(unlink(of[i]->reference->dir), 0);
	/* Only who still has the file open can read it. */
	for (int i = 0; i < 60; i++) {
		expect(&s, of[i]);
		batch_unref(&of[i]);
	}
	batch_unref(&b);
	source_close(&s);
}

/* Files of the log that this process has open but did not open for the log. */
static int open_files(const struct log_test *t)
{
	char path[512], name[64];
	int n = 0;

	for (int fd = 0; fd < 256; fd++) {
		ssize_t bytes;

		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
		bytes = readlink(name, path, sizeof(path) - 1);
		if (bytes < 0)
			continue;
		path[bytes] = '\0';
		n += strncmp(path, t->dir, strlen(t->dir)) == 0;
	}
	return n;
}

static void test_lets_files_go_that_nobody_reads(void **state)
{
	struct log_test *t = *state;
	struct source s;
	struct batch *b;
	int own;

	source_open(&s, t);
	append(t, 1, 10, 100);
	wait_durable(t);
	b = refer(&s, 0);
	own = open_files(t);
	expect(&s, b);
	assert_int_equal(open_files(t), own + 1);
	WAIT_FOR(t, open_files(t) == own);
	expect(&s, b);
	batch_unref(&b);
	source_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOG_TEST(test_gives_the_batch_that_was_meant),
	    LOG_TEST(test_refuses_another_batch),
	    LOG_TEST(test_refuses_a_log_that_is_not_there),
	    LOG_TEST(test_keeps_sixty_logs),
	    LOG_TEST(test_lets_files_go_that_nobody_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
