/* What checks share: findings, lengths of texts, values found by path. */
#include <stdarg.h>
#include <stdio.h>

#include "contract/check.h"

/* What a client sent may come back in a message: one line of plain ASCII. */
static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
			*text = '?';
}

bool finding_set(struct finding *f, enum intake_code code, const char *field,
		 const char *fmt, ...)
{
	va_list ap;

	f->code = code;
	f->fits = false;
	snprintf(f->field, sizeof(f->field), "%s", field);
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	clean(f->field);
	clean(f->text);
	return false;
}

size_t utf8_length(const char *text, size_t bytes)
{
	size_t n = 0;

	for (size_t i = 0; i < bytes; i++)
		n += ((unsigned char)text[i] & 0xc0) != 0x80;
	return n;
}

/* The value at the end of a path, or NULL. */
static yyjson_val *follow(const struct json *j, uint32_t first,
			  const struct path *path)
{
	yyjson_val *v = NULL;

	for (uint32_t i = first; i < j->member_count; i++)
		if (j->members[i].name_bytes == path->names[0].bytes &&
		    memcmp(j->members[i].name, path->names[0].text,
			   path->names[0].bytes) == 0)
			v = j->members[i].val;
	for (uint32_t n = 1; v && n < path->count; n++)
		v = yyjson_obj_getn(v, path->names[n].text,
				    path->names[n].bytes);
	return v && !json_is_null(v) ? v : NULL;
}

yyjson_val *rule_gather(const struct rule *rule, const struct json *j,
			uint32_t first)
{
	yyjson_val *v = NULL;

	for (uint32_t p = 0; !v && p < rule->from_count; p++)
		v = follow(j, first, &rule->from[p]);
	return v;
}
