/* One value: from text into its field, checked, and back. */
#include "conf/load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"

static void *field(const struct conf_row *row, void *values)
{
	return (char *)values + row->offset;
}

static const void *const_field(const struct conf_row *row, const void *values)
{
	return (const char *)values + row->offset;
}

static const char *string_of(const struct conf_row *row, const void *values)
{
	return *(char *const *)const_field(row, values);
}

/* ---- numbers, sizes, durations ---- */

static int parse_int(const char *text, int64_t *value)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno || end == text || *end)
		return -1;
	*value = n;
	return 0;
}

static int parse_number(enum conf_type type, const char *text, int64_t *value)
{
	switch (type) {
	case CONF_BYTES:
		return text_parse_bytes(text, value);
	case CONF_DURATION:
		return text_parse_duration(text, value);
	default:
		return parse_int(text, value);
	}
}

static const char *number_help(enum conf_type type)
{
	switch (type) {
	case CONF_BYTES:
		return "is no size; write a whole number with B, KiB, MiB, GiB "
		       "or TiB, such as \"16MiB\"";
	case CONF_DURATION:
		return "is no duration; write a whole number with us, ms, s, "
		       "m, h or d, such as \"5s\"";
	default:
		return "is no integer";
	}
}

static int check_limits(const struct conf_row *row, int64_t value,
			const char *text, struct why *why)
{
	int64_t low = INT64_MIN, high = INT64_MAX;

	if (row->min && parse_number(row->type, row->min, &low) == -1)
		abort();
	if (row->max && parse_number(row->type, row->max, &high) == -1)
		abort();
	if (value >= low && value <= high)
		return 0;
	if (!row->max)
		return why_set(why, "%s is less than %s, the least", text,
			       row->min);
	if (!row->min)
		return why_set(why, "%s is more than %s, the most", text,
			       row->max);
	return why_set(why, "%s is outside of %s to %s", text, row->min,
		       row->max);
}

static int set_number(const struct conf_row *row, void *values,
		      const char *text, struct why *why)
{
	int64_t value;

	if (parse_number(row->type, text, &value) == -1)
		return why_set(why, "\"%.60s\" %s", text,
			       number_help(row->type));
	if (check_limits(row, value, text, why) == -1)
		return -1;
	*(int64_t *)field(row, values) = value;
	return 0;
}

/* ---- choices ---- */

bool value_choice(const char *choices, int i, char out[64])
{
	size_t n;

	for (; i > 0 && choices; i--) {
		choices = strchr(choices, '|');
		if (choices)
			choices++;
	}
	if (!choices)
		return false;
	n = strcspn(choices, "|");
	if (n >= 64)
		abort();
	memcpy(out, choices, n);
	out[n] = '\0';
	return true;
}

static void list_choices(const char *choices, char *out, size_t bytes)
{
	char name[64], next[64];
	size_t used = 0;

	*out = '\0';
	for (int i = 0; value_choice(choices, i, name); i++) {
		const char *before = !i ? ""
				     : value_choice(choices, i + 1, next)
					 ? ", "
					 : " or ";

		used += (size_t)snprintf(out + used, bytes - used, "%s\"%s\"",
					 before, name);
		if (used >= bytes)
			abort();
	}
}

static int set_choice(const struct conf_row *row, void *values,
		      const char *text, struct why *why)
{
	char name[64], all[256];

	for (int i = 0; value_choice(row->choices, i, name); i++) {
		if (strcmp(name, text) != 0)
			continue;
		*(int *)field(row, values) = i;
		return 0;
	}
	list_choices(row->choices, all, sizeof(all));
	return why_set(why, "\"%.60s\" is none of the choices; write %s", text,
		       all);
}

/* ---- all types ---- */

static int set_bool(const struct conf_row *row, void *values, const char *text,
		    struct why *why)
{
	bool on = strcmp(text, "true") == 0;

