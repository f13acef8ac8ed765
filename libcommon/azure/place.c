#include "azure/place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/text.h"

#define AZURE_ENDPOINT "https://%s.blob.core.windows.net"
#define URL_BYTES      2048

/* The parts of a URL, between its marks; not terminated. */
struct part {
	const char *at;
	size_t bytes;
};

struct url {
	const char *text;
	struct part scheme, user, host; /* host with its port */
	struct part path;		/* without the first '/' */
};

int azure_shown(const char *url)
{
	size_t bytes = strcspn(url, "?#;=");
	const char *sign = memchr(url, '@', bytes);
	const char *host = strstr(url, "://");
	const char *user = host && sign && host < sign ? host + 3 : url;
	const char *colon =
	    sign ? memchr(user, ':', (size_t)(sign - user)) : NULL;

	return (int)(colon ? (size_t)(colon - url) : bytes);
}

static int refuse(const struct url *u, struct err *err, const char *why)
{
	err_set(err, EINVAL, "%.*s: %s", azure_shown(u->text), u->text, why);
	return -1;
}

static bool part_is(struct part p, const char *text)
{
	return p.bytes == strlen(text) && strncasecmp(p.at, text, p.bytes) == 0;
}

static bool part_has(struct part p, const char *text)
{
	return p.bytes && memmem(p.at, p.bytes, text, strlen(text));
}

static char *part_copy(struct part p)
{
	return xmemdup0(p.at, p.bytes);
}

/* Cuts the part up to `mark` off *rest; all of it when there is no mark. */
static struct part cut(struct part *rest, char mark)
{
	const char *end = memchr(rest->at, mark, rest->bytes);
	struct part p = {rest->at,
			 end ? (size_t)(end - rest->at) : rest->bytes};

	rest->at += p.bytes + (end != NULL);
	rest->bytes -= p.bytes + (end != NULL);
	return p;
}

static int split(struct url *u, struct err *err)
{
	const char *at = strstr(u->text, "://"), *sign;
	struct part rest;

	if (!at || strlen(u->text) > URL_BYTES)
		return refuse(u, err,
			      "is no URL of a lake; write file:///FOLDER or "
			      "https://ACCOUNT.blob.core.windows.net/CONTAINER/"
			      "FOLDER");
	if (strpbrk(u->text, "?#"))
		return refuse(u, err,
			      "a lake's URL has no query (a shared access "
			      "signature belongs into an identity) and no "
			      "fragment");
	u->scheme = (struct part){u->text, (size_t)(at - u->text)};
	rest = (struct part){at + 3, strlen(at + 3)};
	u->host = cut(&rest, '/');
	u->path = rest;
	sign = memchr(u->host.at, '@', u->host.bytes);
	if (sign)
		u->user = cut(&u->host, '@');
	if (!u->host.bytes)
		return refuse(u, err, "it names no host");
	return 0;
}

/* ---- text in URLs ---- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 32) >= 'a' && (c | 32) <= 'f')
		return (c | 32) - 'a' + 10;
	return -1;
}

void azure_decode(char *text)
{
	char *out = text;

	for (; *text; text++) {
		if (*text == '%' && hex(text[1]) >= 0 && hex(text[2]) >= 0) {
			*out++ = (char)(hex(text[1]) * 16 + hex(text[2]));
			text += 2;
		} else {
			*out++ = *text;
		}
	}
	*out = '\0';
}

void azure_encode(struct buf *out, const char *text, bool query)
{
	static const char kept[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "abcdefghijklmnopqrstuvwxyz0123456789-_.~";

	for (; *text; text++) {
		if (strchr(kept, *text) || (*text == '/' && !query))
			buf_char(out, *text);
		else
			buf_printf(out, "%%%02X", (unsigned char)*text);
	}
}

/* ---- the parts of a place ---- */

/* Whether a host's first label is its account: ACCOUNT.blob.… */
static bool names_account(struct part host)
{
	return part_has(host, ".blob.") || part_has(host, ".dfs.");
}

