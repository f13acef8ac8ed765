#include "run/resolver.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "run/gather.h"
#include "spool/foreign.h"

/* Logs that are read at a time; one more takes the place of the oldest. */
#define MOST_LOGS 64
/* A file that is kept open keeps its space, even when it was freed. */
#define REST_US INT64_C(1000000)

struct log {
	struct foreign *foreign; /* NULL: unused */
	struct uuid id;
	char dir[REFERENCE_DIR_BYTES];
	int64_t read_mono_us; /* 0: rests */
};

struct resolver {
	struct loop *loop;
	struct loop_timer timer;
	struct gather *gather;
	struct log logs[MOST_LOGS];
	/* Of the batch at hand: */
	struct log *log;
	uint64_t limit;
	uint32_t bodies_crc;
};

/* As gather_log.read. NOLINTNEXTLINE(readability-non-const-parameter) */
static int read_record(void *arg, uint64_t *position, uint64_t *next,
		       struct batch **b, struct err *err)
{
	struct resolver *r = arg;

	if (foreign_read(r->log->foreign, *position, r->limit, next, b, err) !=
	    0)
		return -1;
	r->bodies_crc = reference_crc(r->bodies_crc, (*b)->header.body_crc);
	return 1;
}

/* Lets go of files that were not read lately, and comes again for others. */
static void rest(void *arg)
{
	struct resolver *r = arg;
	int64_t now_mono_us = loop_now_mono_us(r->loop);
	bool any = false;

	for (int i = 0; i < MOST_LOGS; i++) {
		struct log *log = &r->logs[i];

		if (!log->read_mono_us)
			continue;
		if (now_mono_us - log->read_mono_us < REST_US) {
			any = true;
			continue;
		}
		foreign_rest(log->foreign);
		log->read_mono_us = 0;
	}
	if (any)
		loop_timer_set(r->loop, &r->timer, now_mono_us + REST_US);
}

struct resolver *resolver_new(struct loop *loop)
{
	struct resolver *r = xcalloc(1, sizeof(*r));
	const struct gather_log log = {read_record, NULL, r};

	r->loop = loop;
	r->timer = (struct loop_timer){.fn = rest, .arg = r};
	r->gather = gather_new(&log, 0);
	return r;
}

void resolver_free(struct resolver **resolver)
{
	struct resolver *r = *resolver;

	if (!r)
		return;
	loop_timer_cancel(r->loop, &r->timer);
	for (int i = 0; i < MOST_LOGS; i++)
		foreign_free(&r->logs[i].foreign);
	gather_free(&r->gather);
	free(r);
	*resolver = NULL;
}

static struct log *find_log(struct resolver *r, const struct reference *to)
{
	struct log *oldest = &r->logs[0];

	for (int i = 0; i < MOST_LOGS; i++) {
		struct log *log = &r->logs[i];

		if (log->foreign &&
		    memcmp(&log->id, &to->log, sizeof(log->id)) == 0 &&
		    strcmp(log->dir, to->dir) == 0)
			return log;
		if (oldest->foreign &&
		    (!log->foreign || log->read_mono_us < oldest->read_mono_us))
			oldest = log;
	}
	foreign_free(&oldest->foreign);
	oldest->foreign = foreign_new(to->dir, &to->log);
	oldest->id = to->log;
	memcpy(oldest->dir, to->dir, sizeof(oldest->dir));
	return oldest;
}

/* Whether what was read is what b says; a resend may be flagged as such. */
static bool is_meant(const struct batch_header *b,
		     const struct batch_header *found)
{
	return found->events == b->events &&
	       found->index_bytes == b->index_bytes &&
	       found->payload_bytes == b->payload_bytes &&
	       found->created_at_us == b->created_at_us &&
	       found->contract_set == b->contract_set &&
	       memcmp(found->trace, b->trace, sizeof(b->trace)) == 0 &&
	       (found->flags | BATCH_REPLAY) == (b->flags | BATCH_REPLAY);
}

int resolver_read(struct resolver *r, struct batch *b, struct batch **whole,
		  struct err *err)
{
	const struct reference *to = b->reference;
	uint64_t position = to->position, next = to->next;
	struct batch *found = NULL;
	int rc;

	r->log = find_log(r, to);
	r->log->read_mono_us = loop_now_mono_us(r->loop);
	if (!r->timer.at_mono_us)
		loop_timer_set(r->loop, &r->timer,
			       r->log->read_mono_us + REST_US);
	r->limit = to->next;
	r->bodies_crc = 0;
	rc = gather_read(r->gather, &position, &next, &found, err);
	if (rc < 0)
		return err_wrap(err, "a batch by reference");
	if (rc == 1 && r->bodies_crc == to->bodies_crc &&
	    is_meant(&b->header, &found->header))
		*whole = batch_relabel(found, &b->header);
	else
		rc = err_set(err, EBADMSG,
			     "a batch by reference: the records from %" PRIu64
			     " to %" PRIu64
			     " in %s are not those that were sent",
			     to->position, to->next, to->dir);
	batch_unref(&found);
	return rc < 0 ? -1 : 0;
}
