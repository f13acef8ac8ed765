#include "services/collector/keys.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define DIGEST_BYTES	  32
#define DIGEST_TEXT_BYTES 64
#define MAX_NAME_BYTES	  64
#define MAX_RATE	  100000000

struct key {
	struct key *next;
	char name[MAX_NAME_BYTES + 1];
	uint8_t digest[DIGEST_BYTES];
	bool valid;   /* in the newest list */
	bool listed;  /* while a list is read */
	int64_t rate; /* events a second, 0 = any */
	int64_t new_rate;
	double tokens; /* of at most one second */
	int64_t at_mono_us;
};

struct keys {
	struct key *first;
	EVP_MD *sha256;
	EVP_MD_CTX *context;
	bool needed;
};

struct keys *keys_new(void)
{
	struct keys *keys = xcalloc(1, sizeof(*keys));

	keys->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	keys->context = EVP_MD_CTX_new();
	if (!keys->sha256 || !keys->context)
		abort();
	return keys;
}

void keys_free(struct keys **list)
{
	struct keys *keys = *list;

	if (!keys)
		return;
	for (struct key *k; (k = keys->first);) {
		keys->first = k->next;
		free(k);
	}
	EVP_MD_CTX_free(keys->context);
	EVP_MD_free(keys->sha256);
	free(keys);
	*list = NULL;
}

static int parse_hex(const char *text, uint8_t digest[DIGEST_BYTES])
{
	for (int i = 0; i < DIGEST_TEXT_BYTES; i++) {
		int c = tolower((unsigned char)text[i]);

		if (!isxdigit(c))
			return -1;
		c = isdigit(c) ? c - '0' : c - 'a' + 10;
		digest[i / 2] = (uint8_t)(i % 2 ? digest[i / 2] | c : c << 4);
	}
	return 0;
}

static int parse_rate(const char *text, int64_t *rate)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end || n < 1 || n > MAX_RATE)
		return -1;
	*rate = n;
	return 0;
}

static struct key *find_line(struct keys *keys, const char *name,
			     const uint8_t *digest)
{
	struct key *k = keys->first;

	while (k && (strcmp(k->name, name) != 0 ||
		     memcmp(k->digest, digest, DIGEST_BYTES) != 0))
		k = k->next;
	if (k)
		return k;
	k = xcalloc(1, sizeof(*k));
	memcpy(k->name, name, strlen(name) + 1);
	memcpy(k->digest, digest, DIGEST_BYTES);
	k->next = keys->first;
	keys->first = k;
	return k;
}

static int parse_line(struct keys *keys, char *line, int number,
		      struct err *err)
{
	char *digest = strchr(line, ':'), *rate = NULL;
	uint8_t bytes[DIGEST_BYTES];
	int64_t events = 0;
	struct key *k;

	if (!digest || digest == line || digest - line > MAX_NAME_BYTES)
		return err_set(err, EINVAL,
			       "api_keys line %d is not name:sha256[:rate], "
			       "name of 1 to %d characters",
			       number, MAX_NAME_BYTES);
	*digest++ = '\0';
	for (const char *c = line; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return err_set(err, EINVAL,
				       "api_keys line %d: a name has only "
				       "letters, digits, '.', '_' and '-'",
				       number);
	rate = strchr(digest, ':');
	if (rate)
		*rate++ = '\0';
	if (strlen(digest) != DIGEST_TEXT_BYTES ||
	    parse_hex(digest, bytes) != 0)
		return err_set(err, EINVAL,
			       "api_keys line %d: behind %s: stands no SHA-256 "
			       "of 64 hexadecimal digits; make one with printf "
			       "%%s \"$KEY\" | sha256sum",
			       number, line);
	if (rate && parse_rate(rate, &events) != 0)
		return err_set(err, EINVAL,
			       "api_keys line %d: the rate of %s is not a "
			       "number from 1 to %d",
			       number, line, MAX_RATE);
	k = find_line(keys, line, bytes);
	k->listed = true;
	k->new_rate = events;
	return 0;
}

static int parse_lines(struct keys *keys, char *text, struct err *err)
{
	int number = 0, count = 0;

	for (char *line; (line = strsep(&text, "\n"));) {
		number++;
		line += strspn(line, " \t\r");
		line[strcspn(line, " \t\r")] = '\0';
		if (!*line || *line == '#')
			continue;
		if (++count > KEYS_MAX)
			return err_set(err, EINVAL, "api_keys has over %d keys",
				       KEYS_MAX);
		if (parse_line(keys, line, number, err) != 0)
			return -1;
	}
	return 0;
}

static bool any_listed(const struct keys *keys)
{
	for (const struct key *k = keys->first; k; k = k->next)
		if (k->listed)
			return true;
	return false;
}

int keys_load(struct keys *keys, const char *text, struct err *err)
{
	char *copy = xstrdup(text ? text : "");
	int rc;

	for (struct key *k = keys->first; k; k = k->next)
		k->listed = false;
	rc = parse_lines(keys, copy, err);
	free(copy);
	if (rc != 0)
		return -1;
	/* A list of comments only must not open the door. */
	if (text && !any_listed(keys))
		return err_set(err, EINVAL,
			       "api_keys has no key in it; leave "
			       "it out to let anybody post");
	keys->needed = text != NULL;
	for (struct key *k = keys->first; k; k = k->next) {
		if (k->listed && (!k->valid || k->rate != k->new_rate)) {
			k->rate = k->new_rate;
			k->tokens = (double)k->rate;
		}
		k->valid = k->listed;
	}
	return 0;
}

bool keys_needed(const struct keys *keys)
{
	return keys->needed;
}

struct key *keys_find(struct keys *keys, const char *secret, size_t bytes)
{
	uint8_t digest[DIGEST_BYTES];
	struct key *found = NULL;

	if (EVP_DigestInit_ex2(keys->context, keys->sha256, NULL) != 1 ||
	    EVP_DigestUpdate(keys->context, secret, bytes) != 1 ||
	    EVP_DigestFinal_ex(keys->context, digest, NULL) != 1)
		return NULL;
	for (struct key *k = keys->first; k; k = k->next)
		if (CRYPTO_memcmp(k->digest, digest, DIGEST_BYTES) == 0 &&
		    k->valid)
			found = k;
	return found;
}

const char *key_name(const struct key *key)
{
	return key->name;
}

bool key_admits(struct key *key, int64_t now_mono_us, int64_t *retry_after_s)
{
	double rate = (double)key->rate;

	if (!key->rate)
		return true;
	key->tokens += (double)(now_mono_us - key->at_mono_us) / 1e6 * rate;
	if (key->tokens > rate)
		key->tokens = rate;
	key->at_mono_us = now_mono_us;
	if (key->tokens >= 1)
		return true;
	*retry_after_s = (int64_t)((1 - key->tokens) / rate) + 1;
	return false;
}

void key_spend(struct key *key, uint32_t events)
{
	if (key->rate)
		key->tokens -= events;
}
