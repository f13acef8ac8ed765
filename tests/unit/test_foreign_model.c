/*
 * Readers of another's log under random lives of it: records of all sizes,
 * syncs that fail, segments that are freed and overwritten, the log closed and
 * opened again. Whatever is durable and not freed is read, to the byte, by
 * readers that looked last long ago as by new ones; whatever is freed is that
 * record or an error, never another.
 *
 * WEFT_MODEL_SEED=n repeats a run, WEFT_MODEL_RUNS=n makes more of them.
 */
#include "tests/unit/spool_fixture.h"

#include "spool/foreign.h"
#include "tests/unit/spool_faults.h"

#define RUNS	4
#define STEPS	400
#define READERS 3

struct record {
	uint64_t position, next;
	uint32_t crc;
};

struct model {
	struct log_test *t;
	uint64_t random;
	struct record records[MANY];
	uint64_t end, freed; /* records that there are, and that are freed */
	struct foreign *readers[READERS];
	int found, refused, failures;
};

/* xorshift64*: the same numbers from the same seed on every machine. */
static uint32_t below(struct model *m, uint64_t limit)
{
	m->random ^= m->random >> 12;
	m->random ^= m->random << 25;
	m->random ^= m->random >> 27;
	return (uint32_t)(((m->random * 0x2545f4914f6cdd1dULL) >> 33) % limit);
}

static void add(struct model *m)
{
	struct log_test *t = m->t;
	uint64_t first = m->end;
	uint32_t count = 1 + below(m, 8);

	if (first + count > MANY)
		return;
	if (below(m, 6) == 0)
		fault_after(&faults.sync, 1 + (int)below(m, 3), EIO);
	for (uint32_t i = 0; i < count; i++) {
		size_t bytes =
		    below(m, 5) ? 50 + below(m, 400) : 1000 + below(m, 30000);
		struct batch *b = make_batch(t, m->end + 1, 1, bytes);
		struct record *r = &m->records[m->end];
		struct err err;

		/* What waits for a sync that failed is refused: enough. */
		if (spool_append(t->spool, b, &r->position, &err) == 0) {
			r->crc = b->header.body_crc;
			r->next = stats_of(t).end;
			m->end++;
		}
		batch_unref(&b);
	}
	wait_durable(t);
	m->failures += t->failed;
	t->failed = 0;
	fault_clear();
}

static void free_some(struct model *m)
{
	uint64_t live = m->end - m->freed;

	if (!live)
		return;
	m->freed += below(m, live + 1);
	if (m->freed)
		spool_free_before(m->t->spool, m->records[m->freed - 1].next);
	if (below(m, 2))
		assert_int_equal(checkpoint(m->t), 0);
}

static void reopen(struct model *m)
{
	close_log(m->t);
	open_log(m->t);
}

static void renew(struct model *m)
{
	struct foreign **f = &m->readers[below(m, READERS)];

	if (below(m, 2)) {
		foreign_rest(*f);
		return;
	}
	foreign_free(f);
	*f = foreign_new(m->t->dir, spool_id(m->t->spool));
}

/* Reads record n as one of the records up to that with number `last`. */
static void read_one(struct model *m, struct foreign *f, uint64_t n,
		     uint64_t last)
{
	const struct record *r = &m->records[n];
	struct batch *b = NULL;
	uint64_t next = 0;
	struct err err = {0};

	if (foreign_read(f, r->position, m->records[last].next, &next, &b,
			 &err) != 0) {
		if (n >= m->freed)
			fail_msg("record %" PRIu64 " of %" PRIu64 ": %s", n,
				 m->end, err.text);
		m->refused++;
		return;
	}
	assert_int_equal(next, r->next);
	assert_int_equal(b->header.sequence, n + 1);
	assert_int_equal(b->header.body_crc, r->crc);
	batch_unref(&b);
	m->found++;
}

/* A range, mostly of what counts and mostly near its end. */
static void read_some(struct model *m)
{
	struct foreign *f = m->readers[below(m, READERS)];
	uint64_t from = below(m, 4) ? m->freed : 0;
	uint64_t n, last;

	if (from == m->end)
		return;
	n = from + below(m, m->end - from);
	if (below(m, 2))
		n = m->end - 1 - (m->end - 1 - n) / 8;
	last = n + below(m, m->end - n < 10 ? m->end - n : 10);
	for (; n <= last; n++)
		read_one(m, f, n, last);
}

static void step(struct model *m)
{
	switch (below(m, 12)) {
	case 0:
	case 1:
	case 2:
		add(m);
		break;
	case 3:
		free_some(m);
		break;
	case 4:
		if (below(m, 5) == 0)
			reopen(m);
		break;
	case 5:
		renew(m);
		break;
	default:
		read_some(m);
	}
}

static void run(struct log_test *t, uint64_t seed)
{
	struct model *m = xcalloc(1, sizeof(*m));

	m->t = t;
	m->random = seed * 2 + 1;
	for (int i = 0; i < 8; i++)
		below(m, 2); /* small seeds start alike */
	t->options.segment_bytes = 65536;
	t->options.cache_bytes = 0;
	open_log(t);
	for (int i = 0; i < READERS; i++)
		m->readers[i] = foreign_new(t->dir, spool_id(t->spool));
	for (int i = 0; i < STEPS; i++)
		step(m);
	for (uint64_t n = m->freed; n < m->end; n++)
		read_one(m, m->readers[0], n, n);
	printf("seed %" PRIu64 ": %" PRIu64 " records, %d found, %d refused, "
	       "%d syncs failed\n",
	       seed, m->end, m->found, m->refused, m->failures);
	assert_true(m->found > 100);
	for (int i = 0; i < READERS; i++)
		foreign_free(&m->readers[i]);
	free(m);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_random_lives(void **state)
{
	uint64_t seed =
	    number("WEFT_MODEL_SEED", (uint64_t)clock_wall_us() % 1000000);
	uint64_t runs = number("WEFT_MODEL_RUNS", RUNS);

	(void)state;
	for (uint64_t i = 0; i < runs; i++) {
		struct log_test *t = log_test_new();

		fault_clear();
		run(t, seed + i);
		log_test_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_random_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
