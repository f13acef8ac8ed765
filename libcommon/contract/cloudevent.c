/*
 * CloudEvents 1.0.2: the JSON format (sections 2 and 3), its batches (section
 * 4) and, of the HTTP binding, binary mode (section 3.1). An envelope becomes a
 * flat event: id, type, source and time under the names that contracts use,
 * then the members of data; every other attribute is a member too, and so goes
 * where the contract sends unknown fields.
 */
#include <strings.h>

#include "contract/event.h"

struct attribute {
	const char *name;
	const char *key; /* of the member it becomes, as JSON text, or NULL */
	bool required;
};

static const struct attribute attributes[] = {
    {"specversion", NULL, true},       {"id", "\"event_id\"", true},
    {"type", "\"event_type\"", true},  {"source", "\"event_source\"", true},
    {"time", "\"event_time\"", false}, {"datacontenttype", NULL, false},
};
#define ATTRIBUTES (sizeof(attributes) / sizeof(*attributes))

static bool bad(struct intake *in, const char *name, const char *what)
{
	return finding_set(&in->finding, INTAKE_BAD_ENVELOPE, name,
			   "CloudEvents attribute %s %s", name, what);
}

static bool is_json_type(const char *text, size_t bytes)
{
	size_t n = 0;

	while (n < bytes && text[n] != ';' && text[n] != ' ')
		n++;
	if (n >= 5 && strncasecmp(text + n - 5, "+json", 5) == 0)
		return true;
	return n >= 5 && strncasecmp(text + n - 5, "/json", 5) == 0;
}

static struct json_member *add_renamed(struct intake *in,
				       const struct json_member *from,
				       const char *key)
{
	struct json_member *m = json_member_add(&in->json);

	*m = *from;
	m->key = key;
	m->key_bytes = (uint32_t)strlen(key);
	m->name = key + 1;
	m->name_bytes = m->key_bytes - 2;
	return m;
}

static bool take_known(struct intake *in, const struct attribute *a,
		       const struct json_member *m)
{
	const char *text = m->val->uni.str;
	size_t bytes = json_len(m->val);

	if (json_type(m->val) != YYJSON_TYPE_STR || bytes == 0 || m->nul)
		return bad(in, a->name, "must be a string that is not empty");
	if (bytes > MODEL_MAX_KEY_BYTES)
		return bad(in, a->name, "is longer than 1024 bytes");
	if (a == &attributes[0] && (bytes != 3 || memcmp(text, "1.0", 3) != 0))
		return bad(in, a->name, "must be \"1.0\"");
	if (a == &attributes[ATTRIBUTES - 1] && !is_json_type(text, bytes))
		return bad(in, a->name,
			   "must be a JSON type, application/json");
	if (a->key)
		add_renamed(in, m, a->key);
	return true;
}

/* One member of the envelope; *data is set by "data". */
static bool take_attribute(struct intake *in, const struct json_member *m,
			   uint32_t *seen, yyjson_val **data)
{
	char name[32] = {0};

	for (uint32_t i = 0; i < ATTRIBUTES; i++) {
		size_t bytes = strlen(attributes[i].name);

		if (m->name_bytes != bytes ||
		    memcmp(m->name, attributes[i].name, bytes) != 0)
			continue;
		if (json_is_null(m->val))
			return true;
		*seen |= 1u << i;
		return take_known(in, &attributes[i], m);
	}
	memcpy(name, m->name, m->name_bytes < 31 ? m->name_bytes : 31);
	if (strcmp(name, "data") == 0) {
		*data = m->val;
		return true;
	}
	if (json_is_null(m->val))
		return true;
	if (strcmp(name, "data_base64") == 0)
		return bad(in, name, "is not taken: send JSON in data");
	if (json_type(m->val) >= YYJSON_TYPE_ARR)
		return bad(in, name, "must be a string, number or boolean");
	*json_member_add(&in->json) = *m;
	return true;
}

static bool take_data(struct intake *in, yyjson_val *data)
{
	struct json *j = &in->json;

	if (!data || json_is_null(data))
		return true;
	if (!json_is_object(data))
		return finding_set(&in->finding, INTAKE_BAD_ENVELOPE, "data",
				   "data must be a JSON object");
	if (json_len(data) && !json_members_more(j, data, 2))
		return event_fault(in, j);
	return true;
}

static bool envelope_unique(struct intake *in, struct json *envelope,
			    uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		json_name_add(envelope, envelope->members[i].name,
			      envelope->members[i].name_bytes);
	return json_names_unique(envelope) || event_fault(in, envelope);
}

bool cloudevent_open(struct intake *in, struct json *envelope, yyjson_val *data)
{
	struct event *e = &in->event;
	uint32_t count = envelope->member_count;
	uint32_t seen = 0;

	e->first = in->json.member_count;
	e->rebuild = true;
	e->envelope_id = true;
	if (!envelope_unique(in, envelope, count))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		/* A copy: adding members may move the list. */
		struct json_member m = envelope->members[i];

		if (!take_attribute(in, &m, &seen, &data))
			return false;
	}
	for (uint32_t i = 0; i < ATTRIBUTES; i++)
		if (attributes[i].required && !(seen & 1u << i))
			return bad(in, attributes[i].name, "is missing");
	return take_data(in, data);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A header's value decoded (HTTP binding 3.1.3.2) as a JSON string. */
static void put_decoded(struct buf *out, const char *value, size_t bytes)
{
	buf_char(out, '"');
	for (size_t i = 0; i < bytes; i++) {
		char c = value[i];

		if (c == '%' && i + 2 < bytes && hex(value[i + 1]) >= 0 &&
		    hex(value[i + 2]) >= 0) {
			c = (char)(hex(value[i + 1]) << 4 | hex(value[i + 2]));
			i += 2;
		}
		buf_json_escape(out, &c, 1);
	}
	buf_char(out, '"');
}

bool cloudevent_headers(struct intake *in, const struct intake_request *request)
{
	struct buf *text = &in->text;
	const char *why;
	size_t at;
	yyjson_val *root;

	buf_clear(text);
	buf_char(text, '{');
	for (uint32_t i = 0; i < request->attribute_count; i++) {
		const struct intake_attribute *a = &request->attributes[i];

		if (i >= INTAKE_MAX_ATTRIBUTES || a->bytes > 8192)
			return bad(in, a->name, "is one too many or too long");
		put_decoded(text, a->name, strlen(a->name));
		buf_char(text, ':');
		put_decoded(text, a->value, a->bytes);
		buf_char(text, ',');
	}
	text->data[text->used - 1] = '}';
	root = text->used > 1 ? json_parse(&in->envelope, text->data,
					   text->used, &at, &why)
			      : NULL;
	if (!root || !json_members(&in->envelope, root, 1))
		return finding_set(&in->finding, INTAKE_BAD_ENVELOPE, "",
				   "CloudEvents headers are missing or no "
				   "UTF-8");
	return true;
}
