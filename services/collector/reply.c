#include "services/collector/reply.h"

#include <stdio.h>
#include <string.h>

static void append_string(struct buf *out, const char *text)
{
	buf_char(out, '"');
	buf_json_escape(out, text, strlen(text));
	buf_char(out, '"');
}

static unsigned malformed(const struct intake_result *result, struct buf *out)
{
	char text[300];

	snprintf(text, sizeof(text), "%s at byte %zu", result->malformed_text,
		 result->malformed_at);
	buf_text(out, "{\"success\":false,\"events_accepted\":0,"
		      "\"events_failed\":0,\"error\":{\"code\":"
		      "\"malformed_json\",\"message\":");
	append_string(out, text);
	buf_printf(out, ",\"offset\":%zu},\"message\":", result->malformed_at);
	append_string(out, text);
	buf_text(out, "}\n");
	return 400;
}

static void append_errors(const struct intake_result *result, struct buf *out)
{
	buf_text(out, ",\"errors\":[");
	for (uint32_t i = 0; i < result->error_count; i++) {
		const struct intake_error *e = &result->errors[i];

		buf_printf(out, "%s{\"index\":%u,\"code\":\"%s\",\"field\":",
			   i ? "," : "", e->index, intake_code_name(e->code));
		if (*e->field)
			append_string(out, e->field);
		else
			buf_text(out, "null");
		buf_text(out, ",\"message\":");
		append_string(out, e->text);
		buf_char(out, '}');
	}
	buf_char(out, ']');
	if (result->error_count < result->rejected)
		buf_printf(out, ",\"errors_left_out\":%u",
			   result->rejected - result->error_count);
}

static void append_number(struct buf *out, uint32_t n)
{
	char digits[10];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	buf_append(out, digits + at, sizeof(digits) - at);
}

static void append_message(const struct intake_result *result, struct buf *out)
{
	buf_text(out, ",\"message\":\"");
	append_number(out, result->accepted);
	buf_text(out, result->accepted == 1 ? " event" : " events");
	buf_text(out, " accepted");
	if (result->rejected) {
		buf_text(out, ", ");
		append_number(out, result->rejected);
		buf_text(out, " refused");
	}
	buf_char(out, '"');
}

static unsigned status_of(const struct intake_result *result, bool one)
{
	enum intake_code code = result->errors[0].code;

	if (result->accepted)
		return 202;
	if (result->held)
		return 503;
	if (result->rejected &&
	    (code == INTAKE_TOO_MANY || (one && code == INTAKE_TOO_LARGE)))
		return 413;
	return 422;
}

unsigned reply_result(const struct intake_result *result, bool one,
		      struct buf *out)
{
	if (result->malformed)
		return malformed(result, out);
	if (!result->accepted && !result->rejected) {
		buf_text(out, "{\"success\":true,\"events_accepted\":0,"
			      "\"events_failed\":0,\"message\":"
			      "\"there was no event in the body\"}\n");
		return 202;
	}
	buf_text(out,
		 result->rejected ? "{\"success\":false" : "{\"success\":true");
	if (one && result->accepted) {
		buf_text(out, ",\"event_id\":");
		append_string(out, result->first_id);
	}
	buf_text(out, ",\"events_accepted\":");
	append_number(out, result->accepted);
	buf_text(out, ",\"events_failed\":");
	append_number(out, result->rejected);
	append_message(result, out);
	if (result->rejected) {
		if (!result->accepted && result->error_count) {
			buf_printf(out, ",\"error\":{\"code\":\"%s\",",
				   intake_code_name(result->errors[0].code));
			buf_text(out, "\"message\":");
			append_string(out, result->errors[0].text);
			buf_char(out, '}');
		}
		append_errors(result, out);
	}
	buf_text(out, "}\n");
	return status_of(result, one);
}
