/* Masks: what is left of a value that must not be read; private. */
#ifndef WEFT_CONTRACT_MASK_H
#define WEFT_CONTRACT_MASK_H

#include <stddef.h>
#include <stdint.h>

#include "contract/contract.h"

#define MASK_HASH_BYTES 64 /* hex digits of an HMAC-SHA-256 */

/* What a dead letter says of a member that no mask could be put over. */
#define MASK_REMOVED "removed"

/* The states of SHA-256 after the inner and the outer pad of a secret. */
struct mask_key {
	uint64_t serial; /* unlike an address, never used twice */
	uint32_t inner[8];
	uint32_t outer[8];
};

struct mask_key *mask_key_new(const uint8_t *secret, size_t bytes);

/* HMAC-SHA-256 (RFC 2104) of a value in lower-case hex. */
void mask_hash(const struct mask_key *key, const char *value, size_t bytes,
	       char hex[MASK_HASH_BYTES]);

/* A small cache of digests: names and addresses come again and again. */
struct mask_cache;
struct mask_cache *mask_cache_new(void);
void mask_cache_free(struct mask_cache **cache);

/* As mask_hash, through the cache, which serves any number of keys. */
void mask_hash_cached(struct mask_cache *cache, const struct mask_key *key,
		      const char *value, size_t bytes,
		      char hex[MASK_HASH_BYTES]);

#endif
