/* API keys: parsing, finding, rates, reload.
 * LINK: services/collector/keys.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "services/collector/keys.h"

/* sha256sum of "abc", FIPS 180-2 appendix B.1 */
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
/* sha256sum of nothing */
#define NOTHING \
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct key *find(struct keys *keys, const char *secret)
{
	return keys_find(keys, secret, strlen(secret));
}

static void load(struct keys *keys, const char *text)
{
	struct err err;

	if (keys_load(keys, text, &err) != 0)
		fail_msg("%s", err.text);
}

static void finds_keys_by_their_hash(void **state)
{
	struct keys *keys = keys_new();

	(void)state;
	load(keys, NULL);
	assert_false(keys_needed(keys));
	load(keys, "# shops\n\n  shop.1:" ABC "\r\nempty:" NOTHING ":5\n");
	assert_true(keys_needed(keys));
	assert_non_null(find(keys, "abc"));
	assert_string_equal(key_name(find(keys, "abc")), "shop.1");
	assert_string_equal(key_name(find(keys, "")), "empty");
	assert_null(find(keys, "abd"));
	assert_null(find(keys, ABC));
	keys_free(&keys);
	assert_null(keys);
}

static void names_the_bad_line(void **state)
{
	static const char *const bad[][2] = {
	    {"shop\n", "line 1 is not name:sha256"},
	    {"a:" ABC "\n:" ABC, "line 2 is not name:sha256"},
	    {"shop:my-plain-key\n", "stands no SHA-256"},
	    {"shop:" ABC "0\n", "stands no SHA-256"},
	    {"sh\"op:" ABC "\n", "a name has only"},
	    {"shop:" ABC ":0\n", "the rate of shop"},
	    {"shop:" ABC ":1x\n", "the rate of shop"},
	    {"shop:" ABC ":-1\n", "the rate of shop"},
	    {"# none\n", "has no key in it"},
	    {"", "has no key in it"},
	};
	struct keys *keys = keys_new();
	struct err err;

	(void)state;
	load(keys, "old:" ABC);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(keys_load(keys, bad[i][0], &err), -1);
		if (!strstr(err.text, bad[i][1]))
			fail_msg("'%s' is not in: %s", bad[i][1], err.text);
		/* a key in its plain form must not get into the log */
		assert_null(strstr(err.text, "my-plain-key"));
		assert_string_equal(key_name(find(keys, "abc")), "old");
	}
	keys_free(&keys);
}

static void reload_revokes_and_keeps(void **state)
{
	struct keys *keys = keys_new();
	struct key *abc, *empty;
	int64_t retry_s;

	(void)state;
	load(keys, "abc:" ABC ":10\nempty:" NOTHING);
	abc = find(keys, "abc");
	empty = find(keys, "");
	assert_true(key_admits(abc, 1000000, &retry_s));
	key_spend(abc, 30);
	load(keys, "abc:" ABC ":10");
	assert_ptr_equal(find(keys, "abc"), abc);
	/* the debt is still there, and a revoked key may still be named */
	assert_false(key_admits(abc, 1000000, &retry_s));
	assert_null(find(keys, ""));
	assert_string_equal(key_name(empty), "empty");
	load(keys, NULL);
	assert_false(keys_needed(keys));
	keys_free(&keys);
}

static void rates_are_kept(void **state)
{
	struct keys *keys = keys_new();
	struct key *key;
	int64_t retry_s = 0, now_us = 5000000;

	(void)state;
	load(keys, "abc:" ABC ":100");
	key = find(keys, "abc");
	assert_true(key_admits(key, now_us, &retry_s));
	key_spend(key, 350); /* one request may overdraw */
	assert_false(key_admits(key, now_us, &retry_s));
	assert_int_equal(retry_s, 3);
	assert_false(key_admits(key, now_us + 2000000, &retry_s));
	assert_int_equal(retry_s, 1);
	assert_true(key_admits(key, now_us + 3000000, &retry_s));
	/* an hour of silence saves up one second, not an hour */
	now_us += INT64_C(3600000000);
	assert_true(key_admits(key, now_us, &retry_s));
	key_spend(key, 100);
	assert_false(key_admits(key, now_us, &retry_s));
	keys_free(&keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(finds_keys_by_their_hash),
	    cmocka_unit_test(names_the_bad_line),
	    cmocka_unit_test(reload_revokes_and_keeps),
	    cmocka_unit_test(rates_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
