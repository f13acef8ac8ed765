/* The DuckDB that scripts/deps/fetch gets: it is found by programs, fits the
 * header, and holds what tables need without loading anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <duckdb.h>

static void the_library_is_the_pinned_one(void **state)
{
	(void)state;
	assert_memory_equal(duckdb_library_version(), "v1.5.", 5);
}

static void parquet_and_json_are_linked_in(void **state)
{
	duckdb_database db;
	duckdb_connection con;
	duckdb_result result;
	duckdb_data_chunk chunk;
	int64_t *count;

	(void)state;
	assert_int_equal(duckdb_open(NULL, &db), DuckDBSuccess);
	assert_int_equal(duckdb_connect(db, &con), DuckDBSuccess);
	assert_int_equal(
	    duckdb_query(con,
			 "SELECT count(*) FROM duckdb_extensions()"
			 " WHERE install_mode = 'STATICALLY_LINKED'"
			 " AND extension_name IN"
			 " ('parquet', 'json', 'icu')",
			 &result),
	    DuckDBSuccess);
	chunk = duckdb_fetch_chunk(result);
	count = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0));
	assert_int_equal(*count, 3);
	duckdb_destroy_data_chunk(&chunk);
	duckdb_destroy_result(&result);
	duckdb_disconnect(&con);
	duckdb_close(&db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_library_is_the_pinned_one),
	    cmocka_unit_test(parquet_and_json_are_linked_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
