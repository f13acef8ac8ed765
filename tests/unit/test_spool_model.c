/*
 * The log against a model: random appends, commits, reads, frees, checkpoints,
 * restarts and crashes, the last with what a power loss does to bytes that were
 * not synced. The model is a list of records; after each crash everything that
 * was told to be durable must be there, equal and in order, and nothing that
 * was never appended. SPOOL_SEED=n repeats a run, SPOOL_STEPS=n sets its
 * length.
 */
#include "tests/unit/spool_fixture.h"

#include "spool/segments.h"
#include "tests/unit/spool_faults.h"

#define STEPS	    1500
#define RUNS	    3
#define MODEL_LIMIT 100000

struct model_record {
	uint64_t sequence;
	uint64_t position;
	uint32_t crc; /* of the body */
};

struct model {
	struct log_test *t;
	uint64_t random;
	struct model_record *records; /* appended and not lost, by position */
	size_t count;
	size_t first; /* of those not freed, as the spool was told */
	uint64_t freed;
	uint64_t sequence;
	uint64_t saved;	    /* last value given to spool_save */
	uint64_t saved_min; /* the one a restart must at least know */
	bool saving;
};

static uint64_t draw(struct model *m, uint64_t below)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random % below;
}

static void on_saving(void *arg, uint64_t durable)
{
	struct model *m = ((struct log_test *)arg)->user;

	m->saved++;
	spool_save(m->t->spool, durable, &m->saved, sizeof(m->saved));
}

/* ---- the operations ---- */

static void do_append(struct model *m)
{
	struct log_test *t = m->t;
	size_t bytes = draw(m, 8) ? draw(m, 400) + 1 : draw(m, 20000) + 1;
	struct batch *b =
	    make_batch(t, ++m->sequence, (uint32_t)draw(m, 6), bytes);
	struct model_record *record = &m->records[m->count];
	struct err err = {0};

	assert_true(m->count < MODEL_LIMIT);
	record->sequence = m->sequence;
	record->crc = b->header.body_crc;
	if (spool_append(t->spool, b, &record->position, &err) == 0)
		m->count++;
	else
		assert_int_equal(err.code, ENOSPC);
	batch_unref(&b);
}

static size_t index_at(const struct model *m, uint64_t position)
{
	size_t i = m->count;

	while (i > 0 && m->records[i - 1].position >= position)
		i--;
	return i;
}

/* Reads a stretch from a random record on and compares it with the model. */
static void do_read(struct model *m)
{
	uint64_t position, next;
	struct batch *b;
	struct err err = {0};
	size_t at;
	int rc = 0;

	if (m->first == m->count)
		return;
	at = m->first + draw(m, m->count - m->first);
	position = m->records[at].position;
	for (int i = 0; i < 50; i++) {
		rc = spool_read(m->t->spool, &position, &next, &b, &err);
		if (rc != 1)
			break;
		assert_true(at < m->count);
		assert_int_equal(position, m->records[at].position);
		assert_int_equal(b->header.sequence, m->records[at].sequence);
		assert_int_equal(b->header.body_crc, m->records[at].crc);
		batch_unref(&b);
		position = next;
		at++;
	}
	assert_true(rc >= 0);
	if (rc == 0)
		assert_true(at == m->count ||
			    m->records[at].position >= m->t->durable);
}

static void do_free(struct model *m)
{
	uint64_t below = m->t->durable;
	size_t last = index_at(m, below);

	if (last <= m->first)
		return;
	m->first += draw(m, last - m->first) + 1;
	m->freed = m->first < m->count ? m->records[m->first].position : below;
	if (m->freed > below)
		m->freed = below;
	spool_free_before(m->t->spool, m->freed);
}

static void do_checkpoint(struct model *m)
{
	uint64_t saved;

	if (m->saving) {
		m->saved++;
		spool_save(m->t->spool, m->t->durable, &m->saved,
			   sizeof(m->saved));
	}
	saved = m->saved;
	assert_int_equal(checkpoint(m->t), 0);
	m->saved_min = saved;
}

/* ---- restarts ---- */

/*
 * After an open: what is there from `first` on must be the model's records, all
 * those before `durable` among them. Then the model forgets what was lost.
 */
