/* The effective configuration, for people and for programs. */
#include "conf/load.h"

#include <string.h>

static void print_source(const struct origin *o, struct buf *out)
{
	if (o->from == FROM_FILE)
		buf_printf(out, "%s:%u", o->file, o->line);
	else
		buf_text(out,
			 o->from == FROM_PLACE ? "default here" : "default");
}

static void pad_to(struct buf *out, size_t start, size_t column)
{
	do
		buf_char(out, ' ');
	while (out->used - start < column);
}

/* ---- text ---- */

static void print_key(const struct conf_section *s, size_t i, size_t indent,
		      struct buf *out)
{
	const struct conf_row *row = &s->table->rows[i];
	bool unset = value_is_unset(row, s->values);
	const char *quote = value_is_text(row) ? "\"" : "";
	size_t start = out->used;

	buf_printf(out, "%*s%s%s", (int)indent, "", unset ? "# " : "",
		   row->name);
	if (unset) {
		buf_text(out, " is not set");
	} else {
		struct buf value = {0};

		value_print(row, s->values, &value);
		buf_printf(out, " = %s", quote);
		if (*quote)
			buf_json_escape(out, value.data, value.used);
		else
			buf_append(out, value.data, value.used);
		buf_printf(out, "%s;", quote);
		buf_free(&value);
	}
	pad_to(out, start, 48);
	buf_text(out, "# ");
	print_source(&s->origins[i], out);
	buf_char(out, '\n');
}

static void print_section(const struct conf_section *s, struct buf *out)
{
	buf_printf(out, "%s = {\n", s->name);
	for (size_t i = 0; i < s->table->row_count; i++)
		print_key(s, i, 2, out);
	buf_text(out, "};\n");
}

static void print_services(const struct conf *conf, struct buf *out)
{
	buf_text(out, "services = (\n");
	for (uint32_t i = 0; i < conf->service_count; i++) {
		const struct conf_service *s = &conf->services[i];

		buf_printf(out, "  { name = \"%s\";", s->name);
		if (strcmp(s->name, s->kind->name) != 0)
			buf_printf(out, " service = \"%s\";", s->kind->name);
		if (s->instances != 1)
			buf_printf(out, " instances = %u;", s->instances);
		if (strcmp(s->in, s->kind->in) != 0)
			buf_printf(out, " in = \"%s\";", s->in);
		buf_printf(out, " }%s\n",
			   i + 1 < conf->service_count ? "," : "");
	}
	buf_text(out, ");\n");
}

static void print_links(const struct conf *conf, struct buf *out)
{
	buf_text(out, "links = {\n");
	for (uint32_t i = 0; i < conf->link_count; i++) {
		const struct conf_link *link = &conf->links[i];

		buf_printf(out, "  %s = { endpoint = \"%s\";%s };\n",
			   link->name, link->endpoint,
			   link->insecure ? " insecure = true;" : "");
	}
	buf_text(out, "};\n");
}

static void print_identities(const struct conf *conf, struct buf *out)
{
	size_t count = 0;

	for (uint32_t i = 0; i < conf->section_count; i++) {
		const struct conf_section *s = &conf->sections[i];

		if (!identity_is_section(s))
			continue;
		if (!count++)
			buf_text(out, "identities = {\n");
		buf_printf(out, "  %s = {\n", identity_name(s));
		for (size_t k = 0; k < s->table->row_count; k++)
			if (s->origins[k].from == FROM_FILE)
				print_key(s, k, 4, out);
		buf_text(out, "  };\n");
	}
	if (count)
		buf_text(out, "};\n");
}

static void print_text(const struct conf *conf, struct buf *out)
{
	buf_printf(out, "# %s\n",
		   conf->path ? conf->path
			      : "no config file: built-in "
				"defaults");
	print_section(section_find(conf, "pipeline"), out);
	print_services(conf, out);
	print_links(conf, out);
	print_identities(conf, out);
	for (uint32_t i = 0; i < conf->service_count; i++)
		print_section(section_find(conf, conf->services[i].name), out);
}

/* ---- JSON ---- */

static void json_string(struct buf *out, const char *text)
{
	buf_char(out, '"');
	buf_json_escape(out, text, strlen(text));
	buf_char(out, '"');
}

static void json_value(const struct conf_row *row, const void *values,
		       struct buf *out)
{
	struct buf text = {0};

	if (value_is_unset(row, values)) {
		buf_text(out, "null");
		return;
	}
	value_print(row, values, &text);
	if (value_is_text(row))
		json_string(out, buf_str(&text));
	else
		buf_append(out, text.data, text.used);
	buf_free(&text);
}

static void json_section(const struct conf_section *s, struct buf *out)
{
	struct buf source = {0};

	buf_char(out, '{');
	for (size_t i = 0; i < s->table->row_count; i++) {
		buf_printf(out, "%s\"%s\":{\"value\":", i ? "," : "",
			   s->table->rows[i].name);
		json_value(&s->table->rows[i], s->values, out);
		buf_clear(&source);
		print_source(&s->origins[i], &source);
		buf_text(out, ",\"source\":");
		json_string(out, buf_str(&source));
		buf_char(out, '}');
	}
	buf_char(out, '}');
	buf_free(&source);
}

static void json_services(const struct conf *conf, struct buf *out)
{
	for (uint32_t i = 0; i < conf->service_count; i++) {
		const struct conf_service *s = &conf->services[i];

		buf_printf(out,
			   "%s{\"name\":\"%s\",\"service\":\"%s\","
			   "\"instances\":%u,\"in\":\"%s\",\"config\":",
			   i ? "," : "", s->name, s->kind->name, s->instances,
			   s->in);
		json_section(section_find(conf, s->name), out);
		buf_char(out, '}');
	}
}

static void json_identities(const struct conf *conf, struct buf *out)
{
	size_t count = 0;

	for (uint32_t i = 0; i < conf->section_count; i++) {
		const struct conf_section *s = &conf->sections[i];

		if (!identity_is_section(s))
			continue;
		buf_printf(out,
			   "%s{\"name\":\"%s\",\"config\":", count++ ? "," : "",
			   identity_name(s));
		json_section(s, out);
		buf_char(out, '}');
	}
}

static void print_json(const struct conf *conf, struct buf *out)
{
	buf_text(out, "{\"path\":");
	if (conf->path)
		json_string(out, conf->path);
	else
		buf_text(out, "null");
	buf_text(out, ",\"pipeline\":");
	json_section(section_find(conf, "pipeline"), out);
	buf_text(out, ",\"services\":[");
	json_services(conf, out);
	buf_text(out, "],\"links\":[");
	for (uint32_t i = 0; i < conf->link_count; i++) {
		const struct conf_link *link = &conf->links[i];

		buf_printf(out,
			   "%s{\"name\":\"%s\",\"endpoint\":", i ? "," : "",
			   link->name);
		json_string(out, link->endpoint);
		buf_printf(out, ",\"insecure\":%s}",
			   link->insecure ? "true" : "false");
	}
	buf_text(out, "],\"identities\":[");
	json_identities(conf, out);
	buf_text(out, "]}\n");
}

void conf_print(const struct conf *conf, bool json, struct buf *out)
{
	if (json)
		print_json(conf, out);
	else
		print_text(conf, out);
}
