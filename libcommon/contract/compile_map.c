/* What a field says of its mapping: where from, masks, values, defaults. */
#include <stdlib.h>

#include "base/buf.h"
#include "contract/compile.h"

#define MAX_PATH_BYTES 200
#define MAX_FROM       16
#define MAX_MASK_KEEP  4096
#define DEFAULT_KEEP   32

static const char *const masks[] = {"none",	"hash",	 "redact",
				    "truncate", "last4", NULL};

const char *contract_mask_name(enum contract_mask mask)
{
	return masks[mask];
}

void compile_mask(struct compiler *c, const struct declared *d, struct rule *r,
		  struct contract_field *f)
{
	const config_setting_t *keep = declared_get(d, "mask_keep");

	f->mask = (enum contract_mask)declared_word(c, d, "mask", masks);
	r->mask_keep =
	    declared_limit(c, d, "mask_keep", MAX_MASK_KEEP, DEFAULT_KEEP);
	if (keep && f->mask != CONTRACT_MASK_TRUNCATE)
		report_error(c, keep,
			     "mask_keep of \"%s\" needs mask = \"truncate\"",
			     d->name);
	if (f->mask == CONTRACT_MASK_NONE)
		return;
	r->action |= ACTION_MASK;
	if (f->mask != CONTRACT_MASK_REDACT && r->type != CONTRACT_STRING)
		report_error(c, declared_get(d, "mask"),
			     "mask = \"%s\" of \"%s\" is for strings; use "
			     "\"redact\" (null) for type %s",
			     masks[f->mask], d->name, f->type_text);
}

static void compile_fill(struct compiler *c, const config_setting_t *s,
			 struct rule *r, struct contract_field *f)
{
	struct slice text;
	struct buf b = {0};

	if (!fixed_text(c, s, r, &text))
		return;
	buf_char(&b, ',');
	buf_append(&b, r->key.text, r->key.bytes);
	buf_append(&b, text.text, text.bytes);
	r->fill.bytes = b.used;
	r->fill.text = set_text(c->set, buf_str(&b), b.used);
	if (r->value == VALUE_SENT)
		f->default_text = text.text;
	buf_free(&b);
}

static void compile_env(struct compiler *c, const struct declared *d,
			struct rule *r)
{
	const char *name = declared_text(d, "env");
	const char *value = name ? getenv(name) : NULL;
	struct buf b = {0};

	if (!name || !value) {
		report_error(c, declared_at(d),
			     "field \"%s\": value = \"env\" needs env = "
			     "\"NAME\" of a variable that is set%s%s",
			     d->name, name ? ", and is not: " : "",
			     name ? name : "");
		return;
	}
	if (r->type != CONTRACT_STRING || strlen(value) > 1024) {
		report_error(c, declared_at(d),
			     "field \"%s\": value = \"env\" is for strings of "
			     "at most 1024 bytes",
			     d->name);
		return;
	}
	buf_char(&b, ',');
	buf_append(&b, r->key.text, r->key.bytes);
	buf_char(&b, '"');
	buf_json_escape(&b, value, strlen(value));
	buf_char(&b, '"');
	r->fill.bytes = b.used;
	r->fill.text = set_text(c->set, buf_str(&b), b.used);
	buf_free(&b);
}

void compile_value(struct compiler *c, const struct declared *d, struct rule *r,
		   struct contract_field *f)
{
	static const char *const values[] = {"sent",  "now", "uuid",
					     "const", "env", NULL};
	const config_setting_t *s = declared_get(d, "const");
	const config_setting_t *otherwise = declared_get(d, "default");
	uint32_t value = declared_word(c, d, "value", values);

	r->default_null = declared_bool(d, "default_null");
	r->value = (uint8_t)(value > VALUE_FIXED ? VALUE_FIXED : value);
	if (value)
		r->action |= ACTION_DROP;
	if (value && (otherwise || r->required || r->from_count ||
		      f->mask != CONTRACT_MASK_NONE))
		report_error(c, declared_get(d, "value"),
			     "field \"%s\" with value = \"%s\" cannot have "
			     "default, required, from or mask as well",
			     d->name, values[value]);
	if ((value == VALUE_NOW && r->type != CONTRACT_DATETIME) ||
	    (value == VALUE_UUID && r->type > CONTRACT_GUID))
		report_error(c, declared_get(d, "value"),
			     "field \"%s\": value = \"%s\" needs type %s",
			     d->name, values[value],
			     value == VALUE_NOW ? "datetime"
						: "guid or string");
	if (value == 3 && s)
		compile_fill(c, s, r, f);
	else if ((value == 3) != (s != NULL))
		report_error(c, s ? s : declared_at(d),
			     "field \"%s\": value = \"const\" and const = … go "
			     "together",
			     d->name);
	else if (value == 4)
		compile_env(c, d, r);
	else if (!value && otherwise)
		compile_fill(c, otherwise, r, f);
	if (r->default_null && !r->fill.bytes)
		report_error(c, declared_get(d, "default_null"),
			     "default_null of \"%s\" needs a default", d->name);
	if (r->default_null)
		r->action |= ACTION_NULL;
}

static void split_path(struct compiler *c, const char *text, struct path *path)
{
	struct slice *names = set_alloc(c->set, 16, sizeof(*names));

	path->names = names;
	while (path->count < 16) {
		size_t n = strcspn(text, ".");

		names[path->count].text = set_text(c->set, text, n);
		names[path->count++].bytes = n;
		if (!text[n])
			return;
		text += n + 1;
	}
}

/* Names joined by dots; they go into JSON text as they are. */
static bool is_path(const char *text)
{
	size_t bytes = text ? strlen(text) : 0;

	if (!bytes || bytes > MAX_PATH_BYTES || text[0] == '.' ||
	    text[bytes - 1] == '.' || strstr(text, ".."))
		return false;
	for (size_t i = 0; i < bytes; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == '"' ||
		    text[i] == '\\')
			return false;
	return true;
}

void compile_from(struct compiler *c, const struct declared *d, struct rule *r)
{
	const config_setting_t *s = declared_get(d, "from");
	bool single = declared_text(d, "from") != NULL;
	int count = !s ? 0 : single ? 1 : config_setting_length(s);
	struct path *paths;

	if (!s)
		return;
	if (count < 1 || count > MAX_FROM) {
		report_error(c, s, "from of \"%s\" must be 1 to %d paths",
			     d->name, MAX_FROM);
		return;
	}
	paths = set_alloc(c->set, (size_t)count, sizeof(*paths));
	for (int i = 0; i < count; i++) {
		const char *text = single
				       ? declared_text(d, "from")
				       : config_setting_get_string_elem(s, i);

		if (!is_path(text)) {
			report_error(c, s,
				     "from of \"%s\" must be names joined by "
				     "dots, without quotes and backslashes, of "
				     "at most %d bytes",
				     d->name, MAX_PATH_BYTES);
			return;
		}
		split_path(c, text, &paths[i]);
	}
	r->from = paths;
	r->from_count = (uint32_t)count;
	r->gathered = count > 1 || paths[0].count > 1;
	if (!r->gathered && strcmp(paths[0].names[0].text, r->name) != 0)
		r->action |= ACTION_RENAME;
}
