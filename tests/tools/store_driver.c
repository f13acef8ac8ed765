/*
 * A lake's store for system tests: does what its arguments say, one call of
 * store.h a run, and says how it ended.
 *
 *	store_driver create NAME TEXT    created | exists | unknown TEXT
 *	store_driver race N NAME         created=1 exists=63 unknown=0 failed=0
 *	store_driver put NAME TEXT
 *	store_driver upload NAME PATH
 *	store_driver get NAME            the bytes
 *	store_driver fetch NAME PATH
 *	store_driver list PREFIX [FROM]  BYTES NAME, a line each
 *	store_driver dirs PREFIX         NAME, a line each
 *	store_driver remove NAME
 *	store_driver head NAME           bytes, of a blob
 *	store_driver range NAME AT BYTES the bytes, of a blob
 *	store_driver check
 *
 * STORE_URL, STORE_TYPE (account_key, sas, connection_string) and STORE_SECRET
 * say where; STORE_DEADLINE_MS, STORE_STALL_MS, STORE_BLOCK and STORE_PAGE as
 * struct blob_options has them. A call that fails ends with code 1 and "ERRNO
 * retriable|final TEXT" on stderr.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lake/store_blob.h"

static struct conf_identity identity;
static struct blob_options options = {.identity_name = "lake"};

static int64_t number(const char *name)
{
	const char *text = getenv(name);

	return text ? strtoll(text, NULL, 10) : 0;
}

static void set_options(void)
{
	static const char *const types[] = {"account_key", "sas",
					    "connection_string"};
	const char *type = getenv("STORE_TYPE");

	if (type) {
		while (strcmp(types[identity.type], type) != 0)
			identity.type++;
		identity.key = identity.token = identity.connection_string =
		    getenv("STORE_SECRET");
		options.identity = &identity;
	}
	options.deadline_us = number("STORE_DEADLINE_MS") * 1000;
	options.stall_us = number("STORE_STALL_MS") * 1000;
	options.block_bytes = number("STORE_BLOCK");
	options.page = (uint32_t)number("STORE_PAGE");
}

static int fail(const struct err *err)
{
	fprintf(stderr, "%s %s %s\n", strerrorname_np(err->code),
		err->retriable ? "retriable" : "final", err->text);
	return 1;
}

/* ---- many writers ---- */

struct racer {
	pthread_t thread;
	const char *name;
	pthread_barrier_t *start;
	enum store_put result;
	int rc;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	struct store *s;
	struct err err;
	char text[40];

	r->rc = store_open(&s, getenv("STORE_URL"), &options, &err);
	snprintf(text, sizeof(text), "writer %p", arg);
	pthread_barrier_wait(r->start);
	if (r->rc != 0)
		return NULL;
	r->rc = store_put_if_absent(s, r->name, text, strlen(text), &r->result,
				    &err);
	if (r->rc != 0)
		fail(&err);
	store_close(&s);
	return NULL;
}

static int run_race(unsigned count, const char *name)
{
	struct racer *racers = calloc(count, sizeof(*racers));
	unsigned ended[3] = {0}, failed = 0;
	pthread_barrier_t start;

	pthread_barrier_init(&start, NULL, count);
	for (unsigned i = 0; i < count; i++) {
		racers[i].name = name;
		racers[i].start = &start;
		if (pthread_create(&racers[i].thread, NULL, race, &racers[i]))
			abort();
	}
	for (unsigned i = 0; i < count; i++) {
		pthread_join(racers[i].thread, NULL);
		if (racers[i].rc != 0)
			failed++;
		else
			ended[racers[i].result]++;
	}
	printf("created=%u exists=%u unknown=%u failed=%u\n",
	       ended[STORE_CREATED], ended[STORE_EXISTS], ended[STORE_UNKNOWN],
	       failed);
	free(racers);
	return 0;
}

/* ---- one call ---- */

static bool print_file(void *arg, const struct store_file *file)
{
	(void)arg;
	printf("%lld %s\n", (long long)file->bytes, file->name);
	return true;
}

static bool print_dir(void *arg, const char *name)
{
	(void)arg;
	printf("%s\n", name);
	return true;
}

static int create(struct store *s, const char *name, const char *text,
		  struct err *err)
{
	enum store_put result;

	if (store_put_if_absent(s, name, text, strlen(text), &result, err) != 0)
		return -1;
	if (result == STORE_UNKNOWN)
		printf("unknown %s\n", err->text);
	else
		puts(result == STORE_CREATED ? "created" : "exists");
	return 0;
}

static int get(struct store *s, const char *name, struct err *err)
{
	struct buf data = {0};
	int rc = store_get(s, name, 64 << 20, &data, err);

	if (rc == 0)
		fwrite(buf_str(&data), 1, data.used, stdout);
	buf_free(&data);
	return rc;
}

static int run(struct store *s, char **a, struct err *err)
{
	if (strcmp(a[0], "create") == 0)
		return create(s, a[1], a[2], err);
	if (strcmp(a[0], "put") == 0)
		return store_put(s, a[1], a[2], strlen(a[2]), err);
	if (strcmp(a[0], "upload") == 0)
		return store_upload(s, a[1], a[2], err);
	if (strcmp(a[0], "get") == 0)
		return get(s, a[1], err);
	if (strcmp(a[0], "fetch") == 0)
		return store_fetch(s, a[1], a[2], err);
	if (strcmp(a[0], "list") == 0)
		return store_list(s, a[1], a[2], print_file, NULL, err);
	if (strcmp(a[0], "dirs") == 0)
		return store_list_dirs(s, a[1], print_dir, NULL, err);
	if (strcmp(a[0], "remove") == 0)
		return store_remove(s, a[1], err);
	return err_set(err, EINVAL, "%s: no such command", a[0]);
}

/* What a store has no call for. */
static int run_blob(char **a)
{
	struct blob_client *c;
	struct buf data = {0};
	struct err err;
	int64_t bytes = 0;
	int rc = blob_open(&c, getenv("STORE_URL"), &options, &err);

	if (rc == 0 && strcmp(a[0], "head") == 0)
		rc = blob_head(c, a[1], &bytes, &err);
	else if (rc == 0)
		rc = blob_get(c, a[1],
			      &(struct blob_range){strtoll(a[2], NULL, 10),
						   strtoll(a[3], NULL, 10)},
			      1000, &data, &err);
	if (rc == 0 && data.data)
		fwrite(data.data, 1, data.used, stdout);
	else if (rc == 0)
		printf("%lld\n", (long long)bytes);
	buf_free(&data);
	blob_close(&c);
	return rc == 0 ? 0 : fail(&err);
}

int main(int argc, char **argv)
{
	struct store *s;
	struct err err;
	int rc;

	set_options();
	if (argc == 4 && strcmp(argv[1], "race") == 0)
		return run_race((unsigned)atoi(argv[2]), argv[3]);
	if (argc == 2 && strcmp(argv[1], "check") == 0)
		return store_check(getenv("STORE_URL"), &options, &err) == 0
			   ? 0
			   : fail(&err);
	if ((argc == 3 && strcmp(argv[1], "head") == 0) ||
	    (argc == 5 && strcmp(argv[1], "range") == 0))
		return run_blob(argv + 1);
	if (argc < 3 || store_open(&s, getenv("STORE_URL"), &options, &err))
		return argc < 3 ? 2 : fail(&err);
	rc = run(s, argv + 1, &err) == 0 ? 0 : fail(&err);
	store_close(&s);
	return rc;
}
