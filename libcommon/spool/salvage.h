/*
 * What can be had from a damaged log: one walk over its records, its damaged
 * places, what lies behind its end, and the files set aside, that verifying,
 * exporting and repairing share. Reads only.
 */
#ifndef WEFT_SPOOL_SALVAGE_H
#define WEFT_SPOOL_SALVAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spool/aside.h"
#include "spool/tools.h"
#include "spool/view.h"

/*
 *  problem: as spool_salvage() gives them, and what is wrong with files.
 *  good: each good or void record, not owned. May be NULL.
 *  bad: a place in the log that holds no good record, saved or not; comes
 *    before the problems in it. May be NULL.
 */
struct salvage_events {
	bool (*problem)(void *arg, const struct spool_problem *problem);
	void (*good)(void *arg, const struct found *f);
	void (*bad)(void *arg, uint64_t from, uint64_t to);
	void *arg;
};

struct places {
	uint64_t *list;
	size_t count, size;
};

struct salvage {
	struct view view;
	struct reader probe; /* asks what the log has at some position */
	struct salvage_events events;
	uint64_t end;	     /* of the log, once it was walked */
	struct places saved; /* where saved records lay */
	struct places lost;  /* … and ones that could not be */
	bool exclusive;	     /* the caller has the log's lock */
	bool stopped;
};

/* mend: as view_open_mended(). ENOENT when there is no log. */
int salvage_open(struct salvage *s, const char *dir, bool mend,
		 struct err *err) MUST_CHECK;
void salvage_close(struct salvage *s);

/* Walks all of it. -1 with *err. */
int salvage_walk(struct salvage *s, const struct salvage_events *events,
		 struct err *err) MUST_CHECK;

/* ---- salvage_scan.c: records between two places of one file ---- */

struct salvage_scan {
	struct salvage *salvage;
	int fd;
	const char *file;
	uint64_t base; /* position of the byte … */
	int64_t skip;  /* … at this offset */
	uint64_t from, to;
	enum spool_trouble trouble;
	const char *why;
	/* It was all durable records once: a batch header is enough. */
	bool loose;
	bool quiet; /* bytes that are no record are no loss */
	/* Whether a record here is to be told: its headers, where it lies. */
	bool (*wanted)(struct salvage *s, uint64_t position,
		       const struct batch_header *header);
};

/* Tells the records in [from, to), and what is between them. */
void salvage_scan(struct salvage_scan *scan);

bool places_have(const struct places *places, uint64_t position);
void places_add(struct places *places, uint64_t position);

#endif
