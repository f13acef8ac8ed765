/* Group commit: who is answered when, over a log that the test plays.
 * LINK: services/collector/group.c services/collector/reply.c */
#include "http_harness.h"

#include "services/collector/group.h"

/* Longer than a loaded machine stops a test. */
#define GATHER_US 200000

#define MAX_APPENDS 32

/* A log of batches, durable when the test says so. */
struct fake {
	struct world w;
	struct group *group;
	struct contract_set *set;
	struct batch_builder *builder;
	struct counter_histogram latency;
	uint64_t batches, not_durable;
	struct batch *appended[MAX_APPENDS];
	uint64_t count;
	int refuse_with;
};

static int append(void *arg, struct batch *b, uint64_t *position,
		  struct err *err)
{
	struct fake *f = arg;

	if (f->refuse_with)
		return err_set(err, f->refuse_with, "refused");
	assert_true(f->count < MAX_APPENDS);
	f->appended[f->count] = batch_ref(b);
	*position = f->count++ * 1000;
	return 0;
}

static void fake_open_mapped(struct fake *f, size_t batch_bytes, bool mapped)
{
	struct http_options http = default_options();
	struct group_options options = {
	    .batch_bytes = batch_bytes,
	    .mapped = mapped,
	    .pending_bytes = 10000,
	    .gather_us = GATHER_US,
	    .ack_timeout_us = 1000000,
	    .append = append,
	    .arg = f,
	    .latency = &f->latency,
	    .batches = &f->batches,
	    .not_durable = &f->not_durable,
	};
	struct contract_report report = {0};

	memset(f, 0, sizeof(*f));
	world_open(&f->w, &http);
	f->w.deed = HOLD;
	if (contract_set_load(&f->set, "etc/contracts",
			      (const uint8_t *)"0123456789abcdef", 16,
			      &report) != 0)
		fail_msg("%s", buf_str(&report.lines));
	contract_report_free(&report);
	f->group = group_new(&options);
}

static void fake_open(struct fake *f, size_t batch_bytes)
{
	fake_open_mapped(f, batch_bytes, false);
}

static void fake_close(struct fake *f)
{
	group_free(&f->group);
	contract_set_unref(&f->set);
	world_close(&f->w);
	for (uint64_t i = 0; i < f->count; i++)
		batch_unref(&f->appended[i]);
}

/* Puts one event of some bytes into the builder. */
static void put_event(struct batch_builder *w, size_t bytes)
{
	struct batch_event event = {0};

	event.offset = batch_builder_offset(w);
	event.bytes = (uint32_t)bytes;
	event.stream = batch_builder_stream(w, "orders", 6);
	memset(batch_builder_room(w, bytes + 1), ' ', bytes);
	batch_builder_room(w, bytes + 1)[bytes] = '\n';
	batch_builder_commit(w, bytes + 1);
	batch_builder_event(w, &event);
}

/* The first, or the only, event of a request. */
static void add_event(struct fake *f, size_t bytes, const uint8_t *trace)
{
	f->builder = group_builder(f->group, f->set, trace);
	put_event(f->builder, bytes);
}

static void add_event_behind(struct fake *f, size_t bytes, bool behind)
{
	if (behind)
		put_event(f->builder, bytes);
	else
		add_event(f, bytes, NULL);
}

/* A client posts, and its event waits for the disk from `now_us` on. */
static void post(struct fake *f, struct client *c, size_t bytes, int64_t now_us)
{
	struct buf body = {0};
	int held = f->w.held_count;

	client_open(&f->w, c);
	client_say(&f->w, c, "POST / HTTP/1.1\r\nHost: a\r\n\r\n");
	WAIT_FOR(&f->w, f->w.held_count == held + 1);
	add_event(f, bytes, NULL);
	buf_printf(&body, "event %d", held);
	group_wait(f->group, f->w.held[held], 202, &body, now_us);
	buf_free(&body);
}

