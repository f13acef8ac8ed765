/* pipelinectl lake: which tables there are, and what was done to them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "services/lake/grid.h"
#include "services/lake/lake.h"

/* ---- what is known of a table ---- */

struct summary {
	int64_t version, rows, bytes; /* rows -1: not all files tell */
	int64_t committed_ms;
	uint32_t files;
	struct err err; /* text is empty: all is well */
};

static bool take_time(void *arg, const struct delta_entry *entry)
{
	struct summary *s = arg;

	s->committed_ms = entry->at_ms;
	return false;
}

static void summarize(struct catalog *c, const struct catalog_table *table,
		      struct summary *s)
{
	struct delta *t = NULL;

	*s = (struct summary){0};
	if (catalog_load(c, table, &t, &s->err) != 0 ||
	    delta_history(t, 1, take_time, s, &s->err) != 0) {
		delta_close(&t);
		return;
	}
	s->err.text[0] = '\0';
	s->version = delta_version(t);
	s->files = delta_file_count(t);
	for (uint32_t i = 0; i < s->files; i++) {
		const struct delta_file *f = delta_file_at(t, i);

		s->bytes += f->bytes;
		if (f->records < 0 || s->rows < 0)
			s->rows = -1;
		else
			s->rows += f->records;
	}
	delta_close(&t);
}

static void put_string(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, "\"%s\":\"", name);
	buf_json_escape(out, text, strlen(text));
	buf_char(out, '"');
}

static void put_time(struct buf *out, const char *name, int64_t at_ms)
{
	char text[CLOCK_TEXT_BYTES];

	put_string(out, name, clock_format(at_ms * 1000, text));
}

static void print_out(struct buf *out)
{
	if (out->used)
		fwrite(out->data, 1, out->used, stdout);
	fflush(stdout);
	buf_free(out);
}

/* ---- ls ---- */

static void grid_age(struct grid *g, int64_t at_ms)
{
	int64_t s = (clock_wall_us() / 1000 - at_ms) / 1000;
	char text[48];

	if (s < 60)
		snprintf(text, sizeof(text), "%" PRId64 "s", s < 0 ? 0 : s);
	else if (s < 3600)
		snprintf(text, sizeof(text), "%" PRId64 "m%02" PRId64 "s",
			 s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, sizeof(text), "%" PRId64 "h%02" PRId64 "m",
			 s / 3600, s / 60 % 60);
	else
		snprintf(text, sizeof(text), "%" PRId64 "d%02" PRId64 "h",
			 s / 86400, s / 3600 % 24);
	grid_text(g, text);
}

static void grid_summary(struct grid *g, const char *name,
			 const struct summary *s)
{
	grid_text(g, name);
	for (int i = 0; i < 5 && s->err.text[0]; i++)
		grid_text(g, "-");
	if (s->err.text[0])
		return;
	grid_int(g, s->version);
	if (s->rows < 0)
		grid_text(g, "-");
	else
		grid_int(g, s->rows);
	grid_int(g, s->files);
	grid_int(g, s->bytes);
	grid_age(g, s->committed_ms);
}

static void json_summary(struct buf *out, const struct catalog_table *table,
			 const struct summary *s)
{
	buf_char(out, '{');
	put_string(out, "table", table->name);
	buf_char(out, ',');
	put_string(out, "path", table->path);
	buf_char(out, ',');
	if (s->err.text[0]) {
		put_string(out, "error", s->err.text);
		buf_char(out, '}');
		return;
	}
	buf_printf(out, "\"version\":%" PRId64 ",\"rows\":", s->version);
	if (s->rows < 0)
		buf_text(out, "null");
	else
		buf_printf(out, "%" PRId64, s->rows);
	buf_printf(out, ",\"files\":%" PRIu32 ",\"bytes\":%" PRId64 ",",
		   s->files, s->bytes);
	put_time(out, "committed_at", s->committed_ms);
	buf_char(out, '}');
}

static struct grid *ls_grid(void)
{
	static const char *const titles[] = {"TABLE", "VERSION", "ROWS",
					     "FILES", "BYTES",	 "COMMITTED"};
	struct grid *g = grid_new(6, 0);

	for (uint32_t i = 0; i < 6; i++) {
		grid_text(g, titles[i]);
		if (i)
			grid_right(g, i);
	}
	return g;
}

int command_ls(const struct args *a, struct catalog *c, struct err *err)
{
	bool json = a->form == FORM_JSON;
	struct grid *g = ls_grid();
	struct buf out = {0};
	int code = EXIT_DONE;

	err->text[0] = '\0';
	buf_text(&out, json ? "{" : "");
	if (json) {
		put_string(&out, "lake", c->store->url);
		buf_text(&out, ",\"tables\":[");
	}
	for (uint32_t i = 0; i < c->count; i++) {
		struct summary s;

		summarize(c, &c->tables[i], &s);
		buf_text(&out, json && i ? "," : "");
		if (json)
			json_summary(&out, &c->tables[i], &s);
		else
			grid_summary(g, c->tables[i].name, &s);
		if (!s.err.text[0])
			continue;
		code = EXIT_FAILED;
		if (!json)
			fprintf(stderr, "%s: %s\n", c->tables[i].name,
				s.err.text);
	}
	buf_text(&out, json ? "]}\n" : "");
	if (!json && c->count)
		grid_print(g, false, &out);
	else if (!json)
		fprintf(stderr, "the lake %s has no table in %s yet\n",
			c->store->url, c->options.tables);
	print_out(&out);
	grid_free(&g);
	return code;
}