	if (!on && strcmp(text, "false") != 0)
		return why_set(why, "is neither true nor false");
	*(bool *)field(row, values) = on;
	return 0;
}

int value_set(const struct conf_row *row, void *values, const char *text,
	      const struct places *places, struct why *why)
{
	switch (row->type) {
	case CONF_INT:
	case CONF_BYTES:
	case CONF_DURATION:
		return set_number(row, values, text, why);
	case CONF_BOOL:
		return set_bool(row, values, text, why);
	case CONF_CHOICE:
		return set_choice(row, values, text, why);
	default:
		break;
	}
	return value_set_text(row, field(row, values), text, places, why);
}

/* "<state_dir>/<name>/x" with both filled in; owned by the caller. */
static char *expand(const char *def, const struct places *places)
{
	struct buf b = {0};
	char *text;

	for (; *def; def++) {
		if (strncmp(def, "<state_dir>", 11) == 0) {
			buf_text(&b, places->state_dir);
			def += 10;
		} else if (strncmp(def, "<name>", 6) == 0) {
			buf_text(&b, places->name);
			def += 5;
		} else {
			buf_char(&b, *def);
		}
	}
	text = xmemdup0(b.data ? b.data : "", b.used);
	buf_free(&b);
	return text;
}

void value_default(const struct conf_row *row, void *values,
		   const struct places *places)
{
	struct why why;
	char *text;
	int rc;

	if (!row->def)
		return;
	text = row->type == CONF_PATH ? expand(row->def, places)
				      : xstrdup(row->def);
	rc = value_set(row, values, text, places, &why);
	if (rc == -1) {
		fprintf(stderr, "the default of %s: %s\n", row->name, why.text);
		abort();
	}
	free(text);
}

void value_free(const struct conf_row *row, void *values)
{
	char **text = field(row, values);

	if (row->type > CONF_LISTEN)
		return;
	if (row->flags & CONF_SECRET)
		secret_free(text);
	free(*text);
	*text = NULL;
}

void value_print(const struct conf_row *row, const void *values,
		 struct buf *out)
{
	const void *at = const_field(row, values);
	char text[64];

	switch (row->type) {
	case CONF_INT:
		buf_printf(out, "%" PRId64, *(const int64_t *)at);
		break;
	case CONF_BYTES:
		buf_text(out, text_format_bytes(*(const int64_t *)at, text));
		break;
	case CONF_DURATION:
		buf_text(out, text_format_duration(*(const int64_t *)at, text));
		break;
	case CONF_BOOL:
		buf_text(out, *(const bool *)at ? "true" : "false");
		break;
	case CONF_CHOICE:
		if (value_choice(row->choices, *(const int *)at, text))
			buf_text(out, text);
		break;
	default:
		if (!string_of(row, values))
			break;
		buf_text(out, row->flags & CONF_SECRET
				  ? "***"
				  : string_of(row, values));
	}
}

bool value_is_unset(const struct conf_row *row, const void *values)
{
	return row->type <= CONF_LISTEN && !string_of(row, values);
}

int value_check_exists(const struct conf_row *row, const void *values)
{
	return access(string_of(row, values), F_OK);
}

bool value_is_open(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && (st.st_mode & S_IROTH);
}

bool value_is_text(const struct conf_row *row)
{
	return row->type != CONF_INT && row->type != CONF_BOOL;
}

const char *value_type_name(const struct conf_row *row)
{
	static const char *const names[] = {
	    [CONF_STRING] = "string",	  [CONF_PATH] = "path",
	    [CONF_LISTEN] = "address",	  [CONF_INT] = "integer",
	    [CONF_BOOL] = "boolean",	  [CONF_BYTES] = "size",
	    [CONF_DURATION] = "duration", [CONF_CHOICE] = "choice",
	};

	if (row->flags & CONF_IDENTITY)
		return "identity";
	return row->flags & CONF_SECRET ? "secret" : names[row->type];
}