/* As the loop does while no request comes. */
static void quiet_turns(struct fake *f)
{
	while (group_turn(f->group) >= 0)
		;
}

static void expect_silence(struct fake *f, struct client *c)
{
	for (int i = 0; i < 5; i++)
		world_turn(&f->w);
	client_read(c);
	assert_int_equal(c->in.used, 0);
}

static void answers_when_durable_and_not_before(void **state)
{
	struct client c[3];
	struct fake f;

	(void)state;
	fake_open(&f, 5000);
	post(&f, &c[0], 100, 1);
	assert_int_equal(f.count, 0);
	quiet_turns(&f);
	assert_int_equal(f.count, 1);
	/* A commit is under way: the next ones collect behind it. */
	post(&f, &c[1], 100, 1);
	post(&f, &c[2], 100, 1);
	quiet_turns(&f);
	assert_int_equal(f.count, 1);
	expect_silence(&f, &c[0]);
	group_durable(f.group, 0, 2); /* something before it */
	expect_silence(&f, &c[0]);
	group_durable(f.group, 1000, 2);
	client_expect(&f.w, &c[0], 202, "event 0");
	/* The end of the commit is the clock of the next. */
	quiet_turns(&f);
	assert_int_equal(f.count, 2);
	assert_int_equal(f.appended[1]->header.events, 2);
	expect_silence(&f, &c[1]);
	group_durable(f.group, 2000, 3);
	client_expect(&f.w, &c[1], 202, "event 1");
	client_expect(&f.w, &c[2], 202, "event 2");
	assert_int_equal(f.batches, 2);
	assert_int_equal(f.latency.count, 3);
	assert_int_equal(group_waiting(f.group), 0);
	for (int i = 0; i < 3; i++)
		client_close(&c[i]);
	fake_close(&f);
}

/* Those who were just answered send again: all of them in one commit. */
static void gathers_while_requests_keep_coming(void **state)
{
	struct client c[3];
	struct fake f;

	(void)state;
	fake_open(&f, 5000);
	assert_int_equal(group_turn(f.group), -1);
	post(&f, &c[0], 100, 1);
	assert_int_equal(group_turn(f.group), 0);
	post(&f, &c[1], 100, 1);
	assert_int_equal(group_turn(f.group), 0);
	assert_int_equal(f.count, 0);
	assert_int_equal(group_turn(f.group), -1);
	assert_int_equal(f.count, 1);
	assert_int_equal(f.appended[0]->header.events, 2);
	group_durable(f.group, 1000, 2);
	/* However many come, it is a matter of GATHER_US. */
	for (int64_t began = clock_mono_us(); f.count == 1;) {
		assert_true(clock_mono_us() - began < 5000000);
		add_event(&f, 10, NULL);
		world_turn(&f.w);
		group_turn(f.group);
	}
	group_durable(f.group, 2000, 2);
	for (int i = 0; i < 2; i++)
		client_expect(&f.w, &c[i], 202, NULL);
	post(&f, &c[2], 100, 1);
	quiet_turns(&f);
	group_durable(f.group, 3000, 2);
	client_expect(&f.w, &c[2], 202, NULL);
	for (int i = 0; i < 3; i++)
		client_close(&c[i]);
	fake_close(&f);
}