/* ---- history ---- */

struct telling {
	struct grid *g; /* NULL: JSON */
	struct buf out;
	bool any;
};

static void grid_entry(struct grid *g, const struct delta_entry *e)
{
	char at[CLOCK_TEXT_BYTES];

	grid_int(g, e->version);
	clock_format(e->at_ms * 1000, at);
	grid_text(g, at);
	grid_text(g, *e->operation ? e->operation : "-");
	grid_int(g, e->files_added);
	grid_int(g, e->files_removed);
	grid_int(g, e->records);
	grid_text(g, *e->engine ? e->engine : "-");
}

static bool tell(void *arg, const struct delta_entry *e)
{
	struct telling *t = arg;

	if (t->g) {
		grid_entry(t->g, e);
		return true;
	}
	buf_printf(&t->out, "%s{\"version\":%" PRId64 ",", t->any ? "," : "",
		   e->version);
	t->any = true;
	put_time(&t->out, "at", e->at_ms);
	buf_char(&t->out, ',');
	put_string(&t->out, "operation", e->operation);
	buf_printf(&t->out,
		   ",\"files_added\":%" PRId64 ",\"files_removed\":%" PRId64
		   ",\"rows_added\":%" PRId64 ",",
		   e->files_added, e->files_removed, e->records);
	put_string(&t->out, "engine", e->engine);
	buf_char(&t->out, '}');
	return true;
}

static struct grid *history_grid(void)
{
	static const char *const titles[] = {
	    "VERSION", "AT", "OPERATION", "ADDED", "REMOVED", "ROWS", "ENGINE"};
	struct grid *g = grid_new(7, 0);

	for (uint32_t i = 0; i < 7; i++) {
		grid_text(g, titles[i]);
		if (i == 0 || (i >= 3 && i <= 5))
			grid_right(g, i);
	}
	return g;
}

int command_history(const struct args *a, struct catalog *c, struct err *err)
{
	const struct catalog_table *table = catalog_find(c, a->what, err);
	uint32_t limit =
	    a->limit && a->limit < UINT32_MAX ? (uint32_t)a->limit : UINT32_MAX;
	struct telling now = {0};
	struct delta *t = NULL;
	int rc;

	if (!table || catalog_load(c, table, &t, err) != 0)
		return EXIT_FAILED;
	if (a->form == FORM_JSON) {
		buf_char(&now.out, '{');
		put_string(&now.out, "table", table->name);
		buf_text(&now.out, ",\"commits\":[");
	} else {
		now.g = history_grid();
	}
	rc = delta_history(t, limit, tell, &now, err);
	if (now.g)
		grid_print(now.g, false, &now.out);
	else
		buf_text(&now.out, "]}\n");
	if (rc == 0)
		print_out(&now.out);
	grid_free(&now.g);
	buf_free(&now.out);
	delta_close(&t);
	return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* ---- schema ---- */

static bool is_partition(const struct delta *t, const char *name)
{
	for (uint32_t i = 0; i < delta_partition_count(t); i++)
		if (strcasecmp(delta_partition_column(t, i), name) == 0)
			return true;
	return false;
}

static void schema_table(const struct delta *t, struct buf *out)
{
	const struct schema *s = delta_schema(t);
	struct grid *g = grid_new(3, 0);

	grid_text(g, "COLUMN");
	grid_text(g, "TYPE");
	grid_text(g, "NOTE");
	for (uint32_t i = 0; i < schema_count(s); i++) {
		const struct column *column = schema_at(s, i);
		bool part = is_partition(t, column->name);
		struct buf type = {0};

		schema_print_duck(column, &type);
		grid_text(g, column->name);
		grid_put(g, type.data, type.used);
		grid_text(g, part && column->required ? "partition, not null"
			     : part		      ? "partition"
			     : column->required	      ? "not null"
						      : "");
		buf_free(&type);
	}
	grid_print(g, false, out);
	grid_free(&g);
}

static void schema_json(const struct delta *t, const char *name,
			struct buf *out)
{
	buf_char(out, '{');
	put_string(out, "table", name);
	buf_printf(out, ",\"version\":%" PRId64 ",\"partition_columns\":[",
		   delta_version(t));
	for (uint32_t i = 0; i < delta_partition_count(t); i++) {
		const char *column = delta_partition_column(t, i);

		buf_text(out, i ? ",\"" : "\"");
		buf_json_escape(out, column, strlen(column));
		buf_char(out, '"');
	}
	buf_text(out, "],\"schema\":");
	schema_print_delta(delta_schema(t), out);
	buf_text(out, "}\n");
}

int command_schema(const struct args *a, struct catalog *c, struct err *err)
{
	struct catalog_table *table = catalog_find(c, a->what, err);
	struct delta *t = NULL;
	struct buf out = {0};

	if (table && a->version_count)
		table->version = a->versions[a->version_count - 1].version;
	if (!table || catalog_load(c, table, &t, err) != 0)
		return EXIT_FAILED;
	if (a->form == FORM_JSON)
		schema_json(t, table->name, &out);
	else
		schema_table(t, &out);
	print_out(&out);
	delta_close(&t);
	return EXIT_DONE;
}
