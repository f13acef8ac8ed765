/* The manual page weft.conf(5), and the keys in that of a service, in mdoc. */
#include "conf/docs.h"

#include <string.h>

#include "conf/load.h"

/*
 * Appends prose as one input line: code between back-quotes in bold, and
 * nothing that roff would take for a request or an escape.
 */
static void prose(struct buf *out, const char *text)
{
	bool code = false;

	if (*text == '.' || *text == '\'')
		buf_text(out, "\\&");
	for (; *text; text++) {
		if (*text == '`') {
			code = !code;
			buf_text(out, code ? "\\fB" : "\\fR");
		} else if (*text == '\\') {
			buf_text(out, "\\e");
		} else if (*text == '-' && code) {
			buf_text(out, "\\-");
		} else if (*text == '~') {
			buf_text(out, "\\(ti");
		} else {
			buf_char(out, *text);
		}
	}
	buf_char(out, '\n');
}

/* One sentence a line, as mdoc wants it. */
static void sentences(struct buf *out, const char *text)
{
	while (*text) {
		const char *stop = strstr(text, ". ");
		struct buf line = {0};
		size_t n = stop ? (size_t)(stop - text) + 1 : strlen(text);

		buf_append(&line, text, n);
		prose(out, buf_str(&line));
		buf_free(&line);
		text += n;
		text += strspn(text, " ");
	}
}

/* A macro's argument: quoted, with quotes doubled. */
static void argument(struct buf *out, const char *text)
{
	buf_char(out, '"');
	for (; *text; text++) {
		if (*text == '"')
			buf_char(out, '"');
		buf_char(out, *text);
	}
	buf_char(out, '"');
}

static void key(struct buf *out, const struct conf_row *row)
{
	struct buf def = {0}, range = {0};

	buf_printf(out, ".It Ic %s Pq %s\n", row->name, value_type_name(row));
	sentences(out, row->doc);
	docs_default(row, &def);
	docs_range(row, &range);
	if (def.used) {
		buf_text(out, "Default:\n.Li ");
		argument(out, buf_str(&def));
		buf_text(out, " .\n");
	} else {
		buf_text(out, row->flags & CONF_REQUIRED
				  ? "Required.\n"
				  : "Not set by default.\n");
	}
	if (range.used)
		buf_printf(out, "Range: %s.\n", buf_str(&range));
	if (row->flags & CONF_RELOAD)
		buf_text(out, "Taken over on reload.\n");
	buf_free(&def);
	buf_free(&range);
}

void conf_write_man_keys(const struct conf_table *t, struct buf *out)
{
	buf_text(out, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < t->row_count; i++)
		key(out, &t->rows[i]);
	buf_text(out, ".El\n");
}

static void table(void *arg, const struct conf_table *t)
{
	struct buf *out = arg;

	buf_printf(out, ".Ss %s\n", t->section);
	sentences(out, t->doc);
	conf_write_man_keys(t, out);
}

static void example(struct buf *out)
{
	const char *at = docs_example;

	buf_text(out, ".Sh EXAMPLES\n.Bd -literal -offset indent\n");
	buf_text(out, at);
	buf_text(out, ".Ed\n");
}

void conf_write_man(const struct conf_kinds *kinds, struct buf *out)
{
	buf_text(out, ".\\\" Made by scripts/docs from the tables of keys.\n"
		      ".Dd November 20, 2026\n"
		      ".Dt WEFT.CONF 5\n"
		      ".Os Weft\n"
		      ".Sh NAME\n"
		      ".Nm weft.conf\n"
		      ".Nd configuration of a Weft pipeline\n"
		      ".Sh DESCRIPTION\n");
	for (size_t i = 0; i < docs_intro_count; i++) {
		buf_printf(out, ".Ss %s\n", docs_intro[i].title);
		sentences(out, docs_intro[i].text);
	}
	buf_text(out, ".Sh SECTIONS\n");
	docs_each_table(kinds, table, out);
	buf_text(out, ".Sh FILES\n"
		      ".Bl -tag -width Ds\n"
		      ".It Pa /etc/weft/weft.conf\n"
		      "The configuration.\n"
		      ".It Pa /etc/weft/contracts\n"
		      "The contracts, one file a stream.\n"
		      ".El\n");
	example(out);
	buf_text(out, ".Sh SEE ALSO\n"
		      ".Xr pipelinectl 1 ,\n"
		      ".Xr weftd 8\n");
}
