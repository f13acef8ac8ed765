#include "http/client.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"

#define SECOND		 1000000LL
#define POLL_MS		 200
#define HEADERS_BYTES	 65536
#define CONNECT_US	 (10 * SECOND)
#define STALL_US	 (30 * SECOND)
#define COPY_BYTES	 (256L << 10) /* of libcurl's buffers */
#define KEPT_CONNECTIONS 4L

struct http_client {
	CURLM *multi;
	CURL *easy;
	char *ca_file;
	int64_t connect_us, stall_us;
	const atomic_bool *stop;
	char message[CURL_ERROR_SIZE];
};

/* What a running call has come to. */
struct running {
	CURL *easy;
	const struct http_call *call;
	struct http_reply *reply;
	int64_t body_sent;
	int64_t moved_mono_us; /* when bytes last went either way */
	curl_off_t moved;      /* how many had by then */
	int attempts;	       /* requests begun on a connection */
	bool cut;	       /* the rest of a refusal was of no use */
	int code;	       /* why we ended it, or 0 */
	const char *why;
};

void http_reply_free(struct http_reply *reply)
{
	buf_free(&reply->headers);
	buf_free(&reply->body);
}

bool http_reply_header(const struct http_reply *reply, const char *name,
		       char *value, size_t bytes)
{
	const char *at = reply->headers.data;
	const char *end = at + reply->headers.used, *next;
	size_t name_bytes = strlen(name), n;

	for (; at && at < end; at = next) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));

		next = stop ? stop + 1 : end;
		n = (size_t)(next - at);
		if (n <= name_bytes || at[name_bytes] != ':' ||
		    strncasecmp(at, name, name_bytes) != 0)
			continue;
		at += name_bytes + 1;
		while (at < next && (*at == ' ' || *at == '\t'))
			at++;
		n = (size_t)(next - at);
		while (n && strchr(" \t\r\n", at[n - 1]))
			n--;
		n = n < bytes ? n : bytes - 1;
		memcpy(value, at, n);
		value[n] = '\0';
		return true;
	}
	return false;
}

/* ---- libcurl's calls back ---- */

/* Ends the call for a reason of ours. */
static size_t give_up(struct running *r, int code, const char *why)
{
	r->code = code;
	r->why = why;
	return 0;
}

static size_t read_body(char *out, size_t size, size_t count, void *arg)
{
	struct running *r = arg;
	const struct http_call *call = r->call;
	int64_t left = call->body_bytes - r->body_sent;
	size_t room = size * count;
	ssize_t n;

	if ((int64_t)room > left)
		room = (size_t)left;
	if (call->body && room)
		memcpy(out, (const char *)call->body + r->body_sent, room);
	n = (ssize_t)room;
	while (!call->body && room &&
	       (n = pread(call->body_fd, out, room,
			  call->body_at + r->body_sent)) < 0 &&
	       errno == EINTR)
		;
	if (n < 0 || (n == 0 && room)) {
		give_up(r, n < 0 ? errno : EIO,
			n < 0 ? "cannot read the file to send"
			      : "the file to send is shorter than it was");
		return CURL_READFUNC_ABORT;
	}
	r->body_sent += n;
	return (size_t)n;
}

/* A connection that was kept had died: the body begins again. */
static int rewind_body(void *arg, curl_off_t offset, int origin)
{
	struct running *r = arg;

	if (origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	r->body_sent = offset;
	return CURL_SEEKFUNC_OK;
}

static size_t take_header(char *line, size_t size, size_t count, void *arg)
{
	struct running *r = arg;
	struct buf *headers = &r->reply->headers;
	size_t bytes = size * count;

	/* Each answer begins anew: those before the last were 1xx. */
	if (bytes >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		buf_clear(headers);
		return bytes;
	}
	if (headers->used + bytes > HEADERS_BYTES)
		return give_up(r, EFBIG,
			       "the headers of the answer exceed 64 "
			       "KiB");
	buf_append(headers, line, bytes);
	return bytes;
}

static bool goes_to_file(const struct http_call *call, long status)
{
	return call->reply_fd > 0 && (status == 200 || status == 206);
}

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
	struct running *r = arg;
	size_t bytes = size * count;
	long status = 0;

	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	if (goes_to_file(r->call, status)) {
		if (io_write_all(r->call->reply_fd, data, bytes) == bytes)
			return bytes;
		return give_up(r, errno, "cannot write what was received");
	}
	if (r->reply->body.used + bytes <= r->call->limit) {
		buf_append(&r->reply->body, data, bytes);
		return bytes;
	}
	if (status < 300)
		return give_up(r, EFBIG, "the answer is longer than its limit");
	/* The status is what counts, however long a proxy's page is. */
	r->cut = true;
	buf_append(&r->reply->body, data, r->call->limit - r->reply->body.used);
	return 0;
}

