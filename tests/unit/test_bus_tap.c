/* Taps: who listens is told, who does not costs nothing, nobody is waited for.
 */
#include "test_bus_net.h"

#define PATIENCE_US INT64_C(10000000)

struct ear {
	struct bus_tap_in *in;
	char last[100];
	int count;
};

struct scene {
	char dir[40], endpoint[80];
	struct node producer, listener;
	struct bus_tap *tap;
};

static void heard(void *arg, const char *message, size_t bytes)
{
	struct ear *ear = arg;

	if (bytes >= sizeof(ear->last))
		bytes = sizeof(ear->last) - 1;
	memcpy(ear->last, message, bytes);
	ear->last[bytes] = '\0';
	ear->count++;
}

static void open_scene(struct scene *s)
{
	struct err err;

	*s = (struct scene){.dir = "/tmp/weft-tap-XXXXXX"};
	log_open("test", LOG_ERROR, LOG_LOGFMT);
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->endpoint, sizeof(s->endpoint), "ipc://%s/p.0.tap", s->dir);
	node_up(&s->producer);
	node_up(&s->listener);
	assert_int_equal(
	    bus_tap_open(&s->tap, s->producer.bus, s->endpoint, &err), 0);
}

static void close_scene(struct scene *s)
{
	bus_tap_close(&s->tap);
	node_down(&s->listener);
	node_down(&s->producer);
	unlink(s->endpoint + strlen("ipc://"));
	assert_int_equal(rmdir(s->dir), 0);
}

static void listen_for(struct scene *s, struct ear *ear, const char *topic)
{
	struct err err;

	*ear = (struct ear){0};
	assert_int_equal(bus_tap_in_open(&ear->in, s->listener.bus, s->endpoint,
					 topic, heard, ear, &err),
			 0);
}

static void turn_both(struct scene *s)
{
	node_turn(&s->producer);
	node_turn(&s->listener);
}

#define UNTIL(s, condition)                                      \
	do {                                                     \
		int64_t end_us = clock_mono_us() + PATIENCE_US;  \
		while (!(condition) && clock_mono_us() < end_us) \
			turn_both(s);                            \
		assert_true(condition);                          \
	} while (0)

static bool wants(const struct scene *s, const char *topic)
{
	return bus_tap_wants(s->tap, topic, strlen(topic));
}

static void say(struct scene *s, const char *message)
{
	bus_tap_send(s->tap, message, strlen(message));
}

static void who_listens_hears_its_topic(void **state)
{
	struct ear orders, all;
	struct scene s;

	(void)state;
	open_scene(&s);
	assert_false(bus_tap_active(s.tap));
	assert_false(wants(&s, "raw\norder\n"));
	listen_for(&s, &orders, "raw\norder\n");
	UNTIL(&s, bus_tap_active(s.tap));
	UNTIL(&s, wants(&s, "raw\norder\n") && !wants(&s, "raw\nproduct\n"));
	say(&s, "raw\nproduct\n0\n{}\n");
	say(&s, "raw\norder\n0\n{}\n");
	UNTIL(&s, orders.count == 1);
	assert_string_equal(orders.last, "raw\norder\n0\n{}\n");
	listen_for(&s, &all, "raw\n");
	UNTIL(&s, wants(&s, "raw\nproduct\n"));
	say(&s, "raw\nproduct\n0\n{}\n");
	UNTIL(&s, all.count == 1);
	assert_int_equal(orders.count, 1);
	bus_tap_in_close(&orders.in);
	bus_tap_in_close(&all.in);
	UNTIL(&s, !bus_tap_active(s.tap));
	close_scene(&s);
}

/* Two who want the same, and one of them leaves. */
static void the_last_listener_ends_it(void **state)
{
	struct ear a, b;
	struct scene s;

	(void)state;
	open_scene(&s);
	listen_for(&s, &a, "raw\n");
	listen_for(&s, &b, "raw\n");
	UNTIL(&s, bus_tap_active(s.tap));
	do
		say(&s, "raw\norder\n0\n{}\n"), turn_both(&s);
	while (!a.count || !b.count);
	bus_tap_in_close(&a.in);
	b.count = 0;
	for (int i = 0; i < 200; i++)
		turn_both(&s);
	assert_true(bus_tap_active(s.tap));
	say(&s, "raw\norder\n0\n{}\n");
	UNTIL(&s, b.count);
	bus_tap_in_close(&b.in);
	UNTIL(&s, !bus_tap_active(s.tap));
	close_scene(&s);
}

static void a_slow_listener_holds_up_nobody(void **state)
{
	char *big = xmalloc(100000);
	struct scene s;
	struct ear ear;

	(void)state;
	memset(big, 'x', 100000);
	memcpy(big, "raw\n", 4);
	open_scene(&s);
	listen_for(&s, &ear, "raw\n");
	UNTIL(&s, bus_tap_active(s.tap));
	/* 100 MB that nobody takes: bounded, and each send returns at once. */
	for (int i = 0; i < 1000; i++) {
		bus_tap_send(s.tap, big, 100000);
		node_turn(&s.producer);
	}
	UNTIL(&s, ear.count > 0);
	assert_true(ear.count < 1000);
	bus_tap_in_close(&ear.in);
	close_scene(&s);
	free(big);
}

/* Beyond what is remembered, everything is shown: nobody misses his own. */
static void many_topics_are_all_served(void **state)
{
	struct ear *ears = xcalloc(70, sizeof(*ears));
	struct scene s;
	char topic[40];

	(void)state;
	open_scene(&s);
	for (int i = 0; i < 70; i++) {
		snprintf(topic, sizeof(topic), "raw\nstream%02d\n", i);
		listen_for(&s, &ears[i], topic);
	}
	UNTIL(&s, wants(&s, "raw\nanything\n"));
	while (!ears[69].count) {
		say(&s, "raw\nstream69\n0\n{}\n");
		turn_both(&s);
	}
	for (int i = 0; i < 70; i++)
		bus_tap_in_close(&ears[i].in);
	close_scene(&s);
	free(ears);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_listens_hears_its_topic),
	    cmocka_unit_test(the_last_listener_ends_it),
	    cmocka_unit_test(a_slow_listener_holds_up_nobody),
	    cmocka_unit_test(many_topics_are_all_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
