/*
 * Where a publisher delivers to. A backend takes durable batches in order and
 * says, in order, through which log position they are delivered; its own state
 * travels with that fact into the log's checkpoint, so that delivery and its
 * memory can never disagree.
 */
#ifndef WEFT_SERVICES_EVENTHUB_PUBLISHER_BACKEND_H
#define WEFT_SERVICES_EVENTHUB_PUBLISHER_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "contract/contract.h"
#include "proto/batch.h"
#include "services/eventhub-publisher/tables.h"

struct backend_options {
	struct loop *loop;
	const struct eventhub_publisher_conf *conf; /* until open returns */
	struct eventhub_publisher_counters *counters;
	const char *section;		      /* of conf, for messages */
	const struct conf_identity *identity; /* of conf; NULL: none */
	const char *state_dir;		      /* for files of its own */
	/* The newest contracts, NULL for none; with the arg of the events. */
	struct contract_set *(*contracts)(void *arg);
	const char *log_tag; /* names the log this delivers; "3f2a9c01" */
	const void *state;   /* as last given to delivered(); NULL at first */
	size_t state_bytes;
	bool after_failure; /* what lies behind `state` is not to be trusted */
};

/*
 * On the loop thread, never from within open or close.
 *  opened: it works; once, before any other.
 *  delivered: everything before `position` has arrived for good; `state`
 *    (borrowed) is what open needs to go on from there.
 *  waiting: it delivers nothing now and goes on trying by itself; with NULL it
 *    goes on. Optional for a backend.
 *  failed: nothing more will be delivered by this backend; close it, wait, and
 *    open another from the last delivered state.
 */
struct backend_events {
	void (*opened)(void *arg);
	void (*delivered)(void *arg, uint64_t position, const void *state,
			  size_t bytes);
	void (*waiting)(void *arg, const struct err *err);
	void (*failed)(void *arg, const struct err *err);
	void *arg;
};

/*
 * open: -1 with *err, or 0; what blocks or may fail of the outside is done
 * behind it, and told by opened() or failed(). produce: takes a reference to a
 * batch whose record ends before `next`; false when its queue is full: offer it
 * again after delivered(). close: stops at once, forgets what was not
 * delivered, sets *backend to NULL, accepts NULL; a disk that hangs does not
 * hold it up for long.
 */
struct backend {
	const char *name;
	int (*open)(void **backend, const struct backend_options *options,
		    const struct backend_events *events, struct err *err);
	bool (*produce)(void *backend, struct batch *b, uint64_t next);
	void (*close)(void **backend);
};

/*
 * file: NDJSON files <path>/<stream>-<log tag>-<number>.ndjson, each event
 * exactly once also over crashes: after one, a file is cut back to the length
 * that was durable with the checkpoint and written on from there.
 */
extern const struct backend backend_file;

/*
 * kafka: each event as a message of Kafka or Event Hubs, at least once, in
 * order for each key. What no broker will take goes to a dead letter file.
 */
extern const struct backend backend_kafka;

/* console: each event as a line on standard output; for trying things out. */
extern const struct backend backend_console;

/* null: delivers nowhere, at once; for measuring. */
extern const struct backend backend_null;

#endif
