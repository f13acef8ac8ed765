/*
 * A log's folder made of bytes: looked at, opened, appended to, repaired. An
 * input is a sequence of files: kind (1 byte), base (4, in steps of 8), length
 * (2), bytes. Kinds: 0 checkpoint, 1 checkpoint.new, 2 segment, 3 set-aside
 * segment, 4 set-aside record; 0x40 sets checksums, ids and positions right. Of
 * a segment's header the first 40 bytes are given, the rest is zero.
 */
#include "tests/fuzz/fuzz.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "spool/foreign.h"
#include "spool/format.h"
#include "spool/spool.h"
#include "spool/tools.h"

#define HEAD_BYTES 40
#define MOST_FILES 12
#define MEND	   0x40

static const uint8_t log_id[16] = "the fuzzer's log";

static void mend_checkpoint(uint8_t *data, size_t bytes)
{
	if (bytes < 32)
		return;
	memcpy(data, "WFWCHK01\1\0\0\0", 12);
	memcpy(data + 16, log_id, sizeof(log_id));
	fuzz_put_crc(data + 12, data + 16, bytes - 16);
}

/* Every record says where it lies, and that it is of this log. */
static void mend_records(uint8_t *data, size_t bytes, uint64_t base)
{
	for (size_t at = 0; at + RECORD_PREFIX_BYTES <= bytes; at += 8) {
		uint8_t *r = data + at;
		uint8_t *b = r + RECORD_HEADER_BYTES;
		uint64_t position = base + at;
		uint32_t index, payload;

		if (memcmp(r, "WREC", 4) != 0)
			continue;
		memcpy(r + 8, log_id, sizeof(log_id));
		memcpy(r + 24, &position, 8);
		memcpy(&index, b + 68, 4);
		memcpy(&payload, b + 72, 4);
		if ((uint64_t)index + payload <=
		    bytes - at - RECORD_PREFIX_BYTES)
			fuzz_put_crc(b + 76, b + BATCH_HEADER_BYTES,
				     (size_t)index + payload);
		fuzz_put_crc(b + 124, b, 124);
		fuzz_put_crc(r + 4, r + 8, RECORD_PREFIX_BYTES - 8);
	}
}

static void write_segment(const char *path, uint64_t base, bool mend,
			  const uint8_t *content, size_t bytes)
{
	size_t head = bytes < HEAD_BYTES ? bytes : HEAD_BYTES;
	size_t all = SEGMENT_HEADER_BYTES + bytes - head;
	uint8_t *data = xcalloc(1, all);

	memcpy(data, content, head);
	memcpy(data + SEGMENT_HEADER_BYTES, content + head, bytes - head);
	if (mend) {
		struct segment_header header = {.base = base};

		memcpy(header.log.bytes, log_id, sizeof(log_id));
		segment_header_encode(&header, data);
		mend_records(data + SEGMENT_HEADER_BYTES, bytes - head, base);
	}
	fuzz_write(path, data, all);
	free(data);
}

static void write_file(const char *dir, uint64_t kind, uint64_t base,
		       const uint8_t *content, size_t bytes)
{
	static const char *const names[] = {"checkpoint", "checkpoint.new",
					    ".log", ".log.aside",
					    ".record.aside"};
	uint64_t which = kind % 5;
	uint8_t *copy = xmalloc(bytes + 1);
	char *path = which < 2
			 ? xasprintf("%s/%s", dir, names[which])
			 : xasprintf("%s/%020llu%s", dir,
				     (unsigned long long)base, names[which]);

	memcpy(copy, content, bytes);
	if (which == 2 || which == 3) {
		write_segment(path, base, kind & MEND, copy, bytes);
	} else {
		if (kind & MEND && which < 2)
			mend_checkpoint(copy, bytes);
		else if (kind & MEND)
			mend_records(copy, bytes, base);
		fuzz_write(path, copy, bytes);
	}
	free(path);
	free(copy);
}

static void make_folder(const char *dir, struct fuzz_bytes input)
{
	for (int n = 0; n < MOST_FILES && input.left > 7; n++) {
		uint64_t kind = fuzz_take(&input, 1);
		uint64_t base = 8 * fuzz_take(&input, 4);
		size_t bytes = fuzz_take(&input, 2);

		if (bytes > input.left)
			bytes = input.left;
		write_file(dir, kind, base, input.at, bytes);
		input.at += bytes;
		input.left -= bytes;
	}
}

