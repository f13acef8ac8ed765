#include "azure/credential.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/alloc.h"
#include "base/clock.h"

#define DEVELOPMENT_ACCOUNT "devstoreaccount1"
/* Azurite's, known to everybody. */
#define DEVELOPMENT_KEY                                            \
	"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErC" \
	"z4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
#define DEVELOPMENT_ENDPOINT "http://127.0.0.1:10000/devstoreaccount1"
#define MAX_PAIRS	     32

static void wipe(char **text)
{
	if (*text)
		explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

void storage_credential_free(struct storage_credential **c)
{
	if (!*c)
		return;
	if ((*c)->key)
		explicit_bzero((*c)->key, (*c)->key_bytes);
	free((*c)->key);
	wipe(&(*c)->sas);
	free((*c)->name);
	free((*c)->account);
	free((*c)->endpoint);
	free(*c);
	*c = NULL;
}

/* ---- secrets as people have them ---- */

/* -1 when it is no Base64 of 1 to 512 bytes. */
static int take_key(struct storage_credential *c, const char *text)
{
	size_t bytes = strlen(text), pad = 0;
	int n;

	if (!bytes || bytes % 4 || bytes > 684)
		return -1;
	while (pad < 2 && text[bytes - 1 - pad] == '=')
		pad++;
	/* OpenSSL's decoder takes '=' anywhere. */
	if (strspn(text,
		   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		   "abcdefghijklmnopqrstuvwxyz0123456789+/") != bytes - pad)
		return -1;
	c->key = xmalloc(bytes);
	n = EVP_DecodeBlock(c->key, (const unsigned char *)text, (int)bytes);
	if (n <= (int)pad)
		return -1;
	c->key_bytes = (size_t)n - pad;
	return 0;
}

/* -1 when it is no such token; its own '?' is left out. */
static int take_sas(struct storage_credential *c, const char *text)
{
	text += *text == '?';
	if ((strncmp(text, "sig=", 4) != 0 && !strstr(text, "&sig=")) ||
	    strpbrk(text, " \t\r\n\"#"))
		return -1;
	c->sas = xstrdup(text);
	return 0;
}

static int refuse_key(const char *name, struct err *err)
{
	return err_set(err, EINVAL,
		       "identity \"%s\": its account key is no Base64; copy "
		       "the whole key from the portal (Access keys)",
		       name);
}

static int refuse_sas(const char *name, struct err *err)
{
	return err_set(err, EINVAL,
		       "identity \"%s\": its shared access signature has no "
		       "sig=, or blanks in it; copy the whole token "
		       "(\"sv=…&sig=…\")",
		       name);
}

/* ---- connection strings ---- */

/* The value of "Name=value;…" in a copy of the caller's, or NULL. */
static char *find_value(const char *text, const char *name)
{
	size_t bytes = strlen(name);

	while (*text) {
		size_t n;

		text += strspn(text, " \t");
		n = strcspn(text, ";");
		if (n > bytes && text[bytes] == '=' &&
		    strncasecmp(text, name, bytes) == 0)
			return xmemdup0(text + bytes + 1, n - bytes - 1);
		text += n;
		text += *text == ';';
	}
	return NULL;
}

/* The account's endpoint: as given, or of its protocol and suffix. */
static void take_endpoint(struct storage_credential *c, const char *text)
{
	char *suffix = find_value(text, "EndpointSuffix");
	char *protocol = find_value(text, "DefaultEndpointsProtocol");
	size_t bytes;

	c->endpoint = find_value(text, "BlobEndpoint");
	if (!c->endpoint && c->account && suffix)
		c->endpoint =
		    xasprintf("%s://%s.blob.%s", protocol ? protocol : "https",
			      c->account, suffix);
	for (bytes = c->endpoint ? strlen(c->endpoint) : 0;
	     bytes && c->endpoint[bytes - 1] == '/'; bytes--)
		c->endpoint[bytes - 1] = '\0';
	free(suffix);
	free(protocol);
}

static int take_secret(struct storage_credential *c, const char *text,
		       struct err *err)
{
	char *key = find_value(text, "AccountKey");
	char *sas = find_value(text, "SharedAccessSignature");
	int rc = 0;

	if (key && take_key(c, key) != 0)
		rc = refuse_key(c->name, err);
	else if (!key && sas && take_sas(c, sas) != 0)
		rc = refuse_sas(c->name, err);
	else if (!key && !sas)
		rc = err_set(err, EINVAL,
			     "identity \"%s\": its connection string has "
			     "neither AccountKey nor SharedAccessSignature%s",
			     c->name,
			     strstr(text, "sb://")
				 ? "; it is one of Event Hubs, a storage "
				   "account's is needed here"
				 : "");
	wipe(&key);
	wipe(&sas);
	return rc;
}

static int take_connection(struct storage_credential *c, const char *text,
			   struct err *err)
{
	char *development = find_value(text, "UseDevelopmentStorage");
	bool is_development =
	    development && strcasecmp(development, "true") == 0;

	free(development);
	if (is_development) {
		c->account = xstrdup(DEVELOPMENT_ACCOUNT);
		c->endpoint = xstrdup(DEVELOPMENT_ENDPOINT);
		return take_key(c, DEVELOPMENT_KEY);
	}
	c->account = find_value(text, "AccountName");
	take_endpoint(c, text);
	return take_secret(c, text, err);
}

static int take(struct storage_credential *c,
		const struct conf_identity *identity, struct err *err)
{
	switch (identity->type) {
	case IDENTITY_ACCOUNT_KEY:
		if (identity->account)
			c->account = xstrdup(identity->account);
		if (identity->key && take_key(c, identity->key) == 0)
			return 0;
		return refuse_key(c->name, err);
	case IDENTITY_SAS:
		if (identity->token && take_sas(c, identity->token) == 0)
			return 0;
		return refuse_sas(c->name, err);
	case IDENTITY_CONNECTION_STRING:
		if (identity->connection_string)
			return take_connection(c, identity->connection_string,
					       err);
		break;
	default:
		break;
	}
	return err_set(err, EINVAL,
		       "identity \"%s\": of no use for a storage account, "
		       "which needs one of type account_key, sas or "
		       "connection_string",
		       c->name);
}

int storage_credential_new(struct storage_credential **c, const char *name,
			   const struct conf_identity *identity,
			   struct err *err)
{
	*c = xcalloc(1, sizeof(**c));
	(*c)->name = xstrdup(name);
	if (take(*c, identity, err) == 0)
		return 0;
	storage_credential_free(c);
	return -1;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 32) >= 'a' && (c | 32) <= 'f')
		return (c | 32) - 'a' + 10;
	return -1;
}

