/*
 * The pipes to the service that sends events again, without the service.
 * LINK: services/lake/door.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "services/lake/door.h"

#define MUCH	   ((size_t)1 << 20) /* more than a pipe holds */
#define SOON_US	   50000
#define LONG_US	   60000000
#define ENDS_BYTES 4096

/* A door with MUCH to send, and the service's end of its pipe. */
struct fixture {
	struct door door;
	atomic_bool stop;
	int end;
};

static int open_pipe(void **state)
{
	static struct fixture f;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
	f = (struct fixture){.end = ends[0]};
	f.door = (struct door){.to = ends[1], .from = -1, .stop = &f.stop};
	f.door.log = strdup("/dev/null");
	buf_reserve(&f.door.out, MUCH);
	for (size_t i = 0; i < MUCH; i++)
		buf_char(&f.door.out, (char)(i % 251));
	*state = &f;
	return 0;
}

static int close_pipe(void **state)
{
	struct fixture *f = *state;

	door_close(&f->door);
	if (f->end >= 0)
		close(f->end);
	return 0;
}

static void sending_ends_when_the_service_takes_no_more(void **state)
{
	struct fixture *f = *state;
	struct err err = {0};

	assert_int_equal(door_send(&f->door, SOON_US, &err), -1);
	assert_int_equal(err.code, ETIMEDOUT);
}

static void sending_ends_when_it_is_told_to_stop(void **state)
{
	struct fixture *f = *state;
	struct err err = {0};

	atomic_store(&f->stop, true);
	assert_int_equal(door_send(&f->door, LONG_US, &err), -1);
	assert_int_equal(err.code, ECANCELED);
}

static void sending_ends_with_the_service(void **state)
{
	struct fixture *f = *state;
	struct err err = {0};

	signal(SIGPIPE, SIG_IGN);
	close(f->end);
	f->end = -1;
	assert_int_equal(door_send(&f->door, LONG_US, &err), -1);
	assert_int_equal(err.code, ECONNABORTED);
}

static void *take_all(void *arg)
{
	const struct fixture *f = arg;
	uint8_t data[ENDS_BYTES];
	uintptr_t right = 0;
	ssize_t n;

	while (right < MUCH && (n = read(f->end, data, sizeof(data))) > 0)
		for (ssize_t i = 0; i < n; i++)
			right += data[i] == (uint8_t)(right % 251);
	return (void *)right;
}

static void a_slow_service_gets_all_of_it(void **state)
{
	struct fixture *f = *state;
	struct err err = {0};
	pthread_t thread;
	void *right;

	assert_int_equal(pthread_create(&thread, NULL, take_all, f), 0);
	assert_int_equal(door_send(&f->door, LONG_US, &err), 0);
	assert_int_equal(pthread_join(thread, &right), 0);
	assert_int_equal((uintptr_t)right, MUCH);
	assert_int_equal(f->door.out.used, 0);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, open_pipe, close_pipe)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(sending_ends_when_the_service_takes_no_more),
	    TEST(sending_ends_when_it_is_told_to_stop),
	    TEST(sending_ends_with_the_service),
	    TEST(a_slow_service_gets_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
