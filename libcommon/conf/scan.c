/*
 * The pass over a config file's text that comes before libconfig. libconfig 1.5
 * wraps large integers in silence, takes an open comment for the rest of the
 * file, stops at a NUL byte, and follows includes without end; none of that
 * must change what a pipeline does unnoticed.
 */
#include "conf/load.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/durable.h"

#define MASK '\x01'

/* A place in the text of one file. */
struct cursor {
	struct scan *scan;
	struct problems *problems;
	const char *base;
	const char *file;
	char *text, *masked;
	const char *at, *end;
	const char *copied; /* up to here it is in scan->text */
	unsigned line;
	unsigned depth;
	char name[64]; /* the last name seen, for messages */
};

static int scan_file(struct cursor *c, const char *path, struct where from);

static struct where here(const struct cursor *c)
{
	return (struct where){c->file, c->line};
}

static void advance(struct cursor *c, size_t n)
{
	for (; n && c->at < c->end; n--)
		if (*c->at++ == '\n')
			c->line++;
}

/* ---- tokens ---- */

static void mask(struct cursor *c, const char *from, const char *to)
{
	for (; from < to; from++)
		if (*from != '\n')
			c->masked[from - c->text] = MASK;
}

static int skip_string(struct cursor *c)
{
	struct where start = here(c);
	const char *from = ++c->at;

	while (c->at < c->end && *c->at != '"')
		advance(c, *c->at == '\\' ? 2 : 1);
	mask(c, from, c->at);
	if (c->at == c->end) {
		problem_error(c->problems, start,
			      "a string begins here and never ends; add the "
			      "closing quote");
		return -1;
	}
	c->at++;
	return 0;
}

static int skip_block_comment(struct cursor *c)
{
	struct where start = here(c);
	const char *close;

	c->at += 2;
	close = strstr(c->at, "*/");
	if (!close) {
		problem_error(c->problems, start,
			      "a comment begins here and never ends; add */");
		return -1;
	}
	advance(c, (size_t)(close + 2 - c->at));
	return 0;
}

static void skip_line(struct cursor *c)
{
	while (c->at < c->end && *c->at != '\n')
		c->at++;
}

/* The line in scan->text of where the cursor is. */
static unsigned text_line(const struct cursor *c)
{
	const struct scan_part *part = &c->scan->parts[c->scan->part_count - 1];

	return part->at + c->line - part->line;
}

static void note_wrap(struct cursor *c)
{
	struct scan *scan = c->scan;

	scan->wraps = xreallocarray(scan->wraps, scan->wrap_count + 1,
				    sizeof(*scan->wraps));
	scan->wraps[scan->wrap_count++] = text_line(c);
}

static bool fits_int32(const char *token)
{
	bool hex = strncasecmp(token, "0x", 2) == 0;
	long long value;
	char *end;

	if (!hex && strpbrk(token, ".eE"))
		return true; /* a float, which no key takes */
	errno = 0;
	value = strtoll(token, &end, hex ? 16 : 10);
	return !errno && value >= INT32_MIN && value <= INT32_MAX;
}

static void skip_number(struct cursor *c)
{
	const char *from = c->at++;
	char token[64];
	size_t n;

	while (c->at < c->end &&
	       (isalnum((unsigned char)*c->at) || strchr(".", *c->at)))
		c->at++;
	n = (size_t)(c->at - from);
	if (n >= sizeof(token))
		n = sizeof(token) - 1;
	memcpy(token, from, n);
	token[n] = '\0';
	if (fits_int32(token))
		return;
	note_wrap(c);
	problem_error(c->problems, here(c),
		      "%s: the integer %s is outside of -2147483648 to "
		      "2147483647; sizes and durations are strings with a "
		      "unit, such as \"10GiB\" or \"5s\"",
		      *c->name ? c->name : "value", token);
}

static void skip_name(struct cursor *c)
{
	const char *from = c->at;

	while (c->at < c->end &&
	       (isalnum((unsigned char)*c->at) || strchr("-_*", *c->at)))
		c->at++;
	snprintf(c->name, sizeof(c->name), "%.*s", (int)(c->at - from), from);
}

/* ---- files ---- */

