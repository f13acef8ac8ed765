/* A store in memory that can lose answers, lose requests, let others in
 * between; and tables in it. */
#ifndef WEFT_TEST_DELTA_FIXTURE_H
#define WEFT_TEST_DELTA_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "lake/delta.h"

#define FILES_MOST 256

struct memory_file {
	char *name;
	struct buf data;
};

/* What becomes of one put, in turn; beyond them all go well. */
enum fate {
	FATE_WELL,
	FATE_ANSWER_LOST,  /* made, but nobody hears of it */
	FATE_REQUEST_LOST, /* not made, and nobody hears of it */
	FATE_LATE,	   /* made when `late` is let in; not heard of */
	FATE_REFUSED,	   /* certainly not made */
};

struct memory {
	struct store store;
	struct memory_file files[FILES_MOST];
	size_t count;
	enum fate fates[8];
	size_t fate_count, fate_at;
	char *late_name;
	struct buf late;
	/* How many gets go well, and how many have no answer behind them. */
	int gets_well, gets_fail;
	int puts, gets, lists;
	/* Called before a put acts: what others do in between. */
	void (*meanwhile)(struct memory *m);
};

static inline struct memory_file *memory_find(struct memory *m,
					      const char *name)
{
	for (size_t i = 0; i < m->count; i++) {
		if (strcmp(m->files[i].name, name) == 0)
			return &m->files[i];
	}
	return NULL;
}

/* Creates or replaces. The files stay sorted by name. */
static inline void memory_write(struct memory *m, const char *name,
				const void *data, size_t bytes)
{
	struct memory_file *f = memory_find(m, name);
	size_t at = 0;

	if (!f) {
		assert_true(m->count < FILES_MOST);
		while (at < m->count && strcmp(m->files[at].name, name) < 0)
			at++;
		memmove(&m->files[at + 1], &m->files[at],
			(m->count++ - at) * sizeof(m->files[0]));
		f = &m->files[at];
		*f = (struct memory_file){.name = xstrdup(name)};
	}
	buf_clear(&f->data);
	buf_append(&f->data, data, bytes);
}

static inline int no_answer(struct err *err)
{
	err_set(err, ETIMEDOUT, "no answer");
	err->retriable = true;
	return -1;
}

static inline int memory_put_if_absent(struct store *s, const char *name,
				       const void *data, size_t bytes,
				       enum store_put *result, struct err *err)
{
	struct memory *m = (struct memory *)s;
	enum fate fate = FATE_WELL;
	void (*meanwhile)(struct memory * m) = m->meanwhile;

	m->puts++;
	m->meanwhile = NULL;
	if (meanwhile)
		meanwhile(m);
	if (m->fate_at < m->fate_count)
		fate = m->fates[m->fate_at++];
	*result = STORE_UNKNOWN;
	if (fate == FATE_REQUEST_LOST)
		return 0;
	if (fate == FATE_REFUSED)
		return no_answer(err);
	if (fate == FATE_LATE) {
		m->late_name = xstrdup(name);
		buf_append(&m->late, data, bytes);
		return 0;
	}
	if (memory_find(m, name)) {
		*result = STORE_EXISTS;
		return 0;
	}
	memory_write(m, name, data, bytes);
	if (fate == FATE_WELL)
		*result = STORE_CREATED;
	return 0;
}

/* The late request arrives: it is made if its name is free. */
static inline void memory_let_in(struct memory *m)
{
	if (!memory_find(m, m->late_name))
		memory_write(m, m->late_name, m->late.data, m->late.used);
	free(m->late_name);
	m->late_name = NULL;
	buf_clear(&m->late);
}

static inline int memory_put(struct store *s, const char *name,
			     const void *data, size_t bytes, struct err *err)
{
	(void)err;
	memory_write((struct memory *)s, name, data, bytes);
	return 0;
}

static inline int memory_get(struct store *s, const char *name, size_t limit,
			     struct buf *data, struct err *err)
{
	struct memory *m = (struct memory *)s;
	const struct memory_file *f = memory_find(m, name);

	m->gets++;
	if (m->gets_well)
		m->gets_well--;
	else if (m->gets_fail && m->gets_fail--)
		return no_answer(err);
	if (!f)
		return err_set(err, ENOENT, "%s is not there", name);
	assert_true(f->data.used <= limit);
	buf_append(data, f->data.data, f->data.used);
	return 0;
}

