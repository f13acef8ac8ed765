/* A request to the Blob service: made, signed, sent, and tried again. */
#include "azure/blob_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"

#define SECOND	     INT64_C(1000000)
#define FIRST_WAIT   (SECOND / 10)
#define LONGEST_WAIT (10 * SECOND)
#define NAP_US	     (SECOND / 10)
#define MAX_HEADERS  (BLOB_PAIRS + 5)

void blob_add_query(struct blob_request *r, const char *name, const char *value)
{
	if (r->query_count == BLOB_PAIRS)
		abort();
	r->query[r->query_count++] = (struct azure_pair){name, value};
}

void blob_add_header(struct blob_request *r, const char *name,
		     const char *value)
{
	if (r->header_count == BLOB_PAIRS)
		abort();
	r->headers[r->header_count++] = (struct azure_pair){name, value};
}

/* ---- one try ---- */

/* What a try is made of; all of it is freed together. */
struct attempt {
	struct buf path, url, authorization;
	struct azure_pair headers[MAX_HEADERS];
	size_t header_count;
	char *lines[MAX_HEADERS + 1];
	char date[40];
};

static void attempt_free(struct attempt *a)
{
	for (size_t i = 0; a->lines[i]; i++)
		free(a->lines[i]);
	buf_free(&a->path);
	buf_free(&a->url);
	buf_free(&a->authorization);
}

static void set_path(struct attempt *a, const struct blob_client *c,
		     const struct blob_request *r)
{
	buf_text(&a->path, c->place.path);
	buf_char(&a->path, '/');
	azure_encode(&a->path, c->place.container, false);
	if (r->name) {
		buf_char(&a->path, '/');
		azure_encode(&a->path, c->place.folder, false);
		azure_encode(&a->path, r->name, false);
	}
}

static void set_url(struct attempt *a, const struct blob_client *c,
		    const struct blob_request *r)
{
	char mark = '?';

	/* The endpoint ends in what the path begins with. */
	buf_append(&a->url, c->place.endpoint,
		   strlen(c->place.endpoint) - strlen(c->place.path));
	buf_append(&a->url, a->path.data, a->path.used);
	for (size_t i = 0; i < r->query_count; i++, mark = '&') {
		buf_printf(&a->url, "%c%s=", mark, r->query[i].name);
		azure_encode(&a->url, r->query[i].value, true);
	}
	if (c->credential->sas)
		buf_printf(&a->url, "%c%s", mark, c->credential->sas);
}

static void add_header(struct attempt *a, const char *name, const char *value)
{
	a->headers[a->header_count++] = (struct azure_pair){name, value};
}