/* Before each request on a connection, also one that is sent again. */
// NOLINTNEXTLINE(readability-non-const-parameter): libcurl's own type
static int note_attempt(void *arg, char *ip, char *local_ip, int port,
			int local_port)
{
	struct running *r = arg;

	(void)ip;
	(void)local_ip;
	(void)port;
	(void)local_port;
	r->attempts++;
	r->moved_mono_us = clock_mono_us();
	return CURL_PREREQFUNC_OK;
}

static int note_progress(void *arg, curl_off_t down_total, curl_off_t down,
			 curl_off_t up_total, curl_off_t up)
{
	struct running *r = arg;

	(void)down_total;
	(void)up_total;
	if (down + up != r->moved) {
		r->moved = down + up;
		r->moved_mono_us = clock_mono_us();
	}
	return 0;
}

/* ---- a call ---- */

static void set_body(CURL *easy, struct running *r)
{
	const struct http_call *call = r->call;

	if (strcmp(call->method, "PUT") == 0 ||
	    strcmp(call->method, "POST") == 0) {
		curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
				 (curl_off_t)call->body_bytes);
		curl_easy_setopt(easy, CURLOPT_READFUNCTION, read_body);
		curl_easy_setopt(easy, CURLOPT_READDATA, r);
		curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, rewind_body);
		curl_easy_setopt(easy, CURLOPT_SEEKDATA, r);
	} else if (strcmp(call->method, "HEAD") == 0) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

static void set_callbacks(struct http_client *c, struct running *r)
{
	CURL *easy = c->easy;

	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->message);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, r);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, note_attempt);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, r);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, note_progress);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, r);
}

static void set_up(struct http_client *c, struct running *r,
		   struct curl_slist *headers)
{
	CURL *easy = c->easy;

	curl_easy_reset(easy); /* connections stay */
	curl_easy_setopt(easy, CURLOPT_URL, r->call->url);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
			 (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION,
			 (long)CURL_SSLVERSION_TLSv1_2);
	if (c->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, c->ca_file);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* A name that is being looked up holds up nobody who stops. */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, COPY_BYTES);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, COPY_BYTES);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)(c->connect_us / 1000));
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	set_body(easy, r);
	set_callbacks(c, r);
}

/* NULL when a header is none. */
static struct curl_slist *list_headers(const char *const *headers)
{
	/* A body that is refused costs less than asking before each. */
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");

	for (; headers && *headers && list; headers++) {
		struct curl_slist *longer = NULL;

		if (!strpbrk(*headers, "\r\n"))
			longer = curl_slist_append(list, *headers);
		if (!longer)
			curl_slist_free_all(list);
		list = longer;
	}
	return list;
}

/* Whether a running call is to end now. */
static bool is_over(const struct http_client *c, struct running *r)
{
	int64_t now = clock_mono_us();
	int64_t deadline = r->call->deadline_mono_us;

	if (c->stop && *c->stop)
		give_up(r, ECANCELED, "stopped");
	else if (deadline && now >= deadline)
		give_up(r, ETIMEDOUT, "no whole answer in time");
	else if (r->attempts && now - r->moved_mono_us >= c->stall_us)
		give_up(r, ETIMEDOUT,
			"nothing was sent or received for too "
			"long");
	return r->code != 0;
}

