/*
 * Writes the seeds of the fuzz targets: usage: seeds tests/fuzz/corpus. Good
 * inputs, and ones that are almost good; what a first byte means is said in
 * each target.
 */
#include "tests/fuzz/fuzz.h"

#include <zlib.h>
#include <zstd.h>

#include "base/log.h"
#include "base/loop.h"
#include "bus/lanes.h"
#include "proto/reference.h"
#include "proto/replay.h"
#include "proto/state.h"
#include "proto/stats.h"
#include "spool/segments.h"
#include "spool/spool.h"
#include "spool/tools.h"

static const char *corpus;

static void put(const char *target, const char *name, uint8_t first,
		const void *data, size_t bytes)
{
	char *dir = xasprintf("%s/%s", corpus, target);
	char *path = xasprintf("%s/%s", dir, name);
	struct buf out = {0};

	buf_char(&out, (char)first);
	buf_append(&out, data, bytes);
	mkdir(dir, 0755);
	fuzz_write(path, out.data, out.used);
	chmod(path, 0644);
	buf_free(&out);
	free(path);
	free(dir);
}

/* ---- texts ---- */

struct text {
	const char *target, *name;
	uint8_t first;
	const char *text;
};

static const struct text texts[] = {
#include "tests/fuzz/seeds.def"
};

/* ---- batches ---- */

static struct batch *make_batch(int events)
{
	struct batch_builder *w = batch_builder_new();
	struct batch_header header = {
	    .lane = {.epoch = 3, .number = 1},
	    .sequence = 7,
	    .created_at_us = 1790000000000000,
	};
	uint16_t streams[2] = {batch_builder_stream(w, "order", 5),
			       batch_builder_stream(w, "product", 7)};
	struct batch *b;

	for (int i = 0; i < events; i++) {
		char *line = batch_builder_room(w, 128);
		int bytes = snprintf(
		    line, 128, "{\"event_id\":\"E-%d\",\"key\":\"K\"}\n", i);
		uint32_t at = batch_builder_offset(w);
		struct batch_event event = {
		    .offset = at,
		    .bytes = (uint32_t)bytes - 1,
		    .id_offset = at + 13,
		    .id_bytes = 3,
		    .key_offset = at + 26,
		    .key_bytes = 1,
		    .stream = streams[i % 2],
		    .version = 1,
		};

		batch_builder_commit(w, (size_t)bytes);
		batch_builder_event(w, &event);
	}
	b = batch_builder_seal(w, &header);
	batch_builder_free(&w);
	return b;
}

static void put_batches(void)
{
	static const int counts[] = {0, 1, 5};

	for (int i = 0; i < 3; i++) {
		struct batch *b = make_batch(counts[i]);
		uint8_t header[BATCH_HEADER_BYTES];
		struct buf out = {0};
		char name[32];

		batch_header_encode(&b->header, header);
		buf_append(&out, header, sizeof(header));
		buf_append(&out, b->index, b->header.index_bytes);
		buf_append(&out, b->payload, b->header.payload_bytes);
		snprintf(name, sizeof(name), "events-%d", counts[i]);
		put("batch", name, (uint8_t)i, out.data, out.used);
		out.data[BATCH_HEADER_BYTES + 2] ^= 1;
		snprintf(name, sizeof(name), "damaged-%d", counts[i]);
		put("batch", name, (uint8_t)i, out.data, out.used);
		buf_free(&out);
		batch_unref(&b);
	}
}

/* ---- frames ---- */

static void put_frames(void)
{
	struct state_lane list[2] = {{{.epoch = 1}, 5}, {{.epoch = 2}, 9}};
	struct state state = {.name = "transformer.0",
			      .generation = 1,
			      .complete = true,
			      .lane_count = 2,
			      .lanes = list};
	struct stats_process process = {.service = "collector"};
	struct batch_header header = {.lane = {.epoch = 1}, .sequence = 1};
	struct lanes *lanes = lanes_new();
	struct reference reference = {
	    .position = 4096, .next = 8192, .dir = "/var/lib/weft/log"};
	uint8_t bytes[2048];
	struct buf out = {0};
	size_t at;

	state_encode(&state, &out);
	put("frames", "state", 130, out.data, out.used);
	buf_clear(&out);
	stats_begin(&out, &process);
	stats_family(&out, "weft_events_total", "Events.", STATS_COUNTER);
	stats_sample(&out, "", "stream=\"order\",code=\"a\\\"b\"", 5);
	stats_end(&out);
	put("frames", "stats", 131, out.data, out.used);
	buf_clear(&out);
	lanes_take(lanes, &header);
	lanes_all_durable(lanes);
	lanes_save(lanes, &out);
	put("frames", "lanes", 2, out.data, out.used);
	lanes_free(&lanes);
	reference_encode(&reference, bytes);
	put("frames", "reference", 133, bytes, reference_bytes(&reference));
	buf_clear(&out);
	replay_begin(&out, REPLAY_MAPPED, 1);
	replay_text(&out, "order");
	replay_data(&out, "{\"a\":1}", 7);
	replay_end(&out, 0);
	at = out.used;
	replay_begin(&out, REPLAY_DONE, 2);
	replay_end(&out, at);
	put("frames", "replay", 4, out.data, out.used);
	buf_free(&out);
}

/* ---- encodings ---- */

