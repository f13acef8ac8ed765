/* The low-level digest keeps its state in plain memory, so the two pads of an
 * HMAC are hashed once per secret; EVP would copy contexts for each value. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "contract/mask.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"

#define BLOCK		64
#define CACHE_SLOTS	4096 /* 576 KiB */
#define CACHE_MAX_VALUE 64

struct slot {
	uint64_t serial; /* 0 = free */
	uint8_t bytes;
	char value[CACHE_MAX_VALUE];
	char hex[MASK_HASH_BYTES];
};

struct mask_cache {
	struct slot *slots; /* NULL until something is masked */
};

static void pad_state(const uint8_t *secret, size_t bytes, uint8_t pad,
		      uint32_t state[8])
{
	uint8_t block[BLOCK] = {0};
	SHA256_CTX ctx;

	if (bytes > BLOCK)
		SHA256(secret, bytes, block);
	else
		memcpy(block, secret, bytes);
	for (size_t i = 0; i < BLOCK; i++)
		block[i] ^= pad;
	SHA256_Init(&ctx);
	SHA256_Update(&ctx, block, BLOCK);
	memcpy(state, ctx.h, sizeof(ctx.h));
	explicit_bzero(block, sizeof(block));
	explicit_bzero(&ctx, sizeof(ctx));
}

struct mask_key *mask_key_new(const uint8_t *secret, size_t bytes)
{
	static uint64_t serials;
	struct mask_key *key = xcalloc(1, sizeof(*key));

	key->serial = __atomic_add_fetch(&serials, 1, __ATOMIC_RELAXED);
	pad_state(secret, bytes, 0x36, key->inner);
	pad_state(secret, bytes, 0x5c, key->outer);
	return key;
}

/* A state that has taken one block, and what follows it. */
static void finish(const uint32_t state[8], const void *data, size_t bytes,
		   uint8_t digest[SHA256_DIGEST_LENGTH])
{
	SHA256_CTX ctx;

	memset(&ctx, 0, sizeof(ctx));
	memcpy(ctx.h, state, sizeof(ctx.h));
	ctx.Nl = BLOCK * 8;
	ctx.md_len = SHA256_DIGEST_LENGTH;
	SHA256_Update(&ctx, data, bytes);
	SHA256_Final(digest, &ctx);
}

static void digest_of(const struct mask_key *key, const char *value,
		      size_t bytes, uint8_t digest[SHA256_DIGEST_LENGTH])
{
	uint8_t inner[SHA256_DIGEST_LENGTH];

	finish(key->inner, value, bytes, inner);
	finish(key->outer, inner, sizeof(inner), digest);
}

static void put_hex(const uint8_t *digest, char *hex)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
		hex[2 * i] = digits[digest[i] >> 4];
		hex[2 * i + 1] = digits[digest[i] & 15];
	}
}

void mask_hash(const struct mask_key *key, const char *value, size_t bytes,
	       char hex[MASK_HASH_BYTES])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	digest_of(key, value, bytes, digest);
	put_hex(digest, hex);
}

struct mask_cache *mask_cache_new(void)
{
	return xcalloc(1, sizeof(struct mask_cache));
}

void mask_cache_free(struct mask_cache **cache)
{
	if (*cache && (*cache)->slots)
		explicit_bzero((*cache)->slots,
			       CACHE_SLOTS * sizeof(*(*cache)->slots));
	if (*cache)
		free((*cache)->slots);
	free(*cache);
	*cache = NULL;
}

void mask_hash_cached(struct mask_cache *cache, const struct mask_key *key,
		      const char *value, size_t bytes,
		      char hex[MASK_HASH_BYTES])
{
	struct slot *slot;

	if (bytes > CACHE_MAX_VALUE) {
		mask_hash(key, value, bytes, hex);
		return;
	}
	if (!cache->slots)
		cache->slots = xcalloc(CACHE_SLOTS, sizeof(*cache->slots));
	slot = &cache->slots[XXH3_64bits(value, bytes) % CACHE_SLOTS];
	if (slot->serial != key->serial || slot->bytes != bytes ||
	    memcmp(slot->value, value, bytes) != 0) {
		mask_hash(key, value, bytes, slot->hex);
		slot->serial = key->serial;
		slot->bytes = (uint8_t)bytes;
		memcpy(slot->value, value, bytes);
	}
	memcpy(hex, slot->hex, MASK_HASH_BYTES);
}