/* Waits for as many as were just answered, no longer than a commit took. */
static void waits_for_those_who_were_answered(void **state)
{
	struct client c[4];
	struct fake f;
	int64_t began, left_us;

	(void)state;
	fake_open(&f, 5000);
	post(&f, &c[0], 100, 1);
	post(&f, &c[1], 100, 1);
	group_flush(f.group);
	began = clock_mono_us();
	while (clock_mono_us() - began < 2000) /* a slow disk */
		;
	group_durable(f.group, 1000, 2);
	post(&f, &c[2], 100, 1);
	assert_int_equal(group_turn(f.group), 0);
	left_us = group_turn(f.group);
	assert_true(left_us > 0 && left_us <= GATHER_US);
	assert_int_equal(f.count, 1);
	post(&f, &c[3], 100, 1);
	assert_int_equal(group_turn(f.group), 0);
	assert_int_equal(group_turn(f.group), -1);
	assert_int_equal(f.count, 2);
	assert_int_equal(f.appended[1]->header.events, 2);
	group_durable(f.group, 2000, 2);
	for (int i = 0; i < 4; i++) {
		client_expect(&f.w, &c[i], 202, NULL);
		client_close(&c[i]);
	}
	/* One of two comes back: it is not kept waiting for the other. */
	post(&f, &c[0], 100, 1);
	began = clock_mono_us();
	quiet_turns(&f);
	assert_true(clock_mono_us() - began < 1000000);
	assert_int_equal(f.count, 3);
	group_durable(f.group, 3000, 2);
	/* And one that is alone is not kept at all. */
	post(&f, &c[1], 100, 1);
	assert_int_equal(group_turn(f.group), 0);
	assert_int_equal(group_turn(f.group), -1);
	group_durable(f.group, 4000, 2);
	for (int i = 0; i < 2; i++) {
		client_expect(&f.w, &c[i], 202, NULL);
		client_close(&c[i]);
	}
	fake_close(&f);
}

static void large_batches_do_not_wait(void **state)
{
	struct client c[3];
	struct fake f;

	(void)state;
	fake_open(&f, 3000);
	post(&f, &c[0], 100, 1);
	quiet_turns(&f);
	post(&f, &c[1], 1000, 1);
	assert_int_equal(f.count, 1);
	post(&f, &c[2], 2500, 1);
	assert_int_equal(f.count, 2);
	group_durable(f.group, 2000, 2);
	for (int i = 0; i < 3; i++) {
		client_expect(&f.w, &c[i], 202, NULL);
		client_close(&c[i]);
	}
	fake_close(&f);
}

static void a_refusing_log_refuses_the_waiting(void **state)
{
	struct client c[3];
	struct fake f;

	(void)state;
	fake_open(&f, 5000);
	post(&f, &c[0], 100, 1);
	quiet_turns(&f);
	post(&f, &c[1], 100, 1);
	f.refuse_with = ENOSPC;
	group_flush(f.group);
	client_expect(&f.w, &c[1], 503, "log_full");
	f.refuse_with = EIO;
	post(&f, &c[2], 100, 1);
	group_flush(f.group);
	client_expect(&f.w, &c[2], 503, "Retry-After: 1");
	/* The one that was appended before is not touched. */
	expect_silence(&f, &c[0]);
	f.refuse_with = 0;
	group_durable(f.group, 1000, 2);
	client_expect(&f.w, &c[0], 202, NULL);
	/* And nothing that was refused is appended later. */
	group_flush(f.group);
	assert_int_equal(f.count, 1);
	client_close(&c[0]);
	post(&f, &c[0], 100, 1);
	quiet_turns(&f);
	group_durable(f.group, 2000, 2);
	client_expect(&f.w, &c[0], 202, "event 3");
	for (int i = 0; i < 3; i++)
		client_close(&c[i]);
	fake_close(&f);
}

/* Puts events into the builder as a large request does. */
static void add_events(struct fake *f, int count, size_t bytes)
{
	for (int i = 0; i < count; i++) {
		add_event_behind(f, bytes, i > 0);
		group_seal_full(f->group);
	}
}

static void hold_request(struct fake *f, struct client *c)
{
	int held = f->w.held_count;

	client_open(&f->w, c);
	client_say(&f->w, c, "POST / HTTP/1.1\r\nHost: a\r\n\r\n");
	WAIT_FOR(&f->w, f->w.held_count == held + 1);
}