static void put_encodings(void)
{
	static const char body[] =
	    "{\"event_type\":\"order.placed\",\"a\":[1]}"
	    "{\"event_type\":\"order.placed\",\"a\":[1]}";
	uint8_t out[512];
	z_stream z = {0};
	size_t bytes;

	FUZZ_CHECK(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8,
				Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_in = (uint8_t *)(uintptr_t)body;
	z.avail_in = sizeof(body) - 1;
	z.next_out = out;
	z.avail_out = sizeof(out);
	FUZZ_CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
	put("encoding", "gzip", 0, out, z.total_out);
	put("encoding", "gzip-in-pieces", 6, out, z.total_out);
	deflateEnd(&z);
	bytes = ZSTD_compress(out, sizeof(out), body, sizeof(body) - 1, 3);
	FUZZ_CHECK(!ZSTD_isError(bytes));
	put("encoding", "zstd", 1, out, bytes);
	put("encoding", "zstd-in-pieces", 7, out, bytes);
}

/* ---- logs ---- */

/* Kinds of fuzz_spool.c; 0x40 sets checksums right. */
static int kind_of(const char *name)
{
	static const char *const endings[] = {"checkpoint", "checkpoint.new",
					      ".log", ".log.aside",
					      ".record.aside"};

	for (int i = 0; i < 5; i++) {
		size_t bytes = strlen(name), more = strlen(endings[i]);

		if (bytes >= more &&
		    strcmp(name + bytes - more, endings[i]) == 0)
			return i;
	}
	return -1;
}

static void pack_file(struct buf *out, const char *path, int kind, bool mend)
{
	const char *name = strrchr(path, '/') + 1;
	uint32_t base = (uint32_t)(strtoull(name, NULL, 10) / 8);
	bool segment = kind == 2 || kind == 3;
	FILE *f = fopen(path, "rb");
	uint8_t data[60000];
	size_t bytes = fread(data, 1, sizeof(data), f);
	uint16_t told;

	fclose(f);
	told = (uint16_t)(segment ? bytes - SEGMENT_HEADER_BYTES + 40 : bytes);
	buf_char(out, (char)(kind | (mend ? 0x40 : 0)));
	buf_append(out, &base, 4);
	buf_append(out, &told, 2);
	buf_append(out, data, segment ? 40 : bytes);
	if (segment)
		buf_append(out, data + SEGMENT_HEADER_BYTES,
			   bytes - SEGMENT_HEADER_BYTES);
}

static void put_log(const char *dir, const char *name, bool mend)
{
	struct dirent *entry;
	struct buf out = {0};
	DIR *d = opendir(dir);

	while ((entry = readdir(d))) {
		int kind = kind_of(entry->d_name);
		char *path = xasprintf("%s/%s", dir, entry->d_name);

		if (kind >= 0)
			pack_file(&out, path, kind, mend);
		free(path);
	}
	closedir(d);
	put("spool", name, mend, out.data, out.used);
	buf_free(&out);
}

static void fill_log(const char *dir)
{
	struct spool_options options = {
	    .dir = dir, .cap_bytes = 1 << 20, .cache_bytes = 1 << 20};
	struct spool_events events = {0};
	struct loop *loop = loop_new();
	struct err err;
	uint64_t position = 0;

	/* Each start begins a segment. */
	for (int start = 0; start < 3; start++) {
		struct spool *s;

		FUZZ_CHECK(spool_open(&s, loop, &options, &events, &err) == 0);
		for (int i = 0; i < 3; i++) {
			struct batch *b = make_batch(i + 1);

			FUZZ_CHECK(spool_append(s, b, &position, &err) == 0);
			batch_unref(&b);
		}
		spool_close(&s, 5000000);
	}
	loop_free(&loop);
}

static void on_problem(void *arg, const struct spool_problem *problem)
{
	(void)arg;
	(void)problem;
}

static void damage(const char *dir, uint64_t base, uint64_t position)
{
	char *path = segment_path(dir, base);
	int fd = open(path, O_RDWR);
	int64_t at = segment_offset(base, position);
	uint8_t bytes[8] = {0};

	FUZZ_CHECK(fd >= 0 && pread(fd, bytes, 8, at) == 8);
	for (int i = 0; i < 8; i++)
		bytes[i] ^= 0xa5;
	FUZZ_CHECK(pwrite(fd, bytes, 8, at) == 8);
	close(fd);
	free(path);
}

static void put_logs(void)
{
	char *dir = xasprintf("%s/log", fuzz_folder());
	char *checkpoint = xasprintf("%s/checkpoint", dir);
	struct spool_repair_options options = {0};
	struct spool_repaired r;
	struct err err;

	fill_log(dir);
	put_log(dir, "good", false);
	put_log(dir, "to-be-mended", true);
	damage(dir, 0, 200);
	damage(dir, 0, 700);
	put_log(dir, "damaged", false);
	FUZZ_CHECK(spool_repair(dir, &options, on_problem, NULL, &r, &err) ==
		   0);
	put_log(dir, "repaired", false);
	put_log(dir, "repaired-mended", true);
	unlink(checkpoint);
	put_log(dir, "without-checkpoint", false);
	free(r.backup);
	free(checkpoint);
	free(dir);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s tests/fuzz/corpus\n", argv[0]);
		return 2;
	}
	corpus = argv[1];
	mkdir(corpus, 0755);
	log_open("seeds", LOG_ERROR, LOG_LOGFMT);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		put(texts[i].target, texts[i].name, texts[i].first,
		    texts[i].text, strlen(texts[i].text));
	put_batches();
	put_frames();
	put_encodings();
	put_logs();
	return 0;
}
