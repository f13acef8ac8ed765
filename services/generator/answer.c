#include "services/generator/answer.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"

#define MOST_HEAD_BYTES (16u << 10)
#define MOST_BODY_BYTES (4u << 20)

static void take_header(const char *line, size_t bytes, struct answer *answer,
			long *length)
{
	static const char length_name[] = "content-length:";
	static const char retry_name[] = "retry-after:";
	static const char connection_name[] = "connection:";

	if (bytes > sizeof(length_name) &&
	    strncasecmp(line, length_name, sizeof(length_name) - 1) == 0)
		*length = strtol(line + sizeof(length_name) - 1, NULL, 10);
	else if (bytes > sizeof(retry_name) &&
		 strncasecmp(line, retry_name, sizeof(retry_name) - 1) == 0)
		answer->retry_after_s =
		    (uint32_t)strtoul(line + sizeof(retry_name) - 1, NULL, 10);
	else if (bytes > sizeof(connection_name) &&
		 strncasecmp(line, connection_name,
			     sizeof(connection_name) - 1) == 0)
		answer->close = memmem(line, bytes, "close", 5) != NULL;
}

int answer_parse(const struct buf *in, struct answer *answer)
{
	const char *end, *line, *next;
	long length = -1;

	*answer = (struct answer){0};
	end = in->used ? memmem(in->data, in->used, "\r\n\r\n", 4) : NULL;
	if (!end)
		return in->used > MOST_HEAD_BYTES ? -1 : 0;
	if (in->used < 12 || memcmp(in->data, "HTTP/1.", 7) != 0)
		return -1;
	answer->status = (unsigned)strtoul(in->data + 9, NULL, 10);
	for (line = in->data; line < end; line = next + 2) {
		next = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
		take_header(line, (size_t)(next - line), answer, &length);
	}
	if (length < 0 || length > (long)MOST_BODY_BYTES)
		return -1;
	answer->body = end + 4;
	answer->body_bytes = (size_t)length;
	answer->total_bytes =
	    (size_t)(answer->body - in->data) + (size_t)length;
	return answer->total_bytes <= in->used;
}

static uint32_t all_accepted(const struct answer *answer)
{
	static const char none[] = "\"events_failed\":0";

	return answer->status / 100 == 2 &&
	       memmem(answer->body, answer->body_bytes, none,
		      sizeof(none) - 1) != NULL;
}

static void say(uint32_t index, const char *expected, const char *got,
		const struct answer *answer)
{
	log_warn("unexpected_answer", "index=%u expected=%s got=%s status=%u",
		 index, *expected ? expected : "accepted",
		 *got ? got : "accepted", answer->status);
}

/* The code that the answer gives for one event, "" when it was accepted. */
static const char *code_of(const cJSON *errors, uint32_t index)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, errors) {
		const cJSON *at =
		    cJSON_GetObjectItemCaseSensitive(item, "index");
		const cJSON *code =
		    cJSON_GetObjectItemCaseSensitive(item, "code");

		if (cJSON_IsNumber(at) && at->valuedouble == index)
			return cJSON_IsString(code) ? code->valuestring : "?";
	}
	return "";
}

uint32_t answer_mismatches(const struct answer *answer,
			   const enum event_fault *faults, uint32_t count)
{
	uint32_t bad = 0, mismatches = 0;
	const cJSON *errors;
	cJSON *json;

	for (uint32_t i = 0; i < count; i++)
		bad += faults[i] != FAULT_NONE;
	if (!bad && all_accepted(answer))
		return 0;
	json = cJSON_ParseWithLength(answer->body, answer->body_bytes);
	errors = cJSON_GetObjectItemCaseSensitive(json, "errors");
	if (!cJSON_IsArray(errors)) {
		say(0, bad ? "errors" : "", "no errors array", answer);
		cJSON_Delete(json);
		return count;
	}
	for (uint32_t i = 0; i < count; i++) {
		const char *expected = event_fault_code(faults[i]);
		const char *got = code_of(errors, i);

		if (strcmp(expected, got) == 0)
			continue;
		if (!mismatches)
			say(i, expected, got, answer);
		mismatches++;
	}
	cJSON_Delete(json);
	return mismatches;
}
