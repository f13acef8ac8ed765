/* Telling what is wrong with a log, and what could be saved of it. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "spool/salvage.h"
#include "spool/tools.h"

static const char *const names[] = {
    [SPOOL_RECORD] = "record",	     [SPOOL_HOLE] = "hole",
    [SPOOL_SEGMENT] = "segment",     [SPOOL_FOREIGN] = "foreign segment",
    [SPOOL_ASIDE] = "set aside",     [SPOOL_CHECKPOINT] = "checkpoint",
    [SPOOL_TAIL] = "behind the end",
};

const char *spool_trouble_name(enum spool_trouble trouble)
{
	return names[trouble];
}

struct verify {
	void (*visit)(void *arg, const struct spool_problem *problem);
	void *arg;
	struct spool_verified *verified;
};

static bool on_problem(void *arg, const struct spool_problem *problem)
{
	struct verify *verify = arg;
	struct spool_verified *v = verify->verified;

	v->problems++;
	if (!problem->save) {
		v->lost_bytes += problem->next - problem->position;
		v->lost_events += problem->events;
	}
	verify->visit(verify->arg, problem);
	return true;
}

static void on_good(void *arg, const struct found *f)
{
	struct spool_verified *v = ((struct verify *)arg)->verified;

	v->bytes += f->next - f->position;
	if (view_is_void(f)) {
		v->voids++;
		return;
	}
	v->records++;
	v->events += f->header.events;
}

static void on_bad(void *arg, uint64_t from, uint64_t to)
{
	((struct verify *)arg)->verified->bytes += to - from;
}

int spool_verify(const char *dir,
		 void (*visit)(void *arg, const struct spool_problem *problem),
		 void *arg, struct spool_verified *verified, struct err *err)
{
	struct verify verify = {visit, arg, verified};
	struct salvage_events events = {on_problem, on_good, on_bad, &verify};
	int64_t began_us = clock_mono_us();
	struct salvage s;
	int rc;

	memset(verified, 0, sizeof(*verified));
	if (salvage_open(&s, dir, false, err) != 0)
		return -1;
	verified->id = s.view.checkpoint.ids.id;
	verified->first = s.view.checkpoint.first;
	verified->segments = (uint32_t)s.view.segments.count;
	rc = salvage_walk(&s, &events, err);
	verified->end = s.end;
	verified->elapsed_us = clock_mono_us() - began_us;
	salvage_close(&s);
	return rc;
}

struct give {
	bool (*visit)(void *arg, const struct spool_problem *problem);
	void *arg;
};

/* Files are no records. */
static bool on_given(void *arg, const struct spool_problem *problem)
{
	struct give *give = arg;

	return problem->next == problem->position ||
	       give->visit(give->arg, problem);
}

int spool_salvage(const char *dir,
		  bool (*visit)(void *arg, const struct spool_problem *problem),
		  void *arg, struct err *err)
{
	struct give give = {visit, arg};
	struct salvage_events events = {.problem = on_given, .arg = &give};
	struct salvage s;
	int rc;

	if (salvage_open(&s, dir, false, err) != 0)
		return -1;
	rc = salvage_walk(&s, &events, err);
	salvage_close(&s);
	return rc;
}