static CURLcode result_of(struct http_client *c)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(c->multi, &left)))
		if (message->msg == CURLMSG_DONE)
			return message->data.result;
	return CURLE_RECV_ERROR;
}

/* Runs the transfer to its end or ours. */
static CURLcode transfer(struct http_client *c, struct running *r)
{
	CURLcode result = CURLE_ABORTED_BY_CALLBACK;
	int active = 1;

	curl_multi_add_handle(c->multi, c->easy);
	while (!is_over(c, r)) {
		if (curl_multi_perform(c->multi, &active) != CURLM_OK)
			abort();
		if (!active) {
			result = result_of(c);
			break;
		}
		curl_multi_poll(c->multi, NULL, 0, POLL_MS, NULL);
	}
	/* A connection in mid-answer is closed by this. */
	curl_multi_remove_handle(c->multi, c->easy);
	return result;
}

static int errno_of(CURLcode result, bool sent)
{
	switch (result) {
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL: /* or an answer in HTTP/0.9 */
		return sent ? EPROTO : EINVAL;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
		return ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return ETIMEDOUT;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_WEIRD_SERVER_REPLY:
		return EPROTO;
	default:
		return ECONNRESET;
	}
}

/* The URL without what may be secret in it. */
static int failed(const struct http_client *c, const struct running *r,
		  CURLcode result, struct err *err)
{
	const struct http_call *call = r->call;
	int code = r->code ? r->code : errno_of(result, r->attempts > 0);
	const char *why = r->code	  ? r->why
			  : c->message[0] ? c->message
					  : curl_easy_strerror(result);

	err_set(err, code, "%s %.*s: %s", call->method,
		(int)strcspn(call->url, "?"), call->url, why);
	err->retriable = code == ECONNREFUSED || code == EHOSTUNREACH ||
			 code == ECONNRESET || code == ETIMEDOUT;
	return -1;
}

int http_call(struct http_client *c, const struct http_call *call,
	      struct http_reply *reply, struct err *err)
{
	struct running r = {.easy = c->easy,
			    .call = call,
			    .reply = reply,
			    .moved_mono_us = clock_mono_us()};
	struct curl_slist *headers = list_headers(call->headers);
	CURLcode result;
	long status = 0;

	reply->status = 0;
	reply->sent = HTTP_NOT_SENT;
	buf_clear(&reply->headers);
	buf_clear(&reply->body);
	if (!headers)
		return err_set(err, EINVAL, "%s %.*s: a header has a line end",
			       call->method, (int)strcspn(call->url, "?"),
			       call->url);
	c->message[0] = '\0';
	set_up(c, &r, headers);
	result = transfer(c, &r);
	curl_slist_free_all(headers);
	if (r.attempts)
		reply->sent = r.attempts > 1 ? HTTP_SENT_TWICE : HTTP_SENT;
	if ((result != CURLE_OK && !r.cut) || r.code)
		return failed(c, &r, result, err);
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	reply->status = (int)status;
	return 0;
}

/* ---- a client ---- */

static void begin_curl(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
	/* OpenSSL writes to sockets by write(2); a peer may have gone. */
	signal(SIGPIPE, SIG_IGN);
}

struct http_client *http_client_new(const struct http_client_options *options)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http_client *c = xcalloc(1, sizeof(*c));

	pthread_once(&once, begin_curl);
	c->multi = curl_multi_init();
	c->easy = curl_easy_init();
	if (!c->multi || !c->easy)
		abort();
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, KEPT_CONNECTIONS);
	c->ca_file = options->ca_file ? xstrdup(options->ca_file) : NULL;
	c->connect_us = options->connect_us ? options->connect_us : CONNECT_US;
	c->stall_us = options->stall_us ? options->stall_us : STALL_US;
	c->stop = options->stop;
	return c;
}

void http_client_free(struct http_client **c)
{
	if (!*c)
		return;
	curl_easy_cleanup((*c)->easy);
	curl_multi_cleanup((*c)->multi);
	free((*c)->ca_file);
	free(*c);
	*c = NULL;
}
