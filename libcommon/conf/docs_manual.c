/* The reference manual as Markdown. */
#include "conf/docs.h"

#include <string.h>

#include "conf/load.h"

/* Appends prose: what Markdown would take for markup is escaped, code kept. */
static void prose(struct buf *out, const char *text)
{
	bool code = false;

	for (; *text; text++) {
		if (*text == '`')
			code = !code;
		if (!code && strchr("<*~[|", *text))
			buf_char(out, '\\');
		buf_char(out, *text);
	}
}

static void code(struct buf *out, const char *text)
{
	if (*text)
		buf_printf(out, "`%s`", text);
}

static void key(struct buf *out, const struct conf_row *row)
{
	struct buf def = {0}, range = {0};

	docs_default(row, &def);
	docs_range(row, &range);
	buf_printf(out, "| `%s` | %s | ", row->name, value_type_name(row));
	if (row->flags & CONF_REQUIRED)
		buf_text(out, "required");
	else
		code(out, buf_str(&def));
	buf_printf(out, " | %s | %s | ", buf_str(&range),
		   row->flags & CONF_RELOAD ? "yes" : "");
	prose(out, row->doc);
	buf_text(out, " |\n");
	buf_free(&def);
	buf_free(&range);
}

static void table(void *arg, const struct conf_table *t)
{
	struct buf *out = arg;

	buf_printf(out, "\n### %s\n\n", t->section);
	prose(out, t->doc);
	buf_text(out, "\n\n| key | type | default | range | reload | meaning "
		      "|\n|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < t->row_count; i++)
		key(out, &t->rows[i]);
}

static const char *counter_type(enum counter_type type)
{
	switch (type) {
	case COUNTER_HISTOGRAM:
		return "histogram";
	case COUNTER_GAUGE:
	case COUNTER_LABELLED_GAUGE:
		return "gauge";
	default:
		return "counter";
	}
}

static void counters(struct buf *out, const char *title,
		     const struct counter_table *t)
{
	if (!t->row_count)
		return;
	buf_printf(out,
		   "\n### %s\n\n| name | type | labels | meaning |\n"
		   "|---|---|---|---|\n",
		   title);
	for (size_t i = 0; i < t->row_count; i++) {
		const struct counter_row *row = &t->rows[i];
		struct buf labels = {0};

		if (docs_is_repeated(t, i))
			continue;
		docs_labels(row, &labels);
		buf_printf(out, "| `%s` | %s | %s | ", row->name,
			   counter_type(row->type), buf_str(&labels));
		prose(out, row->doc);
		buf_text(out, " |\n");
		buf_free(&labels);
	}
}

void conf_write_manual(const struct conf_kinds *kinds, struct buf *out)
{
	buf_text(out, "<!-- Made by scripts/docs; change the rows in "
		      "services/*/tables.c and libcommon/conf instead. -->\n\n"
		      "# Configuration and counters\n");
	for (size_t i = 0; i < docs_intro_count; i++) {
		buf_printf(out, "\n**%s.** ", docs_intro[i].title);
		prose(out, docs_intro[i].text);
		buf_char(out, '\n');
	}
	buf_printf(out, "\n```\n%s```\n\n## Keys\n", docs_example);
	docs_each_table(kinds, table, out);
	buf_text(out, "\n## Counters\n\nServed by metrics for Prometheus. It "
		      "adds the label `service`, and to gauges `process` "
		      "(`collector.0`); families `business_telemetry_*` stay "
		      "as they are.\n");
	counters(out, "every service", &counter_process_table);
	for (size_t i = 0; i < kinds->count; i++)
		counters(out, kinds->kinds[i].name, kinds->kinds[i].counters);
}
