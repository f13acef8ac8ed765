/*
 * API keys: who may post, under which name, and how fast. Only hashes are
 * kept. One key a line:
 *   name:sha256-in-hexadecimal[:events-a-second]
 * A line is made with: printf '%s:%s\n' NAME "$(printf %s "$KEY" | sha256sum |
 * cut -c1-64)". Blank lines and those that begin with # are skipped.
 */
#ifndef WEFT_SERVICES_COLLECTOR_KEYS_H
#define WEFT_SERVICES_COLLECTOR_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KEYS_MAX 10000

struct keys;
struct key;

struct keys *keys_new(void);
void keys_free(struct keys **list);

/*
 * Takes over the keys of `text` (NULL: none). One that was there before keeps
 * its rate's history; one that is gone is refused from now on, but pointers to
 * it stay valid until keys_free(). On an error nothing changes; *err names the
 * line, never the key.
 */
int keys_load(struct keys *keys, const char *text, struct err *err) MUST_CHECK;

/* Whether any key is needed at all. */
bool keys_needed(const struct keys *keys);

/* The key that a client sent, or NULL. Takes the same time for any. */
struct key *keys_find(struct keys *keys, const char *secret, size_t bytes);

const char *key_name(const struct key *key);

/*
 * Whether the key's rate lets a request in now; else *retry_after_s says after
 * how many seconds. A request may overdraw the rate once, since the number of
 * its events shows only when it is read; that is waited for behind it.
 */
bool key_admits(struct key *key, int64_t now_mono_us, int64_t *retry_after_s);
void key_spend(struct key *key, uint32_t events);

#endif
