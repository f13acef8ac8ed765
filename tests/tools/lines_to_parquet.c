/*
 * Writes mapped events, JSON lines of one contract, as a Parquet file, and
 * prints its Delta schema and statistics as one JSON object.
 *
 * usage: lines_to_parquet CONTRACTS STREAM LINES FILE [CODEC]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lake/parquet.h"
#include "lake/rows.h"

static void die(const char *text)
{
	fprintf(stderr, "lines_to_parquet: %s\n", text);
	exit(1);
}

static struct contract_set *load(const char *dir)
{
	static const uint8_t secret[32] = "an example of a secret";
	struct contract_report report;
	struct contract_set *set;

	if (contract_set_load(&set, dir, secret, sizeof(secret), &report) != 0)
		die(buf_str(&report.lines));
	contract_report_free(&report);
	return set;
}

static void read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "r");
	char block[65536];
	size_t bytes;

	if (!f)
		die(strerror(errno));
	while ((bytes = fread(block, 1, sizeof(block), f)))
		buf_append(out, block, bytes);
	fclose(f);
}

static size_t split(struct buf *text, const struct contract *contract,
		    struct lake_event **events)
{
	size_t count = 0;
	char *at = text->data, *end = at + text->used, *stop;

	*events = NULL;
	for (; at < end && (stop = memchr(at, '\n', (size_t)(end - at)));
	     at = stop + 1) {
		*events = xreallocarray(*events, count + 1, sizeof(**events));
		(*events)[count] = (struct lake_event){
		    .line = at,
		    .bytes = (uint32_t)(stop - at),
		    .contract = contract,
		    .position = count,
		};
		count++;
	}
	return count;
}

static void write_file(struct schema *schema, const struct lake_event *events,
		       size_t count, char **argv)
{
	struct duck_options options = {.memory_bytes = 256 << 20, .threads = 1};
	struct rows *rows = rows_new(schema);
	struct parquet_written w;
	struct buf out = {0};
	struct duck *duck;
	struct err err;
	char *temp = xasprintf("%s.temp", argv[4]);

	options.temp_dir = temp;
	rows_set(rows, events, count);
	if (duck_open(&duck, &options, &err) < 0 ||
	    rows_register(rows, duck, "rows", &err) < 0 ||
	    parquet_write(duck, schema, "rows()", argv[4],
			  argv[5] ? argv[5] : "zstd", &w, &err) < 0)
		die(err.text);
	schema_print_delta(schema, &out);
	printf("{\"rows\":%" PRId64 ",\"bytes\":%" PRId64
	       ",\"schema\":%s,\"stats\":%s}\n",
	       w.rows, w.bytes, buf_str(&out), buf_str(&w.stats));
	buf_free(&out);
	parquet_written_free(&w);
	duck_close(&duck);
	rows_free(&rows);
	free(temp);
}

int main(int argc, char **argv)
{
	const struct contract *contract;
	struct contract_set *set;
	struct lake_event *events;
	struct schema *schema;
	struct buf text = {0};
	size_t count;

	if (argc < 5)
		die("usage: lines_to_parquet CONTRACTS STREAM LINES FILE "
		    "[CODEC]");
	set = load(argv[1]);
	contract = contract_set_find(set, argv[2], strlen(argv[2]));
	if (!contract)
		die("no such stream");
	read_file(argv[3], &text);
	count = split(&text, contract, &events);
	schema = schema_of_contract(contract);
	write_file(schema, events, count, argv);
	schema_unref(&schema);
	free(events);
	buf_free(&text);
	contract_set_unref(&set);
	return 0;
}