/* A signature holds for 15 minutes: each try has its own. */
static void set_headers(struct attempt *a, const struct blob_client *c,
			const struct blob_request *r)
{
	time_t now = (time_t)(clock_wall_us() / SECOND);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(a->date, sizeof(a->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	for (size_t i = 0; i < r->header_count; i++)
		add_header(a, r->headers[i].name, r->headers[i].value);
	add_header(a, "x-ms-date", a->date);
	add_header(a, "x-ms-version", BLOB_VERSION);
	if (c->credential->key) {
		struct azure_signed s = {.method = r->method,
					 .path = buf_str(&a->path),
					 .query = r->query,
					 .query_count = r->query_count,
					 .headers = a->headers,
					 .header_count = a->header_count,
					 .body_bytes = r->body_bytes};

		storage_sign(c->place.account, c->credential->key,
			     c->credential->key_bytes, &s, &a->authorization);
		add_header(a, "authorization", buf_str(&a->authorization));
	}
	for (size_t i = 0; i < a->header_count; i++)
		a->lines[i] = xasprintf("%s: %s", a->headers[i].name,
					a->headers[i].value);
}

static int empty_file(int fd, struct err *err)
{
	if (ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0)
		return 0;
	return err_errno(err, errno, "cannot empty the file to fetch into");
}

static int try_once(struct blob_client *c, const struct blob_request *r,
		    struct err *err)
{
	struct attempt a = {.header_count = 0};
	struct http_call call = {
	    .method = r->method,
	    .body = r->body,
	    .body_fd = r->body_fd,
	    .body_at = r->body_at,
	    .body_bytes = r->body_bytes,
	    .limit = r->limit > BLOB_ERROR_BYTES ? r->limit : BLOB_ERROR_BYTES,
	    .reply_fd = r->reply_fd};
	int rc;

	if (r->reply_fd > 0 && empty_file(r->reply_fd, err) != 0)
		return -1;
	set_path(&a, c, r);
	set_url(&a, c, r);
	set_headers(&a, c, r);
	call.url = buf_str(&a.url);
	call.headers = (const char *const *)a.lines;
	rc = http_call(c->http, &call, &c->reply, err);
	attempt_free(&a);
	return rc;
}

/* ---- again ---- */

static bool is_passing(int status)
{
	return status == 408 || status == 429 || status == 500 ||
	       status == 502 || status == 503 || status == 504;
}

/* How long the service asks to wait. */
static int64_t asked_wait_us(const struct blob_client *c)
{
	char value[40];
	long long ms;

	if (http_reply_header(&c->reply, "x-ms-retry-after-ms", value,
			      sizeof(value))) {
		ms = strtoll(value, NULL, 10);
		return ms < BACKOFF_MOST_ASKED_US / 1000
			   ? ms * 1000
			   : BACKOFF_MOST_ASKED_US;
	}
	if (http_reply_header(&c->reply, "retry-after", value, sizeof(value)))
		return backoff_retry_after_us(value, clock_wall_us());
	return 0;
}

/* -1 when it is stopped meanwhile. */
static int wait_until(const struct blob_client *c, int64_t until_mono_us,
		      struct err *err)
{
	int64_t left;

	while ((left = until_mono_us - clock_mono_us()) > 0) {
		struct timespec nap = {
		    .tv_nsec = (left < NAP_US ? left : NAP_US) * 1000};

		if (c->stop && *c->stop) {
			err_set(err, ECANCELED, "stopped");
			return -1;
		}
		nanosleep(&nap, NULL);
	}
	return 0;
}

static void log_retry(const struct blob_client *c, const struct blob_request *r,
		      int64_t wait_us, const struct err *err)
{
	char quoted[LOG_QUOTE_BYTES];

	log_warn("blob_retry",
		 "account=%s method=%s status=%d wait_ms=%lld error=%s",
		 c->place.account, r->method, c->reply.status,
		 (long long)(wait_us / 1000), log_quote(quoted, err->text));
}

int blob_run(struct blob_client *c, struct blob_request *r, struct err *err)
{
	struct backoff backoff = {.first_us = FIRST_WAIT,
				  .max_us = LONGEST_WAIT};
	int64_t deadline = clock_mono_us() + c->deadline_us;

	if (r->name && strchr(r->name, '\\'))
		return err_set(err, EINVAL,
			       "\"%s\" has a backslash, which Azure takes for "
			       "a slash",
			       r->name);
	for (;;) {
		int rc = try_once(c, r, err);
		int64_t wait_us, now;

		if (rc == 0 && !is_passing(c->reply.status))
			break;
		/* Even a 5xx may come from something in between. */
		if (c->reply.sent != HTTP_NOT_SENT)
			r->doubtful = true;
		if (rc == 0)
			blob_refused(c, r, err);
		if (!err->retriable)
			return -1;
		if (rc == 0)
			err->retry_after_us = asked_wait_us(c);
		wait_us = backoff_next_us(&backoff, err->retry_after_us);
		now = clock_mono_us();
		if (now + wait_us >= deadline)
			return -1;
		log_retry(c, r, wait_us, err);
		if (wait_until(c, now + wait_us, err) != 0)
			return -1;
	}
	if (c->reply.sent == HTTP_SENT_TWICE)
		r->doubtful = true;
	return 0;
}
