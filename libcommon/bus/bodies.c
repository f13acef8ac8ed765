#include "bus/bodies.h"

#include <assert.h>
#include <errno.h>

#include "base/failpoint.h"
#include "bus/wire.h"

void bodies_open(struct bodies *t, const char *endpoint,
		 bus_resolve_fn *resolve, void *arg)
{
	*t = (struct bodies){.resolve = resolve,
			     .arg = arg,
			     .taken = resolve && wire_is_local(endpoint)};
}

int bodies_fetch(struct bodies *t, struct batch **b, struct err *err)
{
	struct batch *whole = NULL;

	if (!(*b)->reference)
		return 0;
	if (t->gave_up)
		return err_set(err, ENOTSUP,
			       "a batch by reference was under way");
	if (!t->taken)
		return err_set(err, EINVAL,
			       "a batch by reference, and none are taken here");
	if (t->resolve(t->arg, *b, &whole, err) != 0) {
		t->taken = false;
		t->gave_up = true;
		return err_wrap(err, "from now on batches come with their "
				     "bodies");
	}
	assert(whole && !whole->reference);
	FAILPOINT("body_fetched");
	batch_unref(b);
	*b = whole;
	return 0;
}
