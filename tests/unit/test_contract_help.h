/* What the tests of contracts share: sets from text, and intake of one body. */
#ifndef WEFT_TEST_CONTRACT_HELP_H
#define WEFT_TEST_CONTRACT_HELP_H

#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "contract/contract.h"
#include "contract/intake.h"
#include "contract/mapper.h"
#include "proto/batch.h"

#define SECRET	     "0123456789abcdef0123456789abcdef"
#define SECRET_BYTES 32
#define NOW_US	     INT64_C(1767225600000000) /* 2026-01-01T00:00:00Z */
#define NOW_TEXT     "2026-01-01T00:00:00.000000Z"

/* The smallest head of a contract; fields follow. */
#define HEAD                                               \
	"name = \"t\"; version = 1; doc = \"d\";"          \
	"match = { event_type = \"t\"; };"                 \
	"identity = [\"event_id\"];"                       \
	"event_time = \"event_time\";"                     \
	"partition_key = \"k\";"                           \
	"fields = ("                                       \
	"{ name = \"event_id\"; type = \"string\"; },"     \
	"{ name = \"event_type\"; type = \"string\"; },"   \
	"{ name = \"event_time\"; type = \"datetime\"; }," \
	"{ name = \"k\"; type = \"string\"; },"            \
	"{ name = \"custom_properties\"; type = \"dynamic\"; }"
#define TAIL ");"

struct folder {
	char path[64];
};

static inline void folder_make(struct folder *d)
{
	snprintf(d->path, sizeof(d->path), "/tmp/weft-test-XXXXXX");
	assert_non_null(mkdtemp(d->path));
}

