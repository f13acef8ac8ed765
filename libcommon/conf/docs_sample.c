/* The sample config file: every key, as a comment, at its default. */
#include "conf/docs.h"

#include <stdio.h>
#include <string.h>

#include "conf/load.h"

#define COLUMNS 80

/* Appends text as comment lines of at most 80 columns. */
static void comment(struct buf *out, size_t indent, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (column && column + 1 + n > COLUMNS) {
			buf_char(out, '\n');
			column = 0;
		}
		if (!column) {
			buf_printf(out, "%*s#", (int)indent, "");
			column = indent + 1;
		}
		buf_char(out, ' ');
		buf_append(out, text, n);
		column += 1 + n;
		text += n;
		text += strspn(text, " ");
	}
	buf_char(out, '\n');
}

/* Without a default: a value of the right form. */
static void example(const struct conf_table *table, const struct conf_row *row,
		    struct buf *out)
{
	if (row->flags & CONF_SECRET)
		buf_printf(out, "\"${file:/etc/weft/%s.%s}\"", table->section,
			   row->name);
	else if (row->type == CONF_PATH)
		buf_printf(out, "\"/etc/weft/%s.%s\"", table->section,
			   row->name);
	else if (row->type == CONF_LISTEN)
		buf_text(out, "\"127.0.0.1:8080\"");
	else
		buf_text(out, value_is_text(row)      ? "\"\""
			      : row->type == CONF_INT ? "0"
						      : "false");
}

static void key(const struct conf_table *table, const struct conf_row *row,
		size_t indent, struct buf *out)
{
	struct buf text = {0}, range = {0};
	const char *reload = row->flags & CONF_RELOAD ? "reload" : "";

	docs_range(row, &range);
	buf_text(&text, row->doc);
	if (row->flags & CONF_REQUIRED)
		buf_text(&text, " Required.");
	else if (!row->def)
		buf_text(&text, " Not set by default.");
	if (range.used || *reload)
		buf_printf(&text, " (%s%s%s)", buf_str(&range),
			   range.used && *reload ? "; " : "", reload);
	comment(out, indent, buf_str(&text));
	buf_printf(out, "%*s#%s = ", (int)indent, "", row->name);
	if (row->def)
		docs_default(row, out);
	else
		example(table, row, out);
	buf_text(out, ";\n");
	buf_free(&text);
	buf_free(&range);
}

static void keys(const struct conf_table *table, size_t indent, struct buf *out)
{
	for (size_t i = 0; i < table->row_count; i++)
		key(table, &table->rows[i], indent, out);
}

static void section(const struct conf_table *table, struct buf *out)
{
	buf_char(out, '\n');
	comment(out, 0, table->doc);
	buf_printf(out, "%s = {\n", table->section);
	keys(table, 2, out);
	buf_text(out, "};\n");
}

static void services(struct buf *out)
{
	buf_char(out, '\n');
	comment(out, 0,
		"What runs. A service that is not listed does not. To run more "
		"of one: { name = \"transformer\"; instances = 4; }. To run "
		"another one beside it: { name = \"archive\"; service = "
		"\"eventhub-publisher\"; in = \"archive\"; }, with a section "
		"\"archive\" of its own.");
	buf_text(out, "services = (\n"
		      "  { name = \"collector\"; },\n"
		      "  { name = \"transformer\"; },\n"
		      "  { name = \"eventhub-publisher\"; },\n"
		      "  { name = \"onelake-writer\"; },\n"
		      "  { name = \"metrics\"; }\n"
		      ");\n");
}

/* The keys of all links together, then each link on one line. */
static void links(const struct conf_kinds *kinds, struct buf *out)
{
	const struct conf_table *t = &conf_link_table;
	struct buf group = {0};

	buf_char(out, '\n');
	comment(out, 0, t->doc);
	buf_text(out, "links = {\n");
	for (size_t i = 0; i < t->row_count; i++) {
		struct buf text = {0};

		buf_printf(&text, "%s: %s", t->rows[i].name, t->rows[i].doc);
		comment(out, 2, buf_str(&text));
		buf_free(&text);
		buf_printf(&group, " %s = ", t->rows[i].name);
		docs_default(&t->rows[i], &group);
		buf_char(&group, ';');
	}
	for (size_t i = 0; i < kinds->count; i++)
		if (*kinds->kinds[i].in)
			buf_printf(out, "  #%s = {%s };\n", kinds->kinds[i].in,
				   buf_str(&group));
	buf_text(out, "};\n");
	buf_free(&group);
}

static void identities(struct buf *out)
{
	buf_char(out, '\n');
	comment(out, 0, conf_identity_table.doc);
	buf_text(out, "identities = {\n");
	for (size_t i = 0; i < conf_identity_table.row_count; i++) {
		const struct conf_row *row = &conf_identity_table.rows[i];
		struct buf text = {0};

		buf_printf(&text, "%s: %s", row->name, row->doc);
		comment(out, 2, buf_str(&text));
		buf_free(&text);
	}
	buf_text(out, "  #lake = { type = \"account_key\"; "
		      "key = \"${file:/etc/weft/lake.key}\"; };\n"
		      "  #hub = { type = \"connection_string\"; "
		      "connection_string = \"${file:hub}\"; };\n"
		      "};\n");
}

void conf_write_sample(const struct conf_kinds *kinds, struct buf *out)
{
	comment(out, 0,
		"Configuration of Weft. Every key is here with its default: "
		"remove the # before a key to change it. Sizes (\"16MiB\") and "
		"durations (\"5s\") are strings with a unit; relative paths "
		"start at this file's directory; ${file:PATH} and ${env:NAME} "
		"are filled in where a secret belongs. Keys marked (reload) "
		"are taken over by `pipelinectl reload`, the others by a "
		"restart. `pipelinectl check` tells what is wrong here, "
		"weft.conf(5) explains everything.");
	buf_char(out, '\n');
	comment(out, 0, conf_pipeline_table.doc);
	buf_text(out, "pipeline = {\n");
	keys(&conf_pipeline_table, 2, out);
	buf_text(out, "};\n");
	services(out);
	links(kinds, out);
	identities(out);
	for (size_t i = 0; i < kinds->count; i++)
		section(kinds->kinds[i].conf, out);
}
