/*
 * Content-Encoding of request bodies undone piece by piece within a limit, so
 * that a small body can never become a large one in memory. Loop thread only.
 */
#ifndef WEFT_HTTP_SERVER_DECODE_H
#define WEFT_HTTP_SERVER_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum http_coding {
	HTTP_IDENTITY,
	HTTP_GZIP,
	HTTP_ZSTD,
	HTTP_CODING_UNKNOWN,
};

enum http_decoded {
	HTTP_DECODED,
	HTTP_DECODE_BAD,       /* not that format; *err says what */
	HTTP_DECODE_TOO_LARGE, /* out would pass its limit */
};

struct http_decoder;

/* What a Content-Encoding value names, in any case; gzip, x-gzip, zstd,
 * identity and "" are known. A list of several is unknown. */
enum http_coding http_coding_of(const char *value, size_t bytes);

/* For GZIP or ZSTD; costs some 40 KiB, so keep it with http_decoder_reset(). */
struct http_decoder *http_decoder_new(enum http_coding coding);
void http_decoder_free(struct http_decoder **d);
enum http_coding http_decoder_coding(const struct http_decoder *d);

/* Begins a new body, of at most `limit` bytes when decoded. */
void http_decoder_reset(struct http_decoder *d, uint64_t limit);

/*
 * Decodes the next bytes of a body to the end of *out, which holds at most one
 * byte more than the limit. gzip: RFC 1952, several members follow each other;
 * zstd: RFC 8878, several frames too, windows of at most 8 MiB.
 */
enum http_decoded http_decoder_feed(struct http_decoder *d, const char *data,
				    size_t bytes, struct buf *out,
				    struct err *err) MUST_CHECK;

/* Whether the body so far is complete; one of no bytes is not. */
bool http_decoder_complete(const struct http_decoder *d);

#endif
