#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "contract/compile.h"

void report_line(struct compiler *c, bool error, const char *path, int line,
		 const char *fmt, ...)
{
	char text[600], whole[1000], number[16] = "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* A whole file, libconfig's root, has no line. */
	if (line > 0)
		snprintf(number, sizeof(number), ":%d", line);
	snprintf(whole, sizeof(whole), "%s%s: %s%s\n", path, number,
		 error ? "" : "warning: ", text);
	/* A contract that several extend is compiled once for each of them. */
	if (strstr(buf_str(&c->report->lines), whole))
		return;
	buf_text(&c->report->lines, whole);
	*(error ? &c->report->errors : &c->report->warnings) += 1;
}

static const char *path_of(const struct compiler *c, const config_setting_t *at)
{
	for (uint32_t i = 0; i < c->source_count; i++)
		if (at->config == &c->sources[i].cfg)
			return c->sources[i].path;
	return "?";
}

void report_error(struct compiler *c, const config_setting_t *at,
		  const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report_line(c, true, path_of(c, at),
		    (int)config_setting_source_line(at), "%s", text);
}

void report_warning(struct compiler *c, const config_setting_t *at,
		    const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report_line(c, false, path_of(c, at),
		    (int)config_setting_source_line(at), "%s", text);
}

static const char *type_name(int type)
{
	switch (type) {
	case CONFIG_TYPE_STRING:
		return "a string";
	case CONFIG_TYPE_INT:
		return "an integer";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	case CONFIG_TYPE_GROUP:
		return "a group { … }";
	case CONFIG_TYPE_LIST:
		return "a list ( … )";
	default:
		return "a string or a list of strings";
	}
}

static bool is_texts(const config_setting_t *s)
{
	if (config_setting_type(s) == CONFIG_TYPE_STRING)
		return true;
	if (!config_setting_is_array(s) && !config_setting_is_list(s))
		return false;
	for (int i = 0; i < config_setting_length(s); i++)
		if (config_setting_type(config_setting_get_elem(
			s, (unsigned)i)) != CONFIG_TYPE_STRING)
			return false;
	return true;
}

static void unknown_key(struct compiler *c, const config_setting_t *s,
			const char *what, const struct known_key *keys)
{
	const char *names[64];
	const char *nearest;
	size_t n = 0;

	for (; keys[n].name; n++)
		names[n] = keys[n].name;
	nearest = text_nearest(config_setting_name(s), names, n);
	report_error(c, s, "unknown key \"%s\" in %s%s%s%s",
		     config_setting_name(s), what,
		     nearest ? "; did you mean \"" : "", nearest ? nearest : "",
		     nearest ? "\"?" : "");
}

void check_keys(struct compiler *c, const config_setting_t *group,
		const char *what, const struct known_key *keys)
{
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s =
		    config_setting_get_elem(group, (unsigned)i);
		const struct known_key *k = keys;

		while (k->name && strcmp(k->name, config_setting_name(s)) != 0)
			k++;
		if (!k->name)
			unknown_key(c, s, what, keys);
		else if (k->later)
			report_error(c, s,
				     "\"%s\" in %s is not supported yet; "
				     "remove it",
				     k->name, what);
		else if (k->type == KEY_TEXTS
			     ? !is_texts(s)
			     : k->type != KEY_ANY &&
				   config_setting_type(s) != k->type)
			report_error(c, s, "\"%s\" in %s must be %s", k->name,
				     what, type_name(k->type));
	}
}