static unsigned count_lines(const char *text, size_t bytes)
{
	unsigned lines = 0;

	for (size_t i = 0; i < bytes; i++)
		lines += text[i] == '\n';
	return lines;
}

/* Copies what was read so far; the next text comes from another place. */
static void copy(struct cursor *c)
{
	struct buf *text = &c->scan->text;
	size_t from = (size_t)(c->copied - c->text);
	size_t bytes = (size_t)(c->at - c->copied);

	buf_append(text, c->text + from, bytes);
	buf_append(&c->scan->masked, c->masked + from, bytes);
	/* libconfig 1.5 refuses a comment without a line end behind it. */
	if (text->used && text->data[text->used - 1] != '\n') {
		buf_char(text, '\n');
		buf_char(&c->scan->masked, '\n');
	}
	c->copied = c->at;
}

static void begin_part(struct cursor *c)
{
	struct scan *scan = c->scan;

	scan->parts = xreallocarray(scan->parts, scan->part_count + 1,
				    sizeof(*scan->parts));
	scan->parts[scan->part_count++] = (struct scan_part){
	    .file = c->file,
	    .at = 1 + count_lines(scan->text.data, scan->text.used),
	    .line = c->line,
	};
}

/* The path of an include, without its escapes; NULL when it is malformed. */
static char *include_name(struct cursor *c)
{
	const char *quote;
	char *name;

	c->at += strlen("@include");
	c->at += strspn(c->at, " \t");
	quote = *c->at == '"' ? strpbrk(c->at + 1, "\"\\\n") : NULL;
	if (!quote || *quote != '"') {
		problem_error(c->problems, here(c),
			      "@include needs a path in quotes, such as "
			      "@include \"identities.conf\"");
		return NULL;
	}
	name = xmemdup0(c->at + 1, (size_t)(quote - c->at - 1));
	c->at = quote + 1;
	return name;
}

static int follow_include(struct cursor *c)
{
	struct cursor inner = {.scan = c->scan,
			       .problems = c->problems,
			       .base = c->base,
			       .depth = c->depth + 1};
	char *name, *path;
	int rc = -1;

	copy(c);
	name = include_name(c);
	if (!name)
		return -1;
	c->copied = c->at;
	path = value_join_path(c->base, name);
	inner.file = name;
	if (inner.depth > 9)
		problem_error(c->problems, here(c),
			      "@include \"%s\": more than 9 levels of "
			      "includes; does a file include itself?",
			      name);
	else if (c->scan->name_count > CONF_MAX_INCLUDES)
		problem_error(c->problems, here(c),
			      "@include \"%s\": more than %d includes", name,
			      CONF_MAX_INCLUDES);
	else
		rc = scan_file(&inner, path, here(c));
	begin_part(c);
	free(path);
	free(name);
	return rc;
}

static bool at_line_start(const struct cursor *c)
{
	const char *at = c->at;

	while (at > c->text && (at[-1] == ' ' || at[-1] == '\t'))
		at--;
	return at == c->text || at[-1] == '\n';
}

/* One token. -1 when libconfig must not see the text. */
static int step(struct cursor *c)
{
	unsigned char byte = (unsigned char)*c->at;

	if (byte == '"')
		return skip_string(c);
	if (byte == '#' || strncmp(c->at, "//", 2) == 0)
		skip_line(c);
	else if (strncmp(c->at, "/*", 2) == 0)
		return skip_block_comment(c);
	else if (byte == '@' && strncmp(c->at, "@include", 8) == 0 &&
		 at_line_start(c))
		return follow_include(c);
	else if (isalpha(byte) || byte == '*')
		skip_name(c);
	else if (isdigit(byte) || byte == '.' ||
		 ((byte == '-' || byte == '+') && isdigit(c->at[1])))
		skip_number(c);
	else
		advance(c, 1);
	return 0;
}

static int walk(struct cursor *c)
{
	while (c->at < c->end)
		if (step(c) == -1)
			return -1;
	return 0;
}