static void compare_all(struct model *m, uint64_t durable)
{
	struct spool_stats stats = stats_of(m->t);
	uint64_t position = stats.first, next, saved = 0;
	struct batch *b;
	struct err err = {0};
	size_t at = index_at(m, stats.first), bytes;
	const void *data;
	int rc;

	assert_true(stats.first <= m->freed);
	while ((rc = spool_read(m->t->spool, &position, &next, &b, &err)) ==
	       1) {
		assert_true(at < m->count);
		assert_int_equal(position, m->records[at].position);
		assert_int_equal(b->header.sequence, m->records[at].sequence);
		assert_int_equal(b->header.body_crc, m->records[at].crc);
		batch_unref(&b);
		position = next;
		at++;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(stats.bad_records, 0);
	if (at < m->count)
		assert_true(m->records[at].position >= durable);
	assert_true(stats.end >= durable);
	m->count = at;
	data = spool_saved(m->t->spool, &bytes);
	if (bytes)
		memcpy(&saved, data, sizeof(saved));
	if (saved < m->saved_min || saved > m->saved)
		fail_msg("saved %" PRIu64 ", not within %" PRIu64
			 " to %" PRIu64,
			 saved, m->saved_min, m->saved);
	/* Freed records may come back; they are freed again. */
	spool_free_before(m->t->spool, m->freed);
	if (m->first > m->count)
		m->first = m->count;
}

static void do_restart(struct model *m)
{
	struct log_test *t = m->t;

	close_log(t);
	open_log(t);
	m->saved_min = m->saving ? m->saved : m->saved_min;
	compare_all(m, m->count ? m->records[m->count - 1].position + 1 : 0);
}

/* Power loss: bytes behind the durable position came to the disk or not. */
static void lose_bytes(struct model *m, uint64_t durable)
{
	uint64_t bases[MANY];
	size_t n = segment_files(m->t, bases);
	char *path;
	int64_t from, bytes;
	struct stat st;
	int fd;

	while (n && bases[n - 1] > durable)
		n--;
	if (!n)
		return;
	path = segment_file(m->t, bases[n - 1]);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	from = segment_offset(bases[n - 1], durable);
	bytes = st.st_size - from;
	if (bytes > 0 && draw(m, 3) == 0) {
		int64_t cut = from + (int64_t)draw(m, (uint64_t)bytes + 1);

		assert_int_equal(ftruncate(fd, cut), 0);
	} else if (bytes > 0 && draw(m, 2) == 0) {
		char zeros[512] = {0};

		for (int64_t at = (from + 511) / 512 * 512;
		     at + 512 <= st.st_size; at += 512)
			if (draw(m, 3) == 0)
				assert_int_equal(pwrite(fd, zeros, 512, at),
						 512);
	}
	close(fd);
	free(path);
}

/* The files as they are while a sync is under way, then kill and power loss. */
static void do_crash(struct model *m)
{
	char copy[] = "/tmp/weft-test-model-XXXXXX";
	struct log_test *t = m->t;
	uint64_t durable;

	/* Quiet but for what is appended now: no file is half-way renamed. */
	wait_durable(t);
	do_checkpoint(m);
	hold_syncs(true);
	durable = stats_of(t).durable;
	do_append(m);
	if (stats_of(t).end > durable)
		assert_true(wait_held());
	for (uint64_t i = draw(m, 4); i; i--)
		do_append(m);
	assert_non_null(mkdtemp(copy));
	copy_dir(t->dir, copy);
	hold_syncs(false);
	close_log(t);
	remove_files(t->dir);
	copy_dir(copy, t->dir);
	remove_files(copy);
	rmdir(copy);
	lose_bytes(m, durable);
	open_log(t);
	compare_all(m, durable);
}

/* The disk refuses for a while. */
static void do_fault(struct model *m)
{
	struct fault *faulty[] = {&faults.sync, &faults.write, &faults.dirsync,
				  &faults.allocate};

	/* Else what is queued may fail first, and the append be refused. */
	wait_durable(m->t);
	fault_set(faulty[draw(m, 4)], (int)draw(m, 2) + 1, EIO);
	do_append(m);
	wait_durable(m->t);
	fault_clear();
}

static void step(struct model *m)
{
	uint64_t what = draw(m, 1000);

	if (what < 600)
		do_append(m);
	else if (what < 700)
		wait_durable(m->t);
	else if (what < 850)
		do_read(m);
	else if (what < 930)
		do_free(m);
	else if (what < 960)
		do_checkpoint(m);
	else if (what < 975)
		do_restart(m);
	else if (what < 995)
		do_crash(m);
	else
		do_fault(m);
}

static void run_model(uint64_t seed, uint64_t steps)
{
	struct model m = {.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};

	m.t = log_test_new();
	m.t->user = &m;
	m.records = xcalloc(MODEL_LIMIT, sizeof(*m.records));
	m.saving = draw(&m, 2);
	if (m.saving)
		m.t->events.saving = on_saving;
	m.t->options.segment_bytes = 65536 << draw(&m, 3);
	m.t->options.checkpoint_bytes = 100000 << draw(&m, 4);
	m.t->options.cache_bytes = (int64_t)draw(&m, 3) * 50000;
	m.t->options.cap_bytes = 4 << 20;
	printf("spool model: SPOOL_SEED=%" PRIu64 " steps=%" PRIu64 "\n", seed,
	       steps);
	fflush(stdout);
	open_log(m.t);
	for (uint64_t i = 0; i < steps; i++)
		step(&m);
	wait_durable(m.t);
	do_restart(&m);
	free(m.records);
	log_test_free(m.t);
}

static void test_the_log_does_what_the_model_does(void **state)
{
	const char *seed = getenv("SPOOL_SEED");
	const char *steps = getenv("SPOOL_STEPS");
	uint64_t count = steps ? strtoull(steps, NULL, 10) : STEPS;

	(void)state;
	if (seed) {
		run_model(strtoull(seed, NULL, 10), count);
		return;
	}
	for (uint64_t i = 0; i < RUNS; i++)
		run_model(1 + i + (uint64_t)clock_wall_us() % 1000000 * 10,
			  count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_the_log_does_what_the_model_does),
	};

	quiet();
	return cmocka_run_group_tests_name("spool model", tests, NULL, NULL);
}