/* Ten events of 1,000 bytes, and batches of at most 3,000 and one more. */
static void a_large_request_lies_in_several_batches(void **state)
{
	struct buf body = {0};
	struct client c;
	struct fake f;
	uint32_t events = 0;

	(void)state;
	fake_open(&f, 3000);
	hold_request(&f, &c);
	add_events(&f, 10, 1000);
	group_wait(f.group, f.w.held[0], 202, &body, 1);
	group_flush(f.group);
	assert_int_equal(f.count, 4);
	for (int i = 0; i < 4; i++) {
		assert_true(batch_bytes(f.appended[i]) < 4200);
		events += f.appended[i]->header.events;
	}
	assert_int_equal(events, 10);
	/* It is answered when the last of them is on disk. */
	group_durable(f.group, 3000, 2);
	expect_silence(&f, &c);
	group_durable(f.group, 4000, 2);
	client_expect(&f.w, &c, 202, NULL);
	client_close(&c);
	fake_close(&f);
}

/* Batches appended of 10,000 small events, all in one request. */
static uint64_t batches_of_small_events(bool mapped)
{
	struct fake f;
	uint64_t count;

	fake_open_mapped(&f, 1 << 20, mapped);
	add_events(&f, 10000, 2);
	group_flush(f.group);
	count = f.count;
	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(f.appended[i]->header.flags,
				 mapped ? BATCH_MAPPED : 0);
	fake_close(&f);
	return count;
}

static void what_is_mapped_grows_no_more(void **state)
{
	(void)state;
	assert_int_equal(batches_of_small_events(true), 1);
	assert_true(batches_of_small_events(false) > 1);
}

static void a_request_that_ends_with_a_batch_waits_for_it(void **state)
{
	struct buf body = {0};
	struct client c[2];
	struct fake f;

	(void)state;
	fake_open(&f, 3000);
	hold_request(&f, &c[0]);
	add_events(&f, 6, 1000);
	assert_int_equal(f.count, 2);
	group_wait(f.group, f.w.held[0], 202, &body, 1);
	/* The next one has nothing to do with it. */
	post(&f, &c[1], 100, 1);
	group_durable(f.group, 1000, 2);
	expect_silence(&f, &c[0]);
	group_durable(f.group, 2000, 2);
	client_expect(&f.w, &c[0], 202, NULL);
	quiet_turns(&f);
	expect_silence(&f, &c[1]);
	group_durable(f.group, 3000, 2);
	client_expect(&f.w, &c[1], 202, NULL);
	client_close(&c[0]);
	client_close(&c[1]);
	fake_close(&f);
}

static void a_request_refused_midway_says_so(void **state)
{
	struct buf body = {0};
	struct client c[4];
	struct fake f;

	(void)state;
	fake_open(&f, 3000);
	hold_request(&f, &c[0]);
	add_events(&f, 4, 1000);
	f.refuse_with = ENOSPC;
	group_seal_full(f.group);
	add_event_behind(&f, 2500, true);
	group_seal_full(f.group);
	f.refuse_with = 0;
	add_event_behind(&f, 100, true);
	group_wait(f.group, f.w.held[0], 202, &body, 1);
	client_expect(&f.w, &c[0], 503, "may or may not be stored");
	/* Its rest is not appended with what comes behind it. */
	post(&f, &c[1], 100, 1);
	group_flush(f.group);
	assert_int_equal(f.count, 2);
	assert_int_equal(f.appended[1]->header.events, 1);
	/* The last part counts too. */
	hold_request(&f, &c[2]);
	add_events(&f, 4, 1000);
	group_wait(f.group, f.w.held[2], 202, &body, 1);
	f.refuse_with = EAGAIN;
	group_flush(f.group);
	client_expect(&f.w, &c[2], 503,
		      "\"not_durable\",\"message\":\"the disk does not "
		      "keep up; the events may or may not be stored");
	/* Refused at once: nothing of it is anywhere. */
	hold_request(&f, &c[3]);
	f.refuse_with = EFBIG;
	add_events(&f, 4, 1000);
	group_wait(f.group, f.w.held[3], 202, &body, 1);
	client_expect(&f.w, &c[3], 413, "nothing was stored");
	for (int i = 0; i < 4; i++)
		client_close(&c[i]);
	fake_close(&f);
}

