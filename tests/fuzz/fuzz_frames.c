/*
 * States (acks), stats, saved lanes, references to batches, and what goes
 * through the door for replays. The first byte modulo 5 says which of them, its
 * 0x80 sets the checksum right.
 */
#include "tests/fuzz/fuzz.h"

#include "bus/lanes.h"
#include "proto/reference.h"
#include "proto/replay.h"
#include "proto/state.h"
#include "proto/stats.h"

static void run_state(const uint8_t *data, size_t bytes)
{
	static struct state_lane *lanes;
	struct buf out = {0};
	struct state state;
	struct err err;

	if (state_decode(data, bytes, &state, &lanes, &err) != 0)
		return;
	FUZZ_CHECK(state.lane_count <= STATE_MAX_LANES);
	FUZZ_CHECK(memchr(state.name, '\0', sizeof(state.name)));
	state_encode(&state, &out);
	FUZZ_CHECK(out.used == bytes);
	buf_free(&out);
}

static void on_process(void *arg, const struct stats_process *process)
{
	(void)arg;
	FUZZ_CHECK(process);
}

static void on_family(void *arg, const char *name, const char *help,
		      enum stats_type type)
{
	(void)type;
	*(size_t *)arg += strlen(name) + strlen(help);
}

static void on_sample(void *arg, const char *suffix, const char *labels,
		      double value)
{
	const char *name, *text;
	size_t name_bytes, text_bytes;

	(void)value;
	*(size_t *)arg += strlen(suffix);
	while (
	    stats_next_label(&labels, &name, &name_bytes, &text, &text_bytes))
		*(size_t *)arg += name_bytes + text_bytes;
	FUZZ_CHECK(!*labels);
}

static void run_stats(const uint8_t *data, size_t bytes)
{
	size_t seen = 0;
	struct stats_visitor visitor = {on_process, on_family, on_sample,
					&seen};
	struct err err;

	if (stats_decode(data, bytes, &visitor, &err) != 0)
		FUZZ_CHECK(!seen);
}

static void run_lanes(const uint8_t *data, size_t bytes)
{
	struct lanes *t = lanes_new(), *again = lanes_new();
	struct batch_header header = {.sequence = 1};
	struct buf out = {0};
	struct err err;

	if (lanes_load(t, data, bytes, &err) == 0) {
		lanes_all_durable(t);
		lanes_judge(t, &header);
		lanes_save(t, &out);
		FUZZ_CHECK(lanes_load(again, out.data, out.used, &err) == 0);
	}
	lanes_free(&t);
	lanes_free(&again);
	buf_free(&out);
}

static void run_reference(const uint8_t *data, size_t bytes)
{
	struct reference r;
	uint8_t *again;
	struct err err;

	if (reference_decode(data, bytes, &r, &err) != 0)
		return;
	FUZZ_CHECK(r.dir[0] == '/' && r.next > r.position);
	FUZZ_CHECK(reference_bytes(&r) == bytes);
	again = xmalloc(bytes);
	reference_encode(&r, again);
	FUZZ_CHECK(memcmp(again + 8, data + 8, 36) == 0);
	free(again);
}

static void run_replay(const uint8_t *data, size_t bytes)
{
	const char *at = (const char *)data, *text;
	struct replay_frame frame;
	struct err err;
	size_t used;

	while (replay_next(at, bytes, &frame, &used, &err) == 1) {
		FUZZ_CHECK(used && used <= bytes);
		FUZZ_CHECK(frame.kind && frame.kind < REPLAY_KINDS);
		while ((text = replay_take(&frame)))
			FUZZ_CHECK(strlen(text) <= used);
		at += used;
		bytes -= used;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_bytes input = {data, bytes};
	uint64_t how = fuzz_take(&input, 1);
	uint8_t *copy = xmalloc(input.left + 1);

	memcpy(copy, input.at, input.left);
	if (how & 0x80 && input.left >= 4)
		fuzz_put_crc(copy + input.left - 4, copy, input.left - 4);
	switch (how % 5) {
	case 0:
		run_state(copy, input.left);
		break;
	case 1:
		run_stats(copy, input.left);
		break;
	case 2:
		run_lanes(copy, input.left);
		break;
	case 3:
		run_reference(copy, input.left);
		break;
	default:
		run_replay(copy, input.left);
	}
	free(copy);
	return 0;
}
