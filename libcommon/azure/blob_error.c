/* What the Blob service answers when it refuses, in words that help. */
#include "azure/blob_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"

#define SECOND	   INT64_C(1000000)
#define SKEW_US	   (5 * 60 * SECOND) /* the service allows 15 minutes */
#define SAID_BYTES 200

void blob_error_code(const struct blob_client *c, char *code, size_t bytes)
{
	if (!http_reply_header(&c->reply, "x-ms-error-code", code, bytes))
		*code = '\0';
}

/* The first line of what the service says, which ends in a full stop. */
static void say(char said[SAID_BYTES], const char *message)
{
	size_t n = message ? strcspn(message, "\r\n") : 0;

	while (n && (message[n - 1] == '.' || message[n - 1] == ' '))
		n--;
	snprintf(said, SAID_BYTES, "%.*s", (int)n, message ? message : "");
}

/* How far our clock is ahead of the service's, 0 when it does not say. */
static int64_t skew_us(const struct blob_client *c)
{
	struct tm tm = {0};
	char date[60];

	if (!http_reply_header(&c->reply, "date", date, sizeof(date)) ||
	    !strptime(date, "%a, %d %b %Y %H:%M:%S", &tm))
		return 0;
	return clock_wall_us() - (int64_t)timegm(&tm) * SECOND;
}

/* What to do about a refusal; never the secret itself. */
static void advise(const struct blob_client *c, const char *code,
		   const char *said, char advice[240])
{
	int64_t skew = skew_us(c);
	int64_t expires = storage_credential_expires(c->credential);
	char date[CLOCK_TEXT_BYTES];

	if (skew > SKEW_US || skew < -SKEW_US)
		snprintf(advice, 240,
			 "this machine's clock is %lld minutes %s the "
			 "service's: set the clock",
			 (long long)(llabs(skew) / (60 * SECOND)),
			 skew > 0 ? "ahead of" : "behind");
	else if (expires && expires < clock_wall_us())
		snprintf(advice, 240,
			 "the shared access signature expired at %.19sZ: "
			 "give the identity a new one",
			 clock_format(expires, date));
	else if (strstr(code, "PermissionMismatch") ||
		 strstr(code, "ResourceTypeMismatch") ||
		 strstr(code, "ServiceMismatch"))
		snprintf(advice, 240,
			 "the shared access signature lacks a permission: it "
			 "needs read, add, create, write, delete and list on "
			 "the container");
	else if ((strcmp(code, "AuthorizationFailure") == 0 &&
		  !strstr(said, "authenticate")) ||
		 strstr(code, "IpRange") || strstr(code, "SourceIP"))
		snprintf(advice, 240,
			 "the account's firewall or a rule of the signature "
			 "does not let this machine in");
	else if (strcmp(code, "KeyBasedAuthenticationNotPermitted") == 0)
		snprintf(advice, 240,
			 "the account does not allow keys: allow shared key "
			 "access, or use a user delegation SAS");
	else
		snprintf(advice, 240,
			 "check that %s is of this account, whole, and was "
			 "not replaced",
			 c->credential->key ? "the key"
					    : "the shared access signature");
}

static int refuse_access(struct blob_client *c, const struct blob_request *r,
			 const char *code, const char *said, struct err *err)
{
	char advice[240];

	advise(c, code, said, advice);
	return err_set(err, EACCES,
		       "%s refused by storage account \"%s\" for identity "
		       "\"%s\" (%d %s: %s); %s",
		       r->method, c->place.account, c->credential->name,
		       c->reply.status, code, said, advice);
}

static int errno_of(int status)
{
	switch (status) {
	case 404:
		return ENOENT;
	case 413:
		return EFBIG;
	case 416:
		return ERANGE;
	case 408:
	case 504:
		return ETIMEDOUT;
	case 409:
	case 412:
		return EBUSY;
	case 429:
	case 500:
	case 502:
	case 503:
		return EAGAIN;
	default:
		return EPROTO;
	}
}

int blob_refused(struct blob_client *c, const struct blob_request *r,
		 struct err *err)
{
	int status = c->reply.status, rc;
	char *message =
	    blob_error_message(c->reply.body.data, c->reply.body.used);
	char code[80], said[SAID_BYTES];

	blob_error_code(c, code, sizeof(code));
	say(said, message);
	if (status == 401 || status == 403)
		rc = refuse_access(c, r, *code ? code : "no code", said, err);
	else if (strcmp(code, "ContainerNotFound") == 0)
		rc = err_set(err, ENXIO,
			     "storage account \"%s\" has no container \"%s\"; "
			     "create it, or correct the lake's URL",
			     c->place.account, c->place.container);
	else
		rc = err_set(err, errno_of(status),
			     "%s %s/%s/%s%.300s: storage account \"%s\" said "
			     "%d%s%s%s%s",
			     r->method, c->place.endpoint, c->place.container,
			     c->place.folder, r->name ? r->name : "",
			     c->place.account, status, *code ? " " : "", code,
			     *said ? ": " : "", said);
	/* A container that is being deleted may be made again. */
	err->retriable = status == 408 || status == 409 || status == 429 ||
			 status >= 500 || err->code == ENXIO;
	free(message);
	return rc;
}