int64_t storage_credential_expires(const struct storage_credential *c)
{
	const char *at = c->sas;
	char text[40];
	size_t n = 0;
	int64_t at_us;

	while (at && strncmp(at, "se=", 3) != 0)
		at = strchr(at, '&') ? strchr(at, '&') + 1 : NULL;
	if (!at)
		return 0;
	for (at += 3; *at && *at != '&' && n < sizeof(text); at++) {
		bool coded = *at == '%' && hex(at[1]) >= 0 && hex(at[2]) >= 0;

		text[n++] = coded ? (char)(hex(at[1]) * 16 + hex(at[2])) : *at;
		at += coded ? 2 : 0;
	}
	return clock_parse(text, n, &at_us) == 0 ? at_us : 0;
}

/* ---- signatures ---- */

static const char *find(const struct azure_signed *r, const char *name)
{
	for (size_t i = 0; i < r->header_count; i++)
		if (strcmp(r->headers[i].name, name) == 0)
			return r->headers[i].value;
	return "";
}

/* Parameters are signed in small letters; headers are written so. */
static int compare(const void *a, const void *b)
{
	return strcasecmp(((const struct azure_pair *)a)->name,
			  ((const struct azure_pair *)b)->name);
}

static void append_small(struct buf *out, const char *name)
{
	for (; *name; name++)
		buf_char(out, (char)tolower((unsigned char)*name));
}

/* The pairs whose names begin with `prefix`, in order of names. */
static size_t sorted(struct azure_pair out[MAX_PAIRS],
		     const struct azure_pair *pairs, size_t count,
		     const char *prefix)
{
	size_t n = 0;

	for (size_t i = 0; i < count && n < MAX_PAIRS; i++)
		if (strncmp(pairs[i].name, prefix, strlen(prefix)) == 0)
			out[n++] = pairs[i];
	qsort(out, n, sizeof(*out), compare);
	return n;
}

void storage_string_to_sign(const char *account, const struct azure_signed *r,
			    struct buf *out)
{
	static const char *const headers[] = {
	    "content-md5",	   "content-type", "date",
	    "if-modified-since",   "if-match",	   "if-none-match",
	    "if-unmodified-since", "range"};
	struct azure_pair pairs[MAX_PAIRS];
	size_t n;

	buf_printf(out, "%s\n%s\n%s\n", r->method, find(r, "content-encoding"),
		   find(r, "content-language"));
	if (r->body_bytes)
		buf_printf(out, "%" PRId64, r->body_bytes);
	buf_char(out, '\n');
	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++)
		buf_printf(out, "%s\n", find(r, headers[i]));
	n = sorted(pairs, r->headers, r->header_count, "x-ms-");
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s:%s\n", pairs[i].name, pairs[i].value);
	buf_printf(out, "/%s%s", account, r->path);
	n = sorted(pairs, r->query, r->query_count, "");
	for (size_t i = 0; i < n; i++) {
		buf_char(out, '\n');
		append_small(out, pairs[i].name);
		buf_printf(out, ":%s", pairs[i].value);
	}
}

void storage_sign(const char *account, const uint8_t *key, size_t key_bytes,
		  const struct azure_signed *r, struct buf *out)
{
	struct buf text = {0};
	unsigned char mac[EVP_MAX_MD_SIZE], base64[64];
	unsigned bytes = 0;

	storage_string_to_sign(account, r, &text);
	if (!HMAC(EVP_sha256(), key, (int)key_bytes,
		  (const unsigned char *)text.data, text.used, mac, &bytes))
		abort();
	EVP_EncodeBlock(base64, mac, (int)bytes);
	buf_printf(out, "SharedKey %s:%s", account, (const char *)base64);
	buf_free(&text);
}