static inline int memory_list(struct store *s, const char *prefix,
			      const char *from,
			      bool (*visit)(void *arg,
					    const struct store_file *file),
			      void *arg, struct err *err)
{
	struct memory *m = (struct memory *)s;

	(void)err;
	m->lists++;
	for (size_t i = 0; i < m->count; i++) {
		const struct memory_file *f = &m->files[i];
		struct store_file file = {.name = f->name,
					  .bytes = (int64_t)f->data.used,
					  .modified_at_ms = 1000};

		if (strncmp(f->name, prefix, strlen(prefix)) == 0 &&
		    (!from || strcmp(f->name, from) >= 0) && !visit(arg, &file))
			break;
	}
	return 0;
}

static inline void memory_close(struct store *s)
{
	struct memory *m = (struct memory *)s;

	for (size_t i = 0; i < m->count; i++) {
		free(m->files[i].name);
		buf_free(&m->files[i].data);
	}
	free(m->late_name);
	buf_free(&m->late);
	free(m);
}

static inline struct memory *memory_open(void)
{
	static const struct store_kind kind = {
	    .put_if_absent = memory_put_if_absent,
	    .put = memory_put,
	    .get = memory_get,
	    .list = memory_list,
	    .close = memory_close,
	};
	struct memory *m = xcalloc(1, sizeof(*m));

	m->store.kind = &kind;
	m->store.url = xstrdup("file:///lake");
	return m;
}

static inline void memory_free(struct memory *m)
{
	struct store *s = &m->store;

	store_close(&s);
}

/* --- tables of the log "Tables/t" --- */

#define PROTOCOL                                 \
	"{\"protocol\":{\"minReaderVersion\":1," \
	"\"minWriterVersion\":2}}\n"
#define FIELD(name, type)                                       \
	"{\\\"name\\\":\\\"" name "\\\",\\\"type\\\":\\\"" type \
	"\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}"
#define METADATA_OF(fields, partitions, configuration)                      \
	"{\"metaData\":{\"id\":\"i\",\"format\":{\"provider\":\"parquet\"," \
	"\"options\":{}},\"schemaString\":\"{\\\"type\\\":\\\"struct\\\","  \
	"\\\"fields\\\":[" fields "]}\",\"partitionColumns\":[" partitions  \
	"],\"configuration\":{" configuration "},\"createdTime\":1}}\n"
#define METADATA METADATA_OF(FIELD("x", "long"), "", "")
#define ADD(path)                                                  \
	"{\"add\":{\"path\":\"" path "\",\"partitionValues\":{},"  \
	"\"size\":10,\"modificationTime\":20,\"dataChange\":true," \
	"\"stats\":\"{\\\"numRecords\\\":3}\"}}\n"
#define REMOVE(path)                                                  \
	"{\"remove\":{\"path\":\"" path "\",\"deletionTimestamp\":1," \
	"\"dataChange\":true}}\n"
#define TXN(app, version) \
	"{\"txn\":{\"appId\":\"" app "\",\"version\":" version "}}\n"

static inline void put_log(struct memory *m, int64_t version, const char *text)
{
	char name[80];

	snprintf(name, sizeof(name), "Tables/t/_delta_log/%020" PRId64 ".json",
		 version);
	memory_write(m, name, text, strlen(text));
}

static inline struct delta *open_table(struct memory *m)
{
	struct delta *t;
	struct err err;

	if (delta_open(&t, &m->store, NULL, "Tables/t", &err) != 0)
		fail_msg("%s", err.text);
	return t;
}

/* It cannot be opened, and the reason has these words. */
static inline void refuses(struct memory *m, const char *words)
{
	struct delta *t;
	struct err err;

	assert_int_equal(delta_open(&t, &m->store, NULL, "Tables/t", &err), -1);
	assert_null(t);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

/* All live files by their paths in the log, joined by a space. */
static inline const char *live_files(struct delta *t)
{
	static struct buf names;

	buf_clear(&names);
	for (uint32_t i = 0; i < delta_file_count(t); i++)
		buf_printf(&names, "%s%s", i ? " " : "",
			   delta_file_at(t, i)->path);
	return buf_str(&names);
}

static inline struct schema *schema_of(const char *fields)
{
	struct schema *s;
	struct err err;
	char *json = xasprintf("{\"type\":\"struct\",\"fields\":[%s]}", fields);

	if (schema_parse(&s, json, strlen(json), &err) != 0)
		fail_msg("%s", err.text);
	free(json);
	return s;
}

#define COLUMN(name, type)                        \
	"{\"name\":\"" name "\",\"type\":\"" type \
	"\",\"nullable\":true,\"metadata\":{}}"

#endif
