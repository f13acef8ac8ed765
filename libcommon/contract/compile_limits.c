/* What a field says of its values: lengths, patterns, lists and ranges. */
#include <ctype.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "contract/compile.h"

#define MAX_ENUM	 1024
#define MAX_LENGTH_LIMIT 1000000

static void compile_length(struct compiler *c, const struct declared *d,
			   struct rule *r)
{
	const config_setting_t *s = declared_get(d, "max_length");

	if (!s)
		return;
	if (r->type != CONTRACT_STRING && r->type != CONTRACT_ARRAY)
		report_error(c, s,
			     "max_length of \"%s\" is for strings and arrays",
			     d->name);
	r->max_length = declared_limit(c, d, "max_length", MAX_LENGTH_LIMIT, 1);
	r->checks |= RULE_LENGTH;
}

static void compile_pattern(struct compiler *c, const struct declared *d,
			    struct rule *r)
{
	const config_setting_t *s = declared_get(d, "pattern");
	const char *text = declared_text(d, "pattern");
	regex_t *re;
	char why[128];
	int bad;

	if (!text)
		return;
	if (r->type != CONTRACT_STRING) {
		report_error(c, s, "pattern of \"%s\" is for strings", d->name);
		return;
	}
	for (const char *p = text; *p; p++)
		if (*p == '\\' && isdigit((unsigned char)p[1])) {
			report_error(c, s,
				     "pattern of \"%s\": back references take "
				     "exponential time; write it without",
				     d->name);
			return;
		}
	if (strlen(text) > COMPILE_MAX_PATTERN) {
		report_error(c, s, "pattern of \"%s\" is over %d characters",
			     d->name, COMPILE_MAX_PATTERN);
		return;
	}
	re = xcalloc(1, sizeof(*re));
	bad = regcomp(re, text, REG_EXTENDED | REG_NOSUB);
	if (bad) {
		regerror(bad, re, why, sizeof(why));
		report_error(c, s, "pattern of \"%s\": %s", d->name, why);
		free(re);
		return;
	}
	r->pattern = set_pattern(c->set, re);
	r->checks |= RULE_PATTERN;
}

static void compile_enum(struct compiler *c, const struct declared *d,
			 struct rule *r)
{
	const config_setting_t *s = declared_get(d, "enum");
	struct slice *allowed;
	int count;

	if (!s)
		return;
	count = config_setting_length(s);
	if ((!config_setting_is_array(s) && !config_setting_is_list(s)) ||
	    count < 1 || count > MAX_ENUM) {
		report_error(c, s, "enum of \"%s\" must be a list of 1 to %d",
			     d->name, MAX_ENUM);
		return;
	}
	if (r->type > CONTRACT_LONG) {
		report_error(c, s,
			     "enum of \"%s\" is for string, guid, int and long",
			     d->name);
		return;
	}
	allowed = set_alloc(c->set, (size_t)count, sizeof(*allowed));
	for (int i = 0; i < count; i++) {
		const config_setting_t *e =
		    config_setting_get_elem(s, (unsigned)i);

		if (!fixed_text(c, e, r, &allowed[i]))
			return;
		if (r->type <= CONTRACT_GUID) {
			const char *text = config_setting_get_string(e);

			allowed[i].bytes = strlen(text);
			allowed[i].text =
			    set_text(c->set, text, allowed[i].bytes);
		}
	}
	r->allowed = allowed;
	r->allowed_count = (uint32_t)count;
	r->checks |= RULE_ENUM;
}

void compile_limits(struct compiler *c, const struct declared *d,
		    struct rule *r)
{
	const config_setting_t *low = declared_get(d, "min");
	const config_setting_t *high = declared_get(d, "max");
	bool ok = true;

	compile_length(c, d, r);
	compile_pattern(c, d, r);
	compile_enum(c, d, r);
	if (low)
		ok = compile_limit(c, low, r, &r->min, &r->min_double);
	if (high)
		ok &= compile_limit(c, high, r, &r->max, &r->max_double);
	r->checks |= (uint8_t)((low ? RULE_MIN : 0) | (high ? RULE_MAX : 0));
	if (ok && low && high &&
	    (r->type == CONTRACT_DOUBLE ? r->min_double > r->max_double
					: r->min > r->max))
		report_error(c, low, "min of \"%s\" is above its max", d->name);
}
