/* Answers: a head written by hand into the request's own buffer. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "http/server_impl.h"

/* The statuses that Weft answers with (RFC 9110 section 15). */
static const struct {
	unsigned status;
	const char *text;
} statuses[] = {
    {200, "200 OK"},
    {201, "201 Created"},
    {202, "202 Accepted"},
    {204, "204 No Content"},
    {304, "304 Not Modified"},
    {400, "400 Bad Request"},
    {401, "401 Unauthorized"},
    {403, "403 Forbidden"},
    {404, "404 Not Found"},
    {405, "405 Method Not Allowed"},
    {406, "406 Not Acceptable"},
    {408, "408 Request Timeout"},
    {409, "409 Conflict"},
    {413, "413 Content Too Large"},
    {414, "414 URI Too Long"},
    {415, "415 Unsupported Media Type"},
    {417, "417 Expectation Failed"},
    {422, "422 Unprocessable Content"},
    {429, "429 Too Many Requests"},
    {431, "431 Request Header Fields Too Large"},
    {500, "500 Internal Server Error"},
    {501, "501 Not Implemented"},
    {502, "502 Bad Gateway"},
    {503, "503 Service Unavailable"},
    {504, "504 Gateway Timeout"},
    {505, "505 HTTP Version Not Supported"},
};

static const char *status_text(unsigned status)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].status == status)
			return statuses[i].text;
	return "500 Internal Server Error";
}

static void append_number(struct buf *out, uint64_t n)
{
	char digits[20];
	int at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	buf_append(out, digits + at, sizeof(digits) - (size_t)at);
}

/* RFC 9110 section 6.6.1; formatted once a second. */
static void append_date(struct http_server *s, time_t now, struct buf *out)
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed",
					"Thu", "Fri", "Sat"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr",
					   "May", "Jun", "Jul", "Aug",
					   "Sep", "Oct", "Nov", "Dec"};

	if (now != s->date_s) {
		struct tm tm;
		struct buf text = {0};

		gmtime_r(&now, &tm);
		buf_printf(&text, "%s, %02d %s %04d %02d:%02d:%02d GMT",
			   days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
			   tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
		memcpy(s->date, text.data, 29);
		buf_free(&text);
		s->date_s = now;
	}
	buf_append(out, s->date, 29);
}

void http_add_header(struct http_request *r, const char *name,
		     const char *value)
{
	buf_text(&r->extra, name);
	buf_append(&r->extra, ": ", 2);
	/* A line break in a value would be a header of its own. */
	for (; *value; value++)
		if (*value != '\r' && *value != '\n')
			buf_char(&r->extra, *value);
	buf_append(&r->extra, "\r\n", 2);
}

static void make_head(struct http_server *s, unsigned status,
		      const char *content_type, time_t now)
{
	struct http_head *h = &s->head;

	h->status = status;
	h->date_s = now;
	snprintf(h->content_type, sizeof(h->content_type), "%s", content_type);
	buf_clear(&h->text);
	buf_text(&h->text, "HTTP/1.1 ");
	buf_text(&h->text, status_text(status));
	if (s->options.server_name) {
		buf_text(&h->text, "\r\nServer: ");
		buf_text(&h->text, s->options.server_name);
	}
	buf_text(&h->text, "\r\nDate: ");
	append_date(s, now, &h->text);
	if (*content_type) {
		buf_text(&h->text, "\r\nContent-Type: ");
		buf_text(&h->text, content_type);
	}
}

static void append_head(struct http_request *r, unsigned status,
			const char *content_type, size_t bytes)
{
	struct http_server *s = r->server;
	const struct http_head *h = &s->head;
	struct buf *out = &r->out;
	time_t now = time(NULL);

	if (h->status != status || h->date_s != now ||
	    strcmp(h->content_type, content_type) != 0)
		make_head(s, status, content_type, now);
	buf_reserve(out, 512 + h->text.used + r->extra.used);
	buf_append(out, h->text.data, h->text.used);
	if (status != 204 && status != 304) {
		buf_append(out, "\r\nContent-Length: ", 18);
		append_number(out, bytes);
	}
	if (r->close)
		buf_append(out, "\r\nConnection: close", 19);
	else if (r->old)
		buf_append(out, "\r\nConnection: keep-alive", 24);
	buf_append(out, "\r\n", 2);
	buf_append(out, r->extra.data, r->extra.used);
	buf_append(out, "\r\n", 2);
}

/* What becomes of a body that is still on its way. */
static void answered_early(struct http_request *r)
{
	uint64_t left = r->declared_bytes;

	r->discard = true;
	r->continues = false;
	if (r->chunked || r->expects || left > HTTP_DRAIN_BYTES)
		r->close = true;
}

void http_respond(struct http_request *r, unsigned status,
		  const char *content_type, const void *body, size_t bytes)
{
	struct http_server *s = r->server;

	if (!r->conn) {
		http_request_give(r);
		return;
	}
	if (r->stage != HTTP_COMPLETE)
		answered_early(r);
	if (s->draining && r == r->conn->last)
		r->close = true;
	if (r->close)
		r->conn->mode = HTTP_CLOSING;
	append_head(r, status, content_type, bytes);
	if (!r->head && status != 204 && status != 304)
		buf_append(&r->out, body, bytes);
	r->answered = true;
	r->context = NULL;
	s->counters.responses[status / 100 < 6 ? status / 100 : 5]++;
	http_mark_dirty(r->conn);
}

void http_respond_error(struct http_request *r, unsigned status,
			const char *code, const char *message)
{
	struct buf body = {0};

	buf_text(&body, "{\"success\":false,\"error\":{\"code\":\"");
	buf_json_escape(&body, code, strlen(code));
	buf_text(&body, "\",\"message\":\"");
	buf_json_escape(&body, message, strlen(message));
	buf_text(&body, "\"},\"message\":\"");
	buf_json_escape(&body, message, strlen(message));
	buf_text(&body, "\"}\n");
	http_respond(r, status, "application/json", body.data, body.used);
	buf_free(&body);
}