/* Reads the file into *text; `from` is where it was named. */
static int load_text(struct cursor *c, const char *path, struct where from,
		     size_t *bytes)
{
	struct problems *p = c->problems;
	const char *nul;
	struct stat st;
	struct err err;
	int rc = stat(path, &st);

	if (rc == -1 || !S_ISREG(st.st_mode)) {
		problem_error(p, from, "cannot read %s: %s",
			      from.line ? path : "the file",
			      rc == -1 ? strerror(errno)
				       : "it is not a regular file");
		return -1;
	}
	if (durable_read(path, CONF_FILE_BYTES - c->scan->bytes, &c->text,
			 bytes, &err) == -1) {
		if (err.code == EFBIG)
			problem_error(p, from,
				      "%s is too large: a configuration with "
				      "all its includes has at most 1 MiB",
				      path);
		else
			problem_error(p, from, "%s", err.text);
		return -1;
	}
	nul = memchr(c->text, '\0', *bytes);
	if (!nul)
		return 0;
	problem_error(p, from,
		      "%s holds a NUL byte at offset %td; is it a text file?",
		      path, nul - c->text);
	free(c->text);
	return -1;
}

/* A copy of the file's name that lives as long as the scan. */
static const char *keep_name(struct scan *scan, const char *name)
{
	scan->names = xreallocarray(scan->names, scan->name_count + 1,
				    sizeof(*scan->names));
	return scan->names[scan->name_count++] = xstrdup(name);
}

static int scan_file(struct cursor *c, const char *path, struct where from)
{
	size_t bytes;
	int rc;

	if (load_text(c, path, from, &bytes) == -1)
		return -1;
	c->file = keep_name(c->scan, c->file);
	c->masked = xmemdup0(c->text, bytes);
	if (strncmp(c->text, "\xef\xbb\xbf", 3) == 0)
		memset(c->text, ' ', 3); /* a byte order mark */
	c->scan->bytes += bytes;
	c->at = c->copied = c->text;
	c->end = c->text + bytes;
	c->line = 1;
	begin_part(c);
	rc = walk(c);
	if (rc == 0)
		copy(c);
	explicit_bzero(c->text, bytes); /* secrets may be written out in it */
	free(c->text);
	free(c->masked);
	return rc;
}

int scan_read(struct scan *scan, const char *path, const char *base,
	      struct problems *p)
{
	struct cursor c = {
	    .scan = scan, .problems = p, .base = base, .file = path};

	return scan_file(&c, path, (struct where){path, 0});
}

void scan_free(struct scan *scan)
{
	if (scan->text.data)
		explicit_bzero(scan->text.data, scan->text.used);
	buf_free(&scan->text);
	buf_free(&scan->masked);
	for (size_t i = 0; i < scan->name_count; i++)
		free(scan->names[i]);
	free(scan->names);
	free(scan->parts);
	free(scan->wraps);
	*scan = (struct scan){0};
}

/* ---- questions ---- */

struct where scan_where(const struct scan *scan, unsigned line)
{
	size_t i = scan->part_count - 1;

	while (i > 0 && scan->parts[i].at > line)
		i--;
	return (struct where){scan->parts[i].file,
			      scan->parts[i].line + line - scan->parts[i].at};
}

struct where scan_last(const struct scan *scan)
{
	size_t used = scan->masked.used;

	while (used && isspace((unsigned char)scan->masked.data[used - 1]))
		used--;
	return scan_where(scan, 1 + count_lines(scan->masked.data, used));
}

bool scan_wrapped(const struct scan *scan, unsigned line)
{
	for (size_t i = 0; i < scan->wrap_count; i++)
		if (scan->wraps[i] == line)
			return true;
	return false;
}

char *scan_near(const struct scan *scan, unsigned line, char *near,
		size_t bytes)
{
	const char *at = scan->masked.data, *end = at + scan->masked.used;
	size_t used = 0;

	for (; line > 1 && at < end; line--) {
		at = memchr(at, '\n', (size_t)(end - at));
		at = at ? at + 1 : end;
	}
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	for (; at < end && *at != '\n' && *at != '\r' && used + 4 < bytes;
	     at++) {
		unsigned char byte = (unsigned char)*at;

		if (byte != MASK)
			near[used++] =
			    (char)(byte < ' ' || byte > '~' ? '?' : byte);
		else if (at[1] != MASK)
			used += (size_t)sprintf(near + used, "...");
	}
	near[used] = '\0';
	return near;
}
