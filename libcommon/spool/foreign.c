#include "spool/foreign.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "spool/reader.h"
#include "spool/segments.h"

struct foreign {
	char *dir;
	struct log_ids ids;
	struct segments segments; /* as they were when last listed */
	struct reader reader;
};

struct foreign *foreign_new(const char *dir, const struct uuid *id)
{
	struct foreign *f = xcalloc(1, sizeof(*f));

	f->dir = xstrdup(dir);
	f->ids.id = *id;
	reader_init(&f->reader, f->dir, &f->ids);
	f->reader.reads_ahead = true;
	return f;
}

void foreign_free(struct foreign **f)
{
	struct foreign *gone = *f;

	if (!gone)
		return;
	reader_close(&gone->reader);
	segments_free(&gone->segments);
	free(gone->dir);
	free(gone);
	*f = NULL;
}

void foreign_rest(struct foreign *f)
{
	reader_close(&f->reader);
}

/* Only files that say they are of this log. */
static int list(struct foreign *f, struct err *err)
{
	struct segments *t = &f->segments;

	reader_close(&f->reader);
	segments_free(t);
	if (segments_load(f->dir, t, err) != 0) {
		segments_free(t); /* what it has is in no order */
		return -1;
	}
	for (size_t i = 0; i < t->count;) {
		const struct segment *segment = &t->list[i];

		if (segment->header_good &&
		    log_ids_accept(&f->ids, &segment->log))
			i++;
		else
			segments_remove(t, i, 1);
	}
	return 0;
}

/*
 * The segment that holds `position`: the last that begins at or before it, for
 * the base of a segment voids what an older one has there. Where it ends is not
 * known, since it is written meanwhile. NULL when there is none.
 */
static const struct segment *find(const struct foreign *f, uint64_t position,
				  uint64_t *limit)
{
	const struct segments *t = &f->segments;
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (t->list[middle].base > position)
			high = middle;
		else
			low = middle + 1;
	}
	if (low < t->count && t->list[low].base < *limit)
		*limit = t->list[low].base;
	return low ? &t->list[low - 1] : NULL;
}

static int try_read(struct foreign *f, struct found *found, uint64_t limit,
		    struct err *err)
{
	const struct segment *segment = find(f, found->position, &limit);

	if (!segment)
		return err_set(err, ENOENT,
			       "no segment in %s holds the record at %" PRIu64,
			       f->dir, found->position);
	if (reader_read(&f->reader, segment, limit, found, err) != 0)
		return -1;
	if (!found->err.code)
		return 0;
	*err = found->err;
	return err_wrap(err, "%s", f->dir);
}

/* What lies at a position; found->batch is NULL when that is void. */
static int read_one(struct foreign *f, struct found *found, uint64_t limit,
		    struct err *err)
{
	uint64_t position = found->position;

	if (try_read(f, found, limit, err) == 0)
		return 0;
	/* There may be newer files than when they were listed. */
	found->position = position;
	return list(f, err) == 0 ? try_read(f, found, limit, err) : -1;
}

int foreign_read(struct foreign *f, uint64_t position, uint64_t limit,
		 uint64_t *next, struct batch **b, struct err *err)
{
	struct found found = {.next = position};

	while (!found.batch) {
		found.position = found.next;
		if (found.position >= limit)
			return err_set(err, ENODATA,
				       "%s: all from %" PRIu64 " to %" PRIu64
				       " is void",
				       f->dir, position, limit);
		if (read_one(f, &found, limit, err) != 0)
			return -1;
	}
	*next = found.next;
	*b = found.batch;
	return 0;
}
