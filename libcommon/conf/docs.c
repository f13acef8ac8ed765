#include "conf/docs.h"

#include <string.h>

#include "conf/load.h"

const struct docs_text docs_intro[] = {
    {"Which file",
     "A program of Weft reads the file that `--config` names, else the one in "
     "the environment variable `WEFT_CONFIG`, else `/etc/weft/weft.conf` if it "
     "exists; else it runs on built-in defaults. `pipelinectl check` tells all "
     "that is wrong with a file at once, and `pipelinectl config` prints what "
     "is in force and where each value comes from."},
    {"Syntax",
     "The format is that of libconfig: `key = value;`, groups in braces, lists "
     "in parentheses, comments after `#`. `@include \"other.conf\"` on a line "
     "of its own takes in another file; its path, as every relative path, "
     "starts at the directory of the main file. All files together have at "
     "most 1 MiB. A key that is not known is an error."},
    {"Values",
     "A size is a string with a unit: B, KiB, MiB, GiB, TiB, or kB, MB, GB, "
     "TB. A duration is a string with a unit: us, ms, s, m, h or d. Integers "
     "and `true` or `false` stand without quotes. An address to listen on is "
     "`\"127.0.0.1:8080\"`, `\"[::1]:8080\"` or `\"unix:/path\"`."},
    {"Secrets",
     "In keys of type secret, and only there, `${env:NAME}` stands for an "
     "environment variable and `${file:PATH}` for the contents of a file "
     "without its last newlines, alone or within a text. A secret prints as "
     "`***`. One that is written out in the file works, with a warning."},
    {"Services",
     "`services` lists what runs, one group a row: `name`, which is also the "
     "name of its section; `service`, what it is, when that is not its name; "
     "`instances`, 1 to 64; and `in`, the link that it consumes, when that is "
     "not the usual one. So a second publisher is `{ name = \"archive\"; "
     "service = \"eventhub-publisher\"; in = \"archive\"; }`, with a section "
     "`archive` of its own. A service that is not listed does not run. "
     "Without the list, collector, transformer, eventhub-publisher, "
     "onelake-writer and metrics do."},
    {"Reload",
     "`pipelinectl reload` takes over the keys marked so while everything "
     "runs; the others need a restart of their service. A file with an error "
     "changes nothing."},
};
const size_t docs_intro_count = sizeof(docs_intro) / sizeof(*docs_intro);

const char docs_example[] =
    "services = ( { name = \"collector\"; },\n"
    "             { name = \"transformer\"; instances = 2; },\n"
    "             { name = \"eventhub-publisher\"; },\n"
    "             { name = \"metrics\"; } );\n"
    "collector = {\n"
    "  listen = \"0.0.0.0:8080\";\n"
    "  api_keys = \"${file:/etc/weft/api_keys}\";\n"
    "};\n";

static void range_of_choices(const struct conf_row *row, struct buf *out)
{
	char name[64], next[64];

	for (int i = 0; value_choice(row->choices, i, name); i++) {
		if (i)
			buf_text(out, value_choice(row->choices, i + 1, next)
					  ? ", "
					  : " or ");
		buf_text(out, name);
	}
}

void docs_range(const struct conf_row *row, struct buf *out)
{
	const char *unit = row->type == CONF_STRING ? " bytes" : "";

	if (row->flags & CONF_IDENTITY)
		buf_text(out, "of type ");
	if (row->choices)
		range_of_choices(row, out);
	else if (row->min && row->max)
		buf_printf(out, "%s to %s%s", row->min, row->max, unit);
	else if (row->min)
		buf_printf(out, "at least %s%s", row->min, unit);
	else if (row->max)
		buf_printf(out, "at most %s%s", row->max, unit);
}

void docs_default(const struct conf_row *row, struct buf *out)
{
	const char *quote = value_is_text(row) ? "\"" : "";

	if (row->def)
		buf_printf(out, "%s%s%s", quote, row->def, quote);
}

void docs_each_table(const struct conf_kinds *kinds,
		     void (*fn)(void *arg, const struct conf_table *table),
		     void *arg)
{
	fn(arg, &conf_pipeline_table);
	fn(arg, &conf_link_table);
	fn(arg, &conf_identity_table);
	for (size_t i = 0; i < kinds->count; i++)
		fn(arg, kinds->kinds[i].conf);
}

bool docs_is_repeated(const struct counter_table *table, size_t row)
{
	for (size_t i = 0; i < row; i++)
		if (strcmp(table->rows[i].name, table->rows[row].name) == 0)
			return true;
	return false;
}

void docs_labels(const struct counter_row *row, struct buf *out)
{
	const char *at = row->labels;

	while (*at) {
		size_t n = strcspn(at, ",=");

		buf_append(out, at, n);
		at += n;
		at += strcspn(at, ",");
		if (*at == ',')
			at++;
		if (*at)
			buf_text(out, ", ");
	}
}