static inline void folder_put(const struct folder *d, const char *name,
			      const char *text)
{
	char *path = xasprintf("%s/%s", d->path, name);
	FILE *f = fopen(path, "w");

	free(path);
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static inline void folder_remove_path(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	char *inner;

	while (dir && (e = readdir(dir))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		inner = xasprintf("%s/%s", path, e->d_name);
		if (unlink(inner) < 0)
			folder_remove_path(inner);
		free(inner);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

static inline void folder_remove(const struct folder *d)
{
	folder_remove_path(d->path);
}

/* The set of a folder; it must compile. */
static inline struct contract_set *set_of_folder(const char *path)
{
	struct contract_report report;
	struct contract_set *set;
	int bad = contract_set_load(&set, path, (const uint8_t *)SECRET,
				    SECRET_BYTES, &report);

	if (bad)
		print_error("%s", buf_str(&report.lines));
	contract_report_free(&report);
	assert_int_equal(bad, 0);
	return set;
}

/* The set of one contract; it must compile. */
static inline struct contract_set *set_of_text(const char *text)
{
	struct contract_set *set;
	struct folder d;

	folder_make(&d);
	folder_put(&d, "t.conf", text);
	set = set_of_folder(d.path);
	folder_remove(&d);
	return set;
}

/* All problems of one contract, owned by the caller. */
static inline char *problems_of_text(const char *text)
{
	struct contract_report report;
	struct contract_set *set;
	struct folder d;
	char *lines;

	folder_make(&d);
	folder_put(&d, "t.conf", text);
	assert_int_equal(contract_set_load(&set, d.path,
					   (const uint8_t *)SECRET,
					   SECRET_BYTES, &report),
			 -1);
	assert_null(set);
	lines = xstrdup(buf_str(&report.lines));
	contract_report_free(&report);
	folder_remove(&d);
	return lines;
}

/* One body taken in, and the batch that came of it. */
struct taken {
	struct intake_result result;
	struct batch *batch;
};

static inline struct taken *take_once(struct contract_set *set,
				      const struct intake_request *request,
				      struct mapper_counts *counts)
{
	struct taken *t = xcalloc(1, sizeof(*t));
	struct intake *in = intake_new();
	struct batch_builder *w = batch_builder_new();
	struct batch_header header = {
	    .created_at_us = request->now_us,
	    .contract_set = contract_set_hash(set),
	};

	intake_body(in, set, request, NULL, w, &t->result);
	t->batch = batch_builder_seal(w, &header);
	assert_int_equal(t->batch->header.events, t->result.accepted);
	if (counts)
		*counts = *intake_get_counts(in);
	batch_builder_free(&w);
	intake_free(&in);
	return t;
}

/* A batch mapped with a set; owned by the caller. */
static inline struct batch *map_batch(struct contract_set *set,
				      const struct batch *b,
				      struct mapper_counts *counts)
{
	struct mapper *m = mapper_new();
	struct batch_builder *w = batch_builder_new();
	struct batch *out;

	for (uint32_t i = 0; i < b->header.events; i++)
		mapper_event(m, set, b, i, w);
	out = batch_builder_seal(w, &b->header);
	if (counts)
		*counts = *mapper_get_counts(m);
	batch_builder_free(&w);
	mapper_free(&m);
	return out;
}

static inline void taken_free(struct taken **t)
{
	batch_unref(&(*t)->batch);
	free(*t);
	*t = NULL;
}

/* Line i of a batch, NUL-terminated, owned by the caller. */
static inline char *line_of(const struct batch *b, uint32_t i)
{
	assert_true(i < b->header.events);
	return xmemdup0(b->payload + b->events[i].offset, b->events[i].bytes);
}

/* All that a batch says of event i, as text; ids that are UUIDs as zeros. */
static inline char *event_text(const struct batch *b, uint32_t i)
{
	const struct batch_event *e = &b->events[i];
	char name[BATCH_STREAM_NAME_BYTES + 1];
	struct buf text = {0};
	char *owned, *line = line_of(b, i), *id;

	if (e->id_bytes == 36) {
		char *known = xmemdup0(b->payload + e->id_offset, 36);

		while ((id = strstr(line, known)))
			memset(id, '0', 36);
		free(known);
	}
	buf_printf(&text, "%s %u %016" PRIx64 "\nkey ",
		   batch_stream(b, e->stream, name), e->version, e->key_hash);
	buf_append(&text, b->payload + e->key_offset, e->key_bytes);
	buf_text(&text, "\ntype ");
	buf_append(&text, b->payload + e->type_offset, e->type_bytes);
	buf_text(&text, "\nid ");
	if (e->id_bytes == 36)
		buf_text(&text, "a UUID");
	else
		buf_append(&text, b->payload + e->id_offset, e->id_bytes);
	buf_printf(&text, "\n%s", line);
	owned = xstrdup(buf_str(&text));
	buf_free(&text);
	free(line);
	return owned;
}

static inline bool is_dead_letter(const struct batch *b, uint32_t i)
{
	char name[BATCH_STREAM_NAME_BYTES + 1];

	return strcmp(batch_stream(b, b->events[i].stream, name),
		      "dead_letter") == 0;
}

/* What intake maps itself is what a mapper makes of what intake did not map. */
static inline void assert_maps_alike(struct contract_set *set,
				     const struct intake_request *request,
				     const struct taken *raw)
{
	struct intake_request mapping = *request;
	struct mapper_counts wanted, got;
	struct batch *out = map_batch(set, raw->batch, &wanted);
	struct taken *t;
	uint32_t k = 0;

	mapping.map = true;
	t = take_once(set, &mapping, &got);
	for (uint32_t i = 0; i < out->header.events; i++) {
		char *one, *two;

		if (is_dead_letter(out, i))
			continue;
		one = event_text(out, i);
		two = event_text(t->batch, k++);
		assert_string_equal(two, one);
		free(one);
		free(two);
	}
	assert_int_equal(k, t->batch->header.events);
	assert_int_equal(t->result.rejected,
			 raw->result.rejected + wanted.dead_letters);
	assert_int_equal(t->result.malformed, raw->result.malformed);
	/* The same bytes, where no id is made up and nothing is left out. */
	if (!wanted.dead_letters) {
		assert_memory_equal(&got, &wanted, sizeof(got));
		assert_int_equal(t->batch->header.payload_bytes,
				 out->header.payload_bytes);
	}
	taken_free(&t);
	batch_unref(&out);
}

/* Requests that would not fit one batch when mapped are no case for it. */
#define COMPARED_BYTES (1u << 20)

static inline struct taken *take_request(struct contract_set *set,
					 const struct intake_request *request)
{
	struct taken *t = take_once(set, request, NULL);

	if (t->batch->header.payload_bytes < COMPARED_BYTES)
		assert_maps_alike(set, request, t);
	return t;
}

static inline struct taken *take_bytes(struct contract_set *set,
				       enum intake_form form, const char *body,
				       size_t bytes)
{
	/* A copy of the exact size, so that ASan sees every step too far. */
	char *copy = xmalloc(bytes ? bytes : 1);
	struct intake_request request = {
	    .form = form,
	    .body = copy,
	    .bytes = bytes,
	    .max_events = 1000,
	    .now_us = NOW_US,
	};
	struct taken *t;

	memcpy(copy, body, bytes);
	t = take_request(set, &request);
	free(copy);
	return t;
}

static inline struct taken *take_text(struct contract_set *set,
				      enum intake_form form, const char *body)
{
	return take_bytes(set, form, body, strlen(body));
}

/* The code of the only event of a body: "ok", or why it was refused. */
static inline const char *code_of(struct contract_set *set,
				  enum intake_form form, const char *body)
{
	struct taken *t = take_text(set, form, body);
	const char *code = "ok";

	if (t->result.malformed)
		code = "malformed";
	else if (t->result.error_count)
		code = intake_code_name(t->result.errors[0].code);
	else
		assert_int_equal(t->result.accepted, 1);
	taken_free(&t);
	return code;
}

#endif
