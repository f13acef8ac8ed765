#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/durable.h"
#include "contract/mask.h"
#include "contract/match.h"

void contract_report_free(struct contract_report *report)
{
	buf_free(&report->lines);
	*report = (struct contract_report){0};
}

void *set_alloc(struct contract_set *set, size_t count, size_t bytes)
{
	if (set->owned_count == set->owned_room) {
		set->owned_room = set->owned_room ? set->owned_room * 2 : 256;
		set->owned =
		    xreallocarray(set->owned, set->owned_room, sizeof(void *));
	}
	return set->owned[set->owned_count++] = xcalloc(count, bytes);
}

const char *set_text(struct contract_set *set, const char *text, size_t bytes)
{
	char *copy = set_alloc(set, bytes + 1, 1);

	memcpy(copy, text, bytes);
	return copy;
}

const regex_t *set_pattern(struct contract_set *set, regex_t *pattern)
{
	set->patterns = xreallocarray(set->patterns, set->pattern_count + 1,
				      sizeof(regex_t *));
	return set->patterns[set->pattern_count++] = pattern;
}

struct contract_set *contract_set_ref(struct contract_set *set)
{
	__atomic_add_fetch(&set->references, 1, __ATOMIC_RELAXED);
	return set;
}

void contract_set_unref(struct contract_set **set)
{
	struct contract_set *s = *set;

	*set = NULL;
	if (!s || __atomic_sub_fetch(&s->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; i < s->pattern_count; i++) {
		regfree(s->patterns[i]);
		free(s->patterns[i]);
	}
	for (size_t i = 0; i < s->owned_count; i++)
		free(s->owned[i]);
	if (s->mask_key)
		explicit_bzero(s->mask_key, sizeof(*s->mask_key));
	free(s->mask_key);
	free(s->patterns);
	free(s->owned);
	free(s->matches);
	free(s);
}

uint64_t contract_set_hash(const struct contract_set *set)
{
	return set->hash;
}

uint32_t contract_set_count(const struct contract_set *set)
{
	return set->count;
}

const struct contract *contract_set_at(const struct contract_set *set,
				       uint32_t i)
{
	return &set->models[i]->pub;
}

const struct contract *contract_set_find(const struct contract_set *set,
					 const char *name, size_t bytes)
{
	const struct model *m = match_name(set, name, bytes);

	return m ? &m->pub : NULL;
}

static int write_files(const struct contract_set *set, const char *dir,
		       struct err *err)
{
	if (durable_mkdir(dir, err) < 0)
		return -1;
	for (uint32_t i = 0; i < set->file_count; i++) {
		char *path = xasprintf("%s/%s", dir, set->files[i].text);
		int bad = durable_replace(path, set->texts[i].text,
					  set->texts[i].bytes, err);

		free(path);
		if (bad < 0)
			return -1;
	}
	return 0;
}

static void remove_files(const struct contract_set *set, const char *dir)
{
	for (uint32_t i = 0; i < set->file_count; i++) {
		char *path = xasprintf("%s/%s", dir, set->files[i].text);

		unlink(path);
		free(path);
	}
	rmdir(dir);
}

#define NEWEST_BYTES 17 /* 16 hex digits and a line feed */

/* The hash in <dir>/newest, or 0. */
static uint64_t read_newest(const char *dir)
{
	char *path = xasprintf("%s/newest", dir), *data = NULL;
	uint64_t hash = 0;
	size_t bytes;
	struct err ignored;

	if (durable_read(path, NEWEST_BYTES, &data, &bytes, &ignored) == 0)
		hash = strtoull(data, NULL, 16);
	free(data);
	free(path);
	return hash;
}

/* Several processes may write it at once, so each has a file of its own. */
static int write_newest(const char *dir, uint64_t hash, struct err *err)
{
	char text[NEWEST_BYTES + 1];
	char *path, *fresh;
	int result;

	if (read_newest(dir) == hash)
		return 0;
	path = xasprintf("%s/newest", dir);
	fresh = xasprintf("%s.%d.tmp", path, (int)getpid());
	snprintf(text, sizeof(text), "%016" PRIx64 "\n", hash);
	result = durable_replace(fresh, text, NEWEST_BYTES, err);
	if (result == 0 && rename(fresh, path) < 0)
		result = err_errno(err, errno, "cannot rename %s to %s", fresh,
				   path);
	if (result == 0)
		result = durable_sync_dir(dir, err);
	free(path);
	free(fresh);
	return result;
}

int contract_set_check_versions(const struct contract_set *set, const char *dir,
				struct err *err)
{
	static const uint8_t secret[32]; /* nothing is masked here */
	uint64_t newest = read_newest(dir);
	const struct model *first = NULL;
	struct contract_set *old;
	struct err ignored;
	uint32_t count = 0;

	if (!newest || newest == set->hash ||
	    contract_set_load_pinned(&old, dir, newest, secret, sizeof(secret),
				     &ignored) < 0)
		return 0;
	for (uint32_t i = 0; i < set->count; i++) {
		const struct model *m = set->models[i];
		const struct model *was =
		    match_name(old, m->pub.name, m->name_bytes);

		if (!was || was->pub.version != m->pub.version ||
		    was->definition == m->definition)
			continue;
		if (!count++)
			first = m;
	}
	contract_set_unref(&old);
	if (!count)
		return 0;
	return err_set(err, EINVAL,
		       "%s: contract %s version %u was changed since it was "
		       "used (set %016" PRIx64 "), in this file or in one that "
		       "it extends; raise its version (%u contracts in all)",
		       first->pub.file, first->pub.name, first->pub.version,
		       newest, count);
}

/*
 * Written beside its place and renamed, so that a pinned set is whole or not
 * there. Several processes may pin the same set at once; the first one wins.
 * Whoever finds it there syncs its name too: the one that renamed it may not
 * have got that far, and a batch that names the set is to be durable now.
 */
int contract_set_pin(const struct contract_set *set, const char *dir,
		     struct err *err)
{
	char *place = xasprintf("%s/%016" PRIx64, dir, set->hash);
	char *fresh = xasprintf("%s.%d.tmp", place, (int)getpid());
	struct stat st;
	int result = 0;

	if (stat(place, &st) != 0) {
		result = write_files(set, fresh, err);
		if (result == 0 && rename(fresh, place) < 0 &&
		    errno != EEXIST && errno != ENOTEMPTY)
			result = err_errno(err, errno, "cannot rename %s to %s",
					   fresh, place);
		remove_files(set, fresh);
	}
	if (result == 0)
		result = durable_sync_dir(dir, err);
	if (result == 0)
		result = write_newest(dir, set->hash, err);
	free(place);
	free(fresh);
	return result;
}

/* Its arguments are those of contract_set_load(), and which one. */
/* NOLINTNEXTLINE(readability-function-size) */
int contract_set_load_pinned(struct contract_set **set, const char *dir,
			     uint64_t hash, const uint8_t *secret,
			     size_t secret_bytes, struct err *err)
{
	char *place = xasprintf("%s/%016" PRIx64, dir, hash);
	struct contract_report report = {0};
	struct stat st;
	int result = -1;

	*set = NULL;
	if (stat(place, &st) < 0) {
		err_errno(err, errno, "contract set %s was not kept", place);
		goto out;
	}
	result = contract_set_load(set, place, secret, secret_bytes, &report);
	if (result < 0) {
		err_set(err, EINVAL, "contract set %s: %.400s", place,
			buf_str(&report.lines));
	} else if ((*set)->hash != hash) {
		result = err_set(err, EBADMSG,
				 "contract set %s was changed after it was "
				 "kept; restore it",
				 place);
		contract_set_unref(set);
	}
out:
	contract_report_free(&report);
	free(place);
	return result;
}