static void a_hanging_disk_gives_no_2xx(void **state)
{
	struct client c[2];
	struct fake f;

	(void)state;
	fake_open(&f, 5000);
	post(&f, &c[0], 100, 1);
	quiet_turns(&f);
	post(&f, &c[1], 100, 500000); /* collected, not appended */
	group_expire(f.group, 1000000);
	expect_silence(&f, &c[0]);
	group_expire(f.group, 1000001);
	client_expect(&f.w, &c[0], 503, "may or may not be stored");
	expect_silence(&f, &c[1]);
	group_expire(f.group, 1500000);
	client_expect(&f.w, &c[1], 503, "not_durable");
	assert_int_equal(f.not_durable, 2);
	/* It comes back: the late answers find nobody, new ones work. */
	group_durable(f.group, 1000, 3000000);
	quiet_turns(&f);
	assert_int_equal(f.count, 2);
	client_close(&c[0]);
	post(&f, &c[0], 100, 3000000);
	group_durable(f.group, 2000, 3000000);
	quiet_turns(&f);
	group_durable(f.group, 3000, 3000000);
	client_expect(&f.w, &c[0], 202, NULL);
	client_close(&c[0]);
	client_close(&c[1]);
	fake_close(&f);
}

static void bounds_what_waits_for_the_disk(void **state)
{
	struct client c[3];
	struct fake f;

	(void)state;
	fake_open(&f, 4000);
	for (int i = 0; i < 3; i++) {
		assert_true(group_has_room(f.group));
		post(&f, &c[i], 4000, 1);
	}
	assert_false(group_has_room(f.group));
	group_durable(f.group, 1000, 2);
	assert_true(group_has_room(f.group));
	for (int i = 0; i < 3; i++)
		client_close(&c[i]);
	fake_close(&f);
}

/* A client that hung up is no reason to forget the events of others. */
static void gone_clients_do_no_harm(void **state)
{
	struct linger hard = {.l_onoff = 1};
	struct client c[2];
	struct fake f;

	(void)state;
	fake_open(&f, 5000);
	post(&f, &c[0], 100, 1);
	post(&f, &c[1], 100, 1);
	quiet_turns(&f);
	setsockopt(c[0].fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	client_close(&c[0]);
	WAIT_FOR(&f.w, f.w.gone == 1);
	group_durable(f.group, 1000, 2);
	client_expect(&f.w, &c[1], 202, NULL);
	client_close(&c[1]);
	fake_close(&f);
}

static void carries_the_first_trace(void **state)
{
	static const uint8_t one[16] = {1}, two[16] = {2}, none[16];
	struct fake f;

	(void)state;
	fake_open(&f, 5000);
	add_event(&f, 10, NULL);
	add_event(&f, 10, one);
	add_event(&f, 10, two);
	group_flush(f.group);
	add_event(&f, 10, NULL);
	group_flush(f.group);
	assert_memory_equal(f.appended[0]->header.trace, one, 16);
	assert_memory_equal(f.appended[1]->header.trace, none, 16);
	fake_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers_when_durable_and_not_before),
	    cmocka_unit_test(gathers_while_requests_keep_coming),
	    cmocka_unit_test(waits_for_those_who_were_answered),
	    cmocka_unit_test(large_batches_do_not_wait),
	    cmocka_unit_test(a_refusing_log_refuses_the_waiting),
	    cmocka_unit_test(a_large_request_lies_in_several_batches),
	    cmocka_unit_test(what_is_mapped_grows_no_more),
	    cmocka_unit_test(a_request_that_ends_with_a_batch_waits_for_it),
	    cmocka_unit_test(a_request_refused_midway_says_so),
	    cmocka_unit_test(a_hanging_disk_gives_no_2xx),
	    cmocka_unit_test(bounds_what_waits_for_the_disk),
	    cmocka_unit_test(gone_clients_do_no_harm),
	    cmocka_unit_test(carries_the_first_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