static bool is_account(const char *name)
{
	size_t n = strlen(name);

	return n >= 3 && n <= 63 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* As Azure has it; those with '$' are its own. */
static bool is_container(const char *name)
{
	size_t n = strlen(name);

	name += *name == '$';
	return n >= 3 && n <= 63 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") ==
		   strlen(name) &&
	       *name != '-' && !strstr(name, "--");
}

/* "https://ACCOUNT.blob.core.windows.net", of a dfs host too. */
static void set_endpoint(struct blob_place *p, const struct url *u,
			 const char *scheme)
{
	char *host = part_copy(u->host);
	char *dfs = strstr(host, ".dfs.");
	char *account = xmemdup0(host, strcspn(host, "."));

	if (dfs)
		p->endpoint = xasprintf("%s://%.*s.blob.%s", scheme,
					(int)(dfs - host), host, dfs + 5);
	else
		p->endpoint = xasprintf("%s://%s", scheme, host);
	p->account = account;
	p->path = xstrdup("");
	free(host);
}

/* Of "http://127.0.0.1:10000/ACCOUNT/…"; *rest is cut behind the account. */
static void set_path_endpoint(struct blob_place *p, const struct url *u,
			      struct part *rest)
{
	struct part account = cut(rest, '/');

	p->account = part_copy(account);
	p->path = xasprintf("/%s", p->account);
	p->endpoint =
	    xasprintf("%.*s://%.*s%s", (int)u->scheme.bytes, u->scheme.at,
		      (int)u->host.bytes, u->host.at, p->path);
}

static void set_folder(struct blob_place *p, struct part rest)
{
	while (rest.bytes && rest.at[rest.bytes - 1] == '/')
		rest.bytes--;
	p->folder = rest.bytes ? xasprintf("%.*s/", (int)rest.bytes, rest.at)
			       : xstrdup("");
	azure_decode(p->folder);
}

/* https:// or http:// */
static int parse_http(struct blob_place *p, const struct url *u,
		      struct err *err)
{
	struct part rest = u->path;

	if (u->user.at)
		return refuse(u, err,
			      "a lake's URL has no user name; credentials "
			      "belong into an identity");
	if (!names_account(u->host))
		set_path_endpoint(p, u, &rest);
	else if (part_is(u->scheme, "https"))
		set_endpoint(p, u, "https");
	else
		return refuse(u, err, "Azure is reached by https:// only");
	p->container = part_copy(cut(&rest, '/'));
	set_folder(p, rest);
	return 0;
}

/* abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER */
static int parse_abfss(struct blob_place *p, const struct url *u,
		       struct err *err)
{
	if (!u->user.at || !names_account(u->host))
		return refuse(u, err,
			      "write abfss://CONTAINER@ACCOUNT.dfs.core."
			      "windows.net/FOLDER");
	set_endpoint(p, u, "https");
	p->container = part_copy(u->user);
	set_folder(p, u->path);
	return 0;
}

/* az://CONTAINER/FOLDER */
static int parse_az(struct blob_place *p, const struct url *u,
		    const struct storage_credential *c, struct err *err)
{
	struct url of_account = {.text = c->endpoint};

	if (!c->endpoint && !c->account)
		return refuse(u, err,
			      "az:// needs an identity that names its storage "
			      "account (account, or a connection string)");
	if (!c->endpoint) {
		p->account = xstrdup(c->account);
		p->endpoint = xasprintf(AZURE_ENDPOINT, c->account);
		p->path = xstrdup("");
	} else {
		if (split(&of_account, err) != 0) {
			err_wrap(err, "identity \"%s\": BlobEndpoint", c->name);
			return -1;
		}
		if (names_account(of_account.host) &&
		    !part_is(of_account.scheme, "https"))
			return refuse(&of_account, err,
				      "Azure is reached by https:// only");
		if (names_account(of_account.host))
			p->account = xmemdup0(of_account.host.at,
					      strcspn(of_account.host.at, "."));
		else
			p->account = part_copy(of_account.path);
		p->endpoint = xstrdup(c->endpoint);
		p->path = of_account.path.bytes
			      ? xasprintf("/%s", of_account.path.at)
			      : xstrdup("");
	}
	p->container = part_copy(u->host);
	set_folder(p, u->path);
	return 0;
}

/* ---- the whole ---- */

static int check(const struct blob_place *p, const struct url *u,
		 const struct storage_credential *c, struct err *err)
{
	if (!is_account(p->account))
		return refuse(u, err,
			      "it names no storage account; write https://"
			      "ACCOUNT.blob.core.windows.net/CONTAINER/FOLDER, "
			      "for Azurite http://127.0.0.1:10000/ACCOUNT/"
			      "CONTAINER/FOLDER");
	if (!is_container(p->container))
		return refuse(u, err,
			      "it names no container, which has 3 to 63 small "
			      "letters, digits and single dashes");
	if (strchr(p->folder, '\\'))
		return refuse(u, err,
			      "Azure takes a backslash for a slash; write a "
			      "slash");
	if (c->account && strcmp(c->account, p->account) != 0)
		return err_set(err, EINVAL,
			       "%s: its account is \"%s\", but identity "
			       "\"%s\" is for account \"%s\"",
			       u->text, p->account, c->name, c->account);
	return 0;
}

static int parse(struct blob_place *p, struct url *u,
		 const struct storage_credential *c, struct err *err)
{
	if (split(u, err) != 0)
		return -1;
	if (part_has(u->host, ".fabric.microsoft.com")) {
		err_set(err, ENOTSUP,
			"%.*s: OneLake takes tokens of Microsoft Entra only, "
			"which this version does not have; use a storage "
			"account, and a shortcut to it in OneLake",
			azure_shown(u->text), u->text);
		return -1;
	}
	if (part_is(u->scheme, "https") || part_is(u->scheme, "http"))
		return parse_http(p, u, err);
	if (part_is(u->scheme, "abfss"))
		return parse_abfss(p, u, err);
	if (part_is(u->scheme, "az"))
		return parse_az(p, u, c, err);
	return refuse(u, err,
		      "a lake's URL begins with file://, https://, abfss:// "
		      "or az://");
}

int blob_place_parse(struct blob_place *place, const char *text,
		     const struct storage_credential *credential,
		     struct err *err)
{
	struct url u = {.text = text};

	*place = (struct blob_place){0};
	if (parse(place, &u, credential, err) == 0 &&
	    check(place, &u, credential, err) == 0)
		return 0;
	blob_place_free(place);
	return -1;
}

void blob_place_free(struct blob_place *place)
{
	free(place->account);
	free(place->endpoint);
	free(place->path);
	free(place->container);
	free(place->folder);
	*place = (struct blob_place){0};
}
