#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"
#include "base/durable.h"
#include "contract/compile.h"
#include "contract/mask.h"
#include "proto/batch.h"

/* With dead_letter, which needs no file, they are the streams of a batch. */
#define MAX_FILES      (BATCH_MAX_STREAMS - 1)
#define MAX_FILE_BYTES (256u << 10)
#define MIN_SECRET     16

static int is_contract(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return e->d_name[0] != '.' && n > 5 && n < 200 &&
	       strcmp(e->d_name + n - 5, ".conf") == 0;
}

/* Steps over a string, a comment or one character. */
static const char *next_token(const char *at, int *line)
{
	const char *end = NULL;

	if (*at == '"') {
		for (at++; *at && *at != '"'; at++) {
			*line += *at == '\n';
			at += *at == '\\' && at[1];
		}
		return *at ? at + 1 : at;
	}
	if (*at == '#' || (at[0] == '/' && at[1] == '/'))
		return at + strcspn(at, "\n");
	if (at[0] == '/' && at[1] == '*')
		end = strstr(at + 2, "*/");
	if (!end) {
		*line += *at == '\n';
		return at + 1;
	}
	for (; at < end; at++)
		*line += *at == '\n';
	return end + 2;
}

static const char *check_integer(struct compiler *c, const struct source *s,
				 const char *at, int line)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(at, &end, 0);
	if (*end == '.' || *end == 'e' || *end == 'E') {
		strtod(at, &end);
		return end;
	}
	if (*end != 'L' && (errno || value > INT32_MAX || value < INT32_MIN))
		report_line(c, true, s->path, line,
			    "%.*s does not fit 32 bits and would be cut in "
			    "silence: put an L behind it, or quote it",
			    (int)(end - at), at);
	while (isalnum((unsigned char)*end) || *end == '_')
		end++;
	return end;
}

/* What libconfig would take in silence: includes and integers that wrap. */
static void check_tokens(struct compiler *c, const struct source *s)
{
	const char *at = s->text;
	int line = 1;

	while (*at) {
		if (*at == '@')
			report_line(c, true, s->path, line,
				    "@include is not for contracts; use "
				    "extends");
		if (isalpha((unsigned char)*at) || *at == '_' || *at == '*')
			while (isalnum((unsigned char)*at) || *at == '_' ||
			       *at == '-' || *at == '*')
				at++;
		else if (isdigit((unsigned char)*at) ||
			 (*at == '-' && isdigit((unsigned char)at[1])))
			at = check_integer(c, s, at, line);
		else
			at = next_token(at, &line);
	}
}

static void read_source(struct compiler *c, const char *dir, const char *name,
			struct source *s)
{
	char *data;
	struct err err;

	s->path = xasprintf("%s/%s", dir, name);
	s->file = set_text(c->set, name, strlen(name));
	config_init(&s->cfg);
	if (durable_read(s->path, MAX_FILE_BYTES, &data, &s->bytes, &err) < 0) {
		report_line(c, true, s->path, 0, "%s", err.text);
		s->text = "";
		return;
	}
	s->text = set_text(c->set, data, s->bytes);
	free(data);
	if (strlen(s->text) != s->bytes) {
		report_line(c, true, s->path, 1, "the file has a NUL byte");
		return;
	}
	check_tokens(c, s);
	if (strchr(s->text, '@') && c->report->errors)
		return;
	if (config_read_string(&s->cfg, s->text) != CONFIG_TRUE) {
		report_line(c, true, s->path, config_error_line(&s->cfg), "%s",
			    config_error_text(&s->cfg));
		return;
	}
	s->root = config_root_setting(&s->cfg);
	s->readable = true;
}

static void hash_files(struct contract_set *set)
{
	XXH3_state_t state;

	XXH3_INITSTATE(&state);
	XXH3_64bits_reset(&state);
	for (uint32_t i = 0; i < set->file_count; i++) {
		uint64_t bytes = set->texts[i].bytes;

		XXH3_64bits_update(&state, set->files[i].text,
				   set->files[i].bytes + 1);
		XXH3_64bits_update(&state, &bytes, sizeof(bytes));
		XXH3_64bits_update(&state, set->texts[i].text, bytes);
	}
	set->hash = XXH3_64bits_digest(&state);
	if (!set->hash)
		set->hash = 1;
}

static void keep_files(struct compiler *c)
{
	struct contract_set *set = c->set;

	set->file_count = c->source_count;
	set->files = set_alloc(set, c->source_count + 1, sizeof(struct slice));
	set->texts = set_alloc(set, c->source_count + 1, sizeof(struct slice));
	for (uint32_t i = 0; i < c->source_count; i++) {
		const struct source *s = &c->sources[i];

		set->files[i] = (struct slice){s->file, strlen(s->file)};
		set->texts[i] = (struct slice){s->text, s->bytes};
	}
	hash_files(set);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	/* Bytes, not the locale's order: the hash depends on it. */
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_sources(struct compiler *c, const char *dir)
{
	struct dirent **names = NULL;
	int count = scandir(dir, &names, is_contract, by_name);

	if (count < 0)
		report_line(c, true, dir, 0,
			    "cannot read the directory of contracts: %s; "
			    "pipeline.contracts says where it is",
			    strerror(errno));
	else if (count == 0)
		report_line(c, true, dir, 0, "no contract (*.conf) in it");
	if (count > MAX_FILES)
		report_line(c, true, dir, 0, "over %d contracts", MAX_FILES);
	else if (count > 0) {
		c->sources = xcalloc((size_t)count, sizeof(*c->sources));
		c->source_count = (uint32_t)count;
		for (int i = 0; i < count; i++)
			read_source(c, dir, names[i]->d_name, &c->sources[i]);
	}
	for (int i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

int contract_set_load(struct contract_set **set, const char *dir,
		      const uint8_t *secret, size_t secret_bytes,
		      struct contract_report *report)
{
	struct compiler c = {.report = report};

	*set = NULL;
	*report = (struct contract_report){0};
	c.set = xcalloc(1, sizeof(*c.set));
	c.set->references = 1;
	if (secret_bytes < MIN_SECRET)
		report_line(&c, true, dir, 0,
			    "the secret for mask = \"hash\" has %zu bytes, it "
			    "needs at least %d",
			    secret_bytes, MIN_SECRET);
	else
		c.set->mask_key = mask_key_new(secret, secret_bytes);
	read_sources(&c, dir);
	compile_sources(&c);
	keep_files(&c);
	for (uint32_t i = 0; i < c.source_count; i++) {
		config_destroy(&c.sources[i].cfg);
		free(c.sources[i].path);
	}
	free(c.sources);
	if (report->errors)
		contract_set_unref(&c.set);
	*set = c.set;
	return report->errors ? -1 : 0;
}
