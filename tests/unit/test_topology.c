/* The topology file as a service reads it, over its configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/private.h"

static char path[] = "/tmp/weft-topology-XXXXXX";

static void put(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static struct conf_service rows[2];
static struct conf conf = {.services = rows, .service_count = 2};

static int read_it(const char *text, uint64_t *generation, struct err *err)
{
	rows[0] = (struct conf_service){.name = "collector", .instances = 1};
	rows[1] = (struct conf_service){.name = "transformer", .instances = 1};
	*generation = 0;
	put(text);
	return topology_read(path, &conf, generation, err);
}

static void rows_get_its_numbers(void **state)
{
	uint64_t generation;
	struct err err;

	(void)state;
	assert_int_equal(
	    read_it("{\"version\":1,\"generation\":7,\"new\":[],\"services\":["
		    "{\"name\":\"transformer\",\"instances\":3},"
		    "{\"name\":\"of another release\",\"instances\":2}]}",
		    &generation, &err),
	    0);
	assert_int_equal(generation, 7);
	assert_int_equal(rows[0].instances, 1);
	assert_int_equal(rows[1].instances, 3);
}

static void numbers_that_cannot_be_are_left_alone(void **state)
{
	static const char *const bad[] = {"0",	   "-1", "65",	"1e300",
					  "\"2\"", "[]", "null"};
	uint64_t generation;
	struct err err;
	char text[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(text, sizeof(text),
			 "{\"version\":1,\"generation\":1,\"services\":["
			 "{\"name\":\"transformer\",\"instances\":%s}]}",
			 bad[i]);
		assert_int_equal(read_it(text, &generation, &err), 0);
		assert_int_equal(rows[1].instances, 1);
	}
}

static void what_is_no_topology_is_refused(void **state)
{
	static const char *const bad[] = {
	    "",
	    "nonsense",
	    "[]",
	    "{\"generation\":1,\"services\":[]}",
	    "{\"version\":2,\"generation\":1,\"services\":[]}",
	    "{\"version\":1,\"generation\":0,\"services\":[]}",
	    "{\"version\":1,\"generation\":1,\"services\":[",
	};
	uint64_t generation;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(read_it(bad[i], &generation, &err), -1);
		assert_non_null(strstr(err.text, "no topology of version 1"));
		assert_int_equal(generation, 0);
		assert_int_equal(rows[1].instances, 1);
	}
	unlink(path);
	assert_int_equal(topology_read(path, &conf, &generation, &err), -1);
	assert_non_null(strstr(err.text, path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rows_get_its_numbers),
	    cmocka_unit_test(numbers_that_cannot_be_are_left_alone),
	    cmocka_unit_test(what_is_no_topology_is_refused),
	};
	int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
