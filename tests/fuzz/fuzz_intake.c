/*
 * Bodies of events through intake and the contracts that come with Weft, and
 * what is made of them through the mapper. The first byte: form, whether to map
 * at once, and whether the rest of it is CloudEvents in binary mode.
 */
#include "tests/fuzz/fuzz.h"

#include "contract/intake.h"

static const uint8_t secret[32] = "0123456789abcdef0123456789abcde";

static struct contract_set *contracts(void)
{
	static struct contract_set *set;
	struct contract_report report = {0};

	if (!set && contract_set_load(&set, "etc/contracts", secret,
				      sizeof(secret), &report) != 0) {
		fprintf(stderr, "%s", buf_str(&report.lines));
		abort();
	}
	contract_report_free(&report);
	return set;
}

/* What was sealed is a batch that every receiver takes. */
static void check_batch(const struct batch *b)
{
	uint8_t header_bytes[BATCH_HEADER_BYTES];
	struct batch_header header;
	struct batch *again;
	struct err err;

	batch_header_encode(&b->header, header_bytes);
	FUZZ_CHECK(batch_header_decode(header_bytes, sizeof(header_bytes),
				       &header, &err) == 0);
	again = batch_open(&header, b->index, b->payload, NULL, NULL, &err);
	FUZZ_CHECK(again);
	batch_unref(&again);
}

static void run(struct fuzz_bytes input, uint64_t how)
{
	static struct intake *in;
	static struct batch_builder *w;
	const struct intake_attribute attributes[] = {
	    {"id", "A-1", 3},
	    {"source", "/x%20y", 6},
	    {"specversion", "1.0", 3},
	    {"type", "order.placed", 12},
	};
	struct intake_request request = {
	    .form = how % 5,
	    .map = how & 8,
	    .body = (const char *)input.at,
	    .bytes = input.left,
	    .max_events = 50,
	    .now_us = INT64_C(1790000000000000),
	    .source = how & 16 ? "here" : NULL,
	    .attributes = how & 32 ? attributes : NULL,
	    .attribute_count = how & 32 ? 4 : 0,
	};
	struct batch_header header = {
	    .flags = how & 8 ? BATCH_MAPPED : 0,
	    .created_at_us = request.now_us,
	};
	struct intake_result result;
	struct batch *b;

	if (!in) {
		in = intake_new();
		w = batch_builder_new();
	}
	intake_body(in, contracts(), &request, NULL, w, &result);
	FUZZ_CHECK(batch_builder_events(w) == result.accepted);
	FUZZ_CHECK(result.error_count <= INTAKE_MAX_ERRORS);
	if (result.malformed)
		FUZZ_CHECK(result.malformed_at <= request.bytes);
	b = batch_builder_seal(w, &header);
	check_batch(b);
	batch_unref(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_bytes input = {data, bytes};
	uint64_t how = fuzz_take(&input, 1);

	run(input, how);
	return 0;
}
