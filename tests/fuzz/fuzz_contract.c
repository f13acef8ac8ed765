/*
 * A folder of contracts: files one behind the other, divided by lines of "---".
 * What compiles is used on an event.
 */
#include "tests/fuzz/fuzz.h"

#include "contract/intake.h"

static const uint8_t secret[32] = "0123456789abcdef0123456789abcde";

static void use(struct contract_set *set)
{
	static struct intake *in;
	static struct batch_builder *w;
	static const char body[] =
	    "{\"event_type\":\"a.b\",\"id\":\"x\",\"n\":12.5,\"list\":[1,{}],"
	    "\"email\":\"a@b.c\",\"at\":\"2026-01-02T03:04:05Z\"}";
	struct intake_request request = {.form = INTAKE_ONE,
					 .body = body,
					 .bytes = sizeof(body) - 1,
					 .max_events = 10,
					 .now_us = 1790000000000000,
					 .map = true};
	struct batch_header header = {.created_at_us = request.now_us};
	struct intake_result result;
	struct batch *b;

	if (!in) {
		in = intake_new();
		w = batch_builder_new();
	}
	intake_body(in, set, &request, NULL, w, &result);
	b = batch_builder_seal(w, &header);
	batch_unref(&b);
	FUZZ_CHECK(contract_set_hash(set));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char *dir = xasprintf("%s/contracts", fuzz_folder());
	struct contract_report report = {0};
	struct contract_set *set = NULL;
	int files = 0;

	mkdir(dir, 0700);
	while (files < 4) {
		const uint8_t *end = memmem(data, bytes, "\n---\n", 5);
		size_t part = end ? (size_t)(end - data) : bytes;
		char *path = xasprintf("%s/c%d.conf", dir, files++);

		fuzz_write(path, data, part);
		free(path);
		if (!end)
			break;
		data += part + 5;
		bytes -= part + 5;
	}
	if (contract_set_load(&set, dir, secret, sizeof(secret), &report) == 0)
		use(set);
	else
		FUZZ_CHECK(report.errors && report.lines.used);
	contract_set_unref(&set);
	contract_report_free(&report);
	fuzz_empty(dir);
	free(dir);
	return 0;
}
