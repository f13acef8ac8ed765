/*
 * Bodies in gzip or zstd, in pieces. The first byte: bit 0 zstd, the rest the
 * size of the pieces.
 */
#include "tests/fuzz/fuzz.h"

#include "http/server_decode.h"

#define LIMIT 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct http_decoder *decoders[2];
	struct fuzz_bytes input = {data, bytes};
	uint64_t first = fuzz_take(&input, 1);
	struct http_decoder **d = &decoders[first & 1];
	size_t piece = first > 1 ? first >> 1 : 65536;
	struct buf out = {0};
	struct err err;

	if (!*d)
		*d = http_decoder_new(first & 1 ? HTTP_ZSTD : HTTP_GZIP);
	http_decoder_reset(*d, LIMIT);
	while (input.left) {
		size_t n = piece < input.left ? piece : input.left;
		enum http_decoded answer = http_decoder_feed(
		    *d, (const char *)input.at, n, &out, &err);

		FUZZ_CHECK(out.used <= LIMIT + 1);
		if (answer != HTTP_DECODED)
			break;
		input.at += n;
		input.left -= n;
	}
	http_decoder_complete(*d);
	buf_free(&out);
	return 0;
}