static size_t findings;

static void on_problem(void *arg, const struct spool_problem *problem)
{
	(void)arg;
	FUZZ_CHECK(problem->next >= problem->position);
	FUZZ_CHECK(strlen(problem->why) > 0 && problem->ids);
	if (getenv("VERBOSE"))
		fprintf(stderr, "%s %s %llu to %llu: %s%s\n",
			spool_trouble_name(problem->trouble),
			problem->file ? problem->file : "",
			(unsigned long long)problem->position,
			(unsigned long long)problem->next, problem->why,
			problem->save ? " (saved)" : "");
	findings++;
}

static bool on_record(void *arg, const struct spool_record *record)
{
	uint64_t *at = arg;

	FUZZ_CHECK(record->position >= *at && record->next > record->position);
	*at = record->next;
	return true;
}

/* As another process of the host would, by positions that it was told. */
static void read_as_foreign(const char *dir, const struct uuid *id)
{
	struct foreign *f = foreign_new(dir, id);
	uint64_t next = 0, position = 0;
	struct batch *b;
	struct err err;

	for (int i = 0; i < 20; i++, position = next) {
		b = NULL;
		if (foreign_read(f, position, position + 65536, &next, &b,
				 &err) != 0)
			next = position + 8;
		else
			FUZZ_CHECK(b && next > position);
		batch_unref(&b);
	}
	foreign_free(&f);
}

static bool look(const char *dir)
{
	struct spool_verified verified;
	struct spool_stats stats;
	struct uuid id;
	struct err err;
	uint64_t at = 0;

	findings = 0;
	if (spool_verify(dir, on_problem, NULL, &verified, &err) != 0)
		return false;
	FUZZ_CHECK(spool_walk(dir, 0, on_record, &at, &err) == 0);
	FUZZ_CHECK(spool_inspect(dir, &id, &stats, &err) == 0);
	read_as_foreign(dir, &id);
	return true;
}

/* Opens it, reads it all, appends, and finds that again. */
static void use(const char *dir)
{
	static struct loop *loop;
	static struct batch_builder *w;
	struct spool_options options = {.dir = dir,
					.cap_bytes = 1 << 20,
					.segment_bytes = 65536,
					.cache_bytes = 65536};
	struct spool_events events = {0};
	struct batch_header header = {.created_at_us = 1};
	uint64_t position = 0, next, mine;
	struct batch *b, *got = NULL;
	struct spool *s;
	struct err err;
	int rc;

	if (!loop) {
		loop = loop_new();
		w = batch_builder_new();
	}
	if (spool_open(&s, loop, &options, &events, &err) != 0)
		return;
	while ((rc = spool_read(s, &position, &next, &got, &err)) == 1) {
		FUZZ_CHECK(next > position);
		batch_unref(&got);
		position = next;
	}
	FUZZ_CHECK(rc == 0);
	b = batch_builder_seal(w, &header);
	if (spool_append(s, b, &mine, &err) == 0)
		FUZZ_CHECK(mine >= position);
	batch_unref(&b);
	spool_close(&s, 5000000);
	FUZZ_CHECK(!s);
}

/* What was repaired is well, but for places too small to be marked. */
static void repair(const char *dir)
{
	char *backup = xasprintf("%s.copy", dir);
	struct spool_repair_options options = {.backup = backup};
	struct spool_repaired r;
	struct err err;

	if (spool_repair(dir, &options, on_problem, NULL, &r, &err) == 0) {
		uint64_t left = r.left;

		FUZZ_CHECK(look(dir));
		FUZZ_CHECK(findings <= left);
	}
	free(r.backup);
	fuzz_empty(backup);
	rmdir(backup);
	free(backup);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_bytes input = {data, bytes};
	uint64_t how = fuzz_take(&input, 1);
	char *dir = xasprintf("%s/log", fuzz_folder());

	log_open("fuzz", LOG_ERROR, LOG_LOGFMT);
	mkdir(dir, 0700);
	make_folder(dir, input);
	look(dir);
	if (how & 1)
		repair(dir);
	use(dir);
	repair(dir);
	use(dir);
	fuzz_empty(dir);
	free(dir);
	return 0;
}
