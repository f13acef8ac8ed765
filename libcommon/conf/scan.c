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
	size_t file; /* index: files move when one is added */
	const char *at, *end;
	unsigned line;
	char name[64]; /* the last name seen, for messages */
	unsigned depth;
};

static int scan_file(struct cursor *parent, const char *name, const char *path);

static struct where here(const struct cursor *c)
{
	return (struct where){c->scan->files[c->file].name, c->line};
}

static void advance(struct cursor *c, size_t n)
{
	for (; n && c->at < c->end; n--)
		if (*c->at++ == '\n')
			c->line++;
}

static void mask(struct cursor *c, const char *from, const char *to)
{
	struct scan_file *f = &c->scan->files[c->file];

	for (; from < to; from++)
		if (*from != '\n')
			f->masked[from - f->text] = MASK;
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

static void note_wrap(struct cursor *c)
{
	struct scan *scan = c->scan;

	scan->wraps = xreallocarray(scan->wraps, scan->wrap_count + 1,
				    sizeof(*scan->wraps));
	scan->wraps[scan->wrap_count++] = (struct scan_wrap){
	    c->file ? scan->files[c->file].name : NULL, c->line};
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

/* The path of an include, without its escapes; NULL when it is malformed. */
static char *include_name(struct cursor *c)
{
	const char *quote;

	c->at += strlen("@include");
	c->at += strspn(c->at, " \t");
	quote = *c->at == '"' ? strpbrk(c->at + 1, "\"\\\n") : NULL;
	if (!quote || *quote != '"') {
		problem_error(c->problems, here(c),
			      "@include needs a path in quotes, such as "
			      "@include \"identities.conf\"");
		return NULL;
	}
	return xmemdup0(c->at + 1, (size_t)(quote - c->at - 1));
}

static int follow_include(struct cursor *c)
{
	char *name = include_name(c);
	char *path;
	int rc = -1;

	if (!name)
		return -1;
	path = value_join_path(c->base, name);
	if (c->depth == 9 || c->scan->file_count > CONF_MAX_INCLUDES)
		problem_error(c->problems, here(c),
			      "@include \"%s\": more than %s; does a file "
			      "include itself?",
			      name,
			      c->depth == 9 ? "9 levels of includes"
					    : "32 includes");
	else
		rc = scan_file(c, name, path);
	skip_line(c);
	free(path);
	free(name);
	return rc;
}

static bool at_line_start(const struct cursor *c)
{
	const char *text = c->scan->files[c->file].text;
	const char *at = c->at;

	while (at > text && (at[-1] == ' ' || at[-1] == '\t'))
		at--;
	return at == text || at[-1] == '\n';
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

static int load_text(struct scan *scan, const char *path, struct where at,
		     struct problems *p, struct scan_file *f)
{
	const char *nul;
	struct stat st;
	struct err err;
	int rc = stat(path, &st);

	if (rc == -1 || !S_ISREG(st.st_mode)) {
		problem_error(p, at, "cannot read %s: %s", path,
			      rc == -1 ? strerror(errno)
				       : "it is not a regular file");
		return -1;
	}
	if (durable_read(path, CONF_FILE_BYTES - scan->bytes, &f->text,
			 &f->bytes, &err) == -1) {
		if (err.code == EFBIG)
			problem_error(p, at,
				      "%s is too large: a configuration with "
				      "all its includes has at most 1 MiB",
				      path);
		else
			problem_error(p, at, "%s", err.text);
		return -1;
	}
	nul = memchr(f->text, '\0', f->bytes);
	if (!nul)
		return 0;
	problem_error(p, at,
		      "%s holds a NUL byte at offset %td; is it a text "
		      "file?",
		      path, nul - f->text);
	free(f->text);
	return -1;
}

static int add_file(struct cursor *c, struct where at, const char *name,
		    const char *path)
{
	struct scan *scan = c->scan;
	struct scan_file f = {0};

	if (load_text(scan, path, at, c->problems, &f) == -1)
		return -1;
	f.name = xstrdup(name);
	f.masked = xmemdup0(f.text, f.bytes);
	if (strncmp(f.text, "\xef\xbb\xbf", 3) == 0)
		memset(f.text, ' ', 3); /* a byte order mark */
	scan->bytes += f.bytes;
	scan->files = xreallocarray(scan->files, scan->file_count + 1,
				    sizeof(*scan->files));
	c->file = scan->file_count;
	scan->files[scan->file_count++] = f;
	c->at = f.text;
	c->end = f.text + f.bytes;
	c->line = 1;
	return 0;
}

static int scan_file(struct cursor *parent, const char *name, const char *path)
{
	struct cursor c = *parent;

	c.depth++;
	if (add_file(&c, here(parent), name, path) == -1)
		return -1;
	return walk(&c);
}

int scan_read(struct scan *scan, const char *path, const char *base,
	      struct problems *p)
{
	struct cursor c = {.scan = scan, .problems = p, .base = base};

	if (add_file(&c, (struct where){path, 0}, path, path) == -1)
		return -1;
	return walk(&c);
}

void scan_free(struct scan *scan)
{
	for (size_t i = 0; i < scan->file_count; i++) {
		/* It may hold secrets written out in full. */
		explicit_bzero(scan->files[i].text, scan->files[i].bytes);
		free(scan->files[i].name);
		free(scan->files[i].text);
		free(scan->files[i].masked);
	}
	free(scan->files);
	free(scan->wraps);
	*scan = (struct scan){0};
}

/* libconfig 1.5 gives an include's name as written, 1.7 with its directory. */
static bool same_file(const char *name, const char *given)
{
	size_t n = strlen(name), g = strlen(given);

	return g >= n && strcmp(given + g - n, name) == 0;
}

bool scan_wrapped(const struct scan *scan, const config_setting_t *s)
{
	const char *file = config_setting_source_file(s);

	for (size_t i = 0; i < scan->wrap_count; i++) {
		const struct scan_wrap *w = &scan->wraps[i];

		if (w->line != config_setting_source_line(s) ||
		    !w->file != !file)
			continue;
		if (!file || same_file(w->file, file))
			return true;
	}
	return false;
}

static const struct scan_file *find_file(const struct scan *scan,
					 const char *file)
{
	for (size_t i = 1; file && i < scan->file_count; i++)
		if (same_file(scan->files[i].name, file))
			return &scan->files[i];
	return scan->files;
}

char *scan_near(const struct scan *scan, const char *file, unsigned line,
		char *near, size_t bytes)
{
	const char *at = find_file(scan, file)->masked;
	size_t used = 0;

	for (; line > 1 && at; line--) {
		at = strchr(at, '\n');
		if (at)
			at++;
	}
	at = at ? at + strspn(at, " \t") : "";
	for (; *at && *at != '\n' && *at != '\r' && used + 4 < bytes; at++) {
		unsigned char byte = (unsigned char)*at;

		if (byte != MASK)
			near[used++] = byte < ' ' || byte > '~' ? '?' : *at;
		else if (at[1] != MASK)
			used += (size_t)sprintf(near + used, "...");
	}
	near[used] = '\0';
	return near;
}
