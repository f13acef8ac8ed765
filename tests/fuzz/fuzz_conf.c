/*
 * A configuration file; the first byte: 0x80 a topology file instead. What
 * loads is printed, with its secrets hidden.
 */
#include "tests/fuzz/fuzz.h"

#include "run/private.h"
#include "run/run.h"
#include "services/kinds.h"

static void try_conf(const char *path)
{
	struct conf_report report = {0};
	struct conf *conf = NULL;
	struct buf out = {0};

	if (conf_load(&conf, path, &weft_kinds, &report) == 0) {
		conf_print(conf, false, &out);
		conf_print(conf, true, &out);
		FUZZ_CHECK(out.used);
	} else {
		FUZZ_CHECK(!conf && report.errors && report.lines.used);
	}
	conf_free(&conf);
	conf_report_free(&report);
	buf_free(&out);
}

static void try_topology(const char *path)
{
	struct conf_report report = {0};
	struct conf *conf = NULL;
	uint64_t generation;
	struct err err;

	FUZZ_CHECK(conf_load(&conf, NULL, &weft_kinds, &report) == 0);
	if (topology_read(path, conf, &generation, &err) == 0)
		FUZZ_CHECK(generation > 0);
	for (uint32_t i = 0; i < conf->service_count; i++)
		FUZZ_CHECK(conf->services[i].instances <= 64);
	conf_free(&conf);
	conf_report_free(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_bytes input = {data, bytes};
	uint64_t how = fuzz_take(&input, 1);
	char *path = xasprintf("%s/weft.conf", fuzz_folder());

	fuzz_write(path, input.at, input.left);
	if (how & 0x80)
		try_topology(path);
	else
		try_conf(path);
	free(path);
	return 0;
}
