#include "http/server_decode.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

#include "base/alloc.h"

#define STEP_BYTES	32768
#define ZSTD_WINDOW_LOG 23
#define GZIP_WINDOW	(15 + 16)

struct http_decoder {
	enum http_coding coding;
	z_stream gzip;
	ZSTD_DCtx *zstd;
	uint64_t limit; /* of decoded bytes */
	bool complete;	/* at the end of a member or frame */
};

enum http_coding http_coding_of(const char *value, size_t bytes)
{
	static const struct {
		const char *name;
		enum http_coding coding;
	} known[] = {
	    {"", HTTP_IDENTITY}, {"identity", HTTP_IDENTITY},
	    {"gzip", HTTP_GZIP}, {"x-gzip", HTTP_GZIP},
	    {"zstd", HTTP_ZSTD},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (bytes == strlen(known[i].name) &&
		    (!bytes || !strncasecmp(value, known[i].name, bytes)))
			return known[i].coding;
	return HTTP_CODING_UNKNOWN;
}

struct http_decoder *http_decoder_new(enum http_coding coding)
{
	struct http_decoder *d = xcalloc(1, sizeof(*d));

	d->coding = coding;
	if (coding == HTTP_GZIP) {
		if (inflateInit2(&d->gzip, GZIP_WINDOW) != Z_OK)
			abort();
	} else {
		d->zstd = ZSTD_createDCtx();
		if (!d->zstd)
			abort();
		ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax,
				       ZSTD_WINDOW_LOG);
	}
	return d;
}

void http_decoder_free(struct http_decoder **d)
{
	if (!*d)
		return;
	if ((*d)->coding == HTTP_GZIP)
		inflateEnd(&(*d)->gzip);
	ZSTD_freeDCtx((*d)->zstd);
	free(*d);
	*d = NULL;
}

enum http_coding http_decoder_coding(const struct http_decoder *d)
{
	return d->coding;
}

void http_decoder_reset(struct http_decoder *d, uint64_t limit)
{
	d->limit = limit;
	d->complete = false;
	if (d->coding == HTTP_GZIP)
		inflateReset(&d->gzip);
	else
		ZSTD_DCtx_reset(d->zstd, ZSTD_reset_session_only);
}

/*
 * Room for the next step. One byte beyond the limit is offered, so that "just
 * fits" and "too large" differ without decoding further.
 */
static size_t make_room(struct buf *out, uint64_t limit)
{
	uint64_t left = limit + 1 - out->used;
	size_t step = left < STEP_BYTES ? (size_t)left : STEP_BYTES;

	buf_reserve(out, step);
	return out->size - out->used < left ? out->size - out->used
					    : (size_t)left;
}

static enum http_decoded feed_gzip(struct http_decoder *d, const char *data,
				   size_t bytes, struct buf *out,
				   struct err *err)
{
	z_stream *z = &d->gzip;

	z->next_in = (Bytef *)(uintptr_t)data;
	z->avail_in = (uInt)bytes;
	do {
		size_t room = make_room(out, d->limit);
		int rc;

		if (d->complete)
			inflateReset(z);
		z->next_out = (Bytef *)out->data + out->used;
		z->avail_out = (uInt)room;
		rc = inflate(z, Z_NO_FLUSH);
		out->used += room - z->avail_out;
		if (out->used > d->limit)
			return HTTP_DECODE_TOO_LARGE;
		d->complete = rc == Z_STREAM_END;
		if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
			err_set(err, EINVAL, "%s",
				z->msg ? z->msg : "not in gzip format");
			return HTTP_DECODE_BAD;
		}
		/* A full output may hide more that is decoded already. */
	} while (z->avail_in || (!d->complete && !z->avail_out));
	return HTTP_DECODED;
}

static enum http_decoded feed_zstd(struct http_decoder *d, const char *data,
				   size_t bytes, struct buf *out,
				   struct err *err)
{
	ZSTD_inBuffer in = {data, bytes, 0};

	for (;;) {
		size_t room = make_room(out, d->limit);
		ZSTD_outBuffer to = {out->data + out->used, room, 0};
		size_t rc;

		rc = ZSTD_decompressStream(d->zstd, &to, &in);
		out->used += to.pos;
		if (out->used > d->limit)
			return HTTP_DECODE_TOO_LARGE;
		if (ZSTD_isError(rc)) {
			err_set(err, EINVAL, "%s", ZSTD_getErrorName(rc));
			return HTTP_DECODE_BAD;
		}
		d->complete = rc == 0;
		if (in.pos == in.size && (rc == 0 || to.pos < room))
			return HTTP_DECODED;
	}
}

enum http_decoded http_decoder_feed(struct http_decoder *d, const char *data,
				    size_t bytes, struct buf *out,
				    struct err *err)
{
	if (!bytes)
		return HTTP_DECODED;
	if (d->coding == HTTP_GZIP)
		return feed_gzip(d, data, bytes, out, err);
	return feed_zstd(d, data, bytes, out, err);
}

bool http_decoder_complete(const struct http_decoder *d)
{
	return d->complete;
}
