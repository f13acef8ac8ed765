#include "bus/bodies.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "bus/wire.h"

#define REST_US INT64_C(60000000)
/* The longest rest is so many times the first: an hour. */
#define MOST_RESTS 60

void bodies_open(struct bodies *t, const char *endpoint,
		 bus_resolve_fn *resolve, void *arg, int64_t rest_us)
{
	*t = (struct bodies){
	    .resolve = wire_is_local(endpoint) ? resolve : NULL,
	    .arg = arg,
	    .rest_us = rest_us ? rest_us : REST_US,
	};
}

bool bodies_taken(struct bodies *t)
{
	if (t->rests && clock_mono_us() >= t->again_mono_us)
		t->rests = false;
	return t->resolve && !t->rests;
}

/* Twice as long as the last time, unless that is long ago. */
static void rest(struct bodies *t)
{
	int64_t now_mono_us = clock_mono_us();
	int64_t most_us = MOST_RESTS * t->rest_us;

	if (!t->pause_us || now_mono_us - t->again_mono_us > most_us)
		t->pause_us = t->rest_us;
	else if (t->pause_us < most_us)
		t->pause_us *= 2;
	if (t->pause_us > most_us)
		t->pause_us = most_us;
	t->again_mono_us = now_mono_us + t->pause_us;
	t->rests = true;
}

int bodies_fetch(struct bodies *t, struct batch **b, struct err *err)
{
	struct batch *whole = NULL;

	if (!(*b)->reference)
		return 0;
	if (t->rests)
		return err_set(err, ENOTSUP,
			       "a batch by reference was under way");
	if (!t->resolve)
		return err_set(err, EINVAL,
			       "a batch by reference, and none are taken here");
	if (t->resolve(t->arg, *b, &whole, err) != 0) {
		rest(t);
		return err_wrap(
		    err, "for %" PRId64 " s batches come with their bodies",
		    (t->pause_us + 999999) / 1000000);
	}
	assert(whole && !whole->reference);
	FAILPOINT("body_fetched");
	batch_unref(b);
	*b = whole;
	return 0;
}
