/* One process for each instance: whoever comes second is told who was first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "run/private.h"

static void test_an_instance_runs_once(void **state)
{
	char dir[] = "/tmp/weft-test-statedir-XXXXXX", pid[32];
	struct run first = {.lock_fd = -1}, second = {.lock_fd = -1};
	struct err err = {0};

	(void)state;
	assert_non_null(mkdtemp(dir));
	first.state_dir = second.state_dir =
	    xasprintf("%s/made/collector.0", dir);
	assert_int_equal(statedir_take(&first, &err), 0);
	assert_int_equal(statedir_take(&second, &err), -1);
	assert_int_equal(err.code, EBUSY);
	assert_true(err.retriable);
	snprintf(pid, sizeof(pid), "process %d runs", (int)getpid());
	assert_non_null(strstr(err.text, pid));
	assert_non_null(strstr(err.text, first.state_dir));
	close(second.lock_fd);
	/* The lock ends with its process, whatever it leaves behind. */
	close(first.lock_fd);
	assert_int_equal(statedir_take(&second, &err), 0);
	close(second.lock_fd);
	free(first.state_dir);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {
		    "/made/collector.0/lock", "/made/collector.0", "/made"};
		char *path = xasprintf("%s%s", dir, names[i]);

		assert_int_equal(remove(path), 0);
		free(path);
	}
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_an_instance_runs_once),
	};

	return cmocka_run_group_tests_name("statedir", tests, NULL, NULL);
}
