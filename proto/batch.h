/*
 * The batch: what stages exchange and logs hold. Three parts, sent as three
 * ZeroMQ frames and stored one behind the other: header, index, payload. The
 * written specification is proto/batch.md. Little-endian; this code requires a
 * little-endian host.
 */
#ifndef WEFT_PROTO_BATCH_H
#define WEFT_PROTO_BATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/uuid.h"
#include "proto/reference.h"

#define BATCH_HEADER_BYTES	128
#define BATCH_MAX_EVENTS	65536
#define BATCH_MAX_STREAMS	256
#define BATCH_MAX_INDEX_BYTES	(4u << 20)
#define BATCH_MAX_PAYLOAD_BYTES (32u << 20)
#define BATCH_STREAM_NAME_BYTES 64
#define BATCH_TRACE_BYTES	16

/* The largest event that may enter the pipeline. */
#define BATCH_MAX_EVENT_BYTES 1000000
/*
 * The longest line in a batch. An event may grow on its way: mapping adds
 * fields, and a dead letter holds the original with each byte escaped.
 */
#define BATCH_MAX_LINE_BYTES (8u << 20)

/* Between the parts of an id that is of several fields. */
#define BATCH_PART_SEPARATOR '\x1f'

/* A stream name's number in one batch; not stable across batches. */
#define BATCH_NO_STREAM UINT16_MAX

enum batch_flags {
	/* may repeat events that were delivered before */
	BATCH_REPLAY = 1 << 0,
	/* contracts were applied, by a transformer or whoever came before */
	BATCH_MAPPED = 1 << 1,
	/* its events come from the raw archive, which has them already */
	BATCH_ARCHIVED = 1 << 2,
};

/* One producer instance's numbered sequence through one transformer. */
struct batch_lane {
	struct uuid source; /* born with the source's log */
	uint64_t epoch;	    /* raised durably at each start of the source */
	uint32_t number;    /* transformer instance the lane runs through */
};

/* Header fields, host order. Lane and sequence are zero in a source's log. */
struct batch_header {
	struct batch_lane lane;
	uint64_t sequence; /* from 1, contiguous in its lane */
	uint32_t flags;	   /* enum batch_flags */
	int64_t created_at_us;
	uint64_t contract_set; /* hash of the set that validates and maps it */
	uint32_t events;
	uint32_t index_bytes;
	uint32_t payload_bytes;
	uint32_t body_crc; /* crc32c of index then payload */
	uint8_t trace[BATCH_TRACE_BYTES];
};

/*
 * One event in the index, as it lies on the wire (48 bytes, little-endian).
 * Offsets count from the start of the payload. An event is one line of JSON
 * without its '\n'. key, id and type are slices of the payload too (outside the
 * event's line when the JSON text of the value has escapes); 0 bytes = none.
 */
struct batch_event {
	uint32_t offset;
	uint32_t bytes;
	uint64_t key_hash; /* xxh3-64 of the key's bytes, masked if their
			    * contract says so; 0 without a key */
	uint32_t key_offset;
	uint32_t id_offset;
	uint32_t type_offset;
	uint16_t key_bytes;
	uint16_t id_bytes;
	uint16_t type_bytes;
	uint16_t stream;  /* number in the batch's stream table */
	uint16_t version; /* of the contract that was applied */
	uint16_t reserved;
	uint32_t reserved2[2];
};

/*
 * A batch in memory: immutable once made, reference-counted (any thread may
 * take and drop references). index and payload point into memory that the
 * batch owns.
 *
 * A batch may come without its body: then `reference` says where that lies, the
 * header's counts and lengths hold, its body crc does not, and index, payload,
 * events and streams are not there. Only batch_ref(), batch_unref() and
 * batch_bytes() may be called on it.
 */
struct batch {
	struct batch_header header;
	const struct reference *reference; /* NULL: the body is here */
	const uint8_t *index;
	const char *payload;
	const struct batch_event *events; /* in index; header.events */
	uint16_t stream_count;
	const char *streams[BATCH_MAX_STREAMS]; /* not NUL-terminated */
	uint8_t stream_bytes[BATCH_MAX_STREAMS];
	void (*release)(void *owner); /* how the memory behind it is let go */
	void *owner;
	void *index_copy; /* of an index that came misaligned, or NULL */
	atomic_int references;
};

/* Encodes *header with its own crc into out. */
void batch_header_encode(const struct batch_header *header,
			 uint8_t out[BATCH_HEADER_BYTES]);

/*
 * Decodes and checks a header of exactly BATCH_HEADER_BYTES bytes: magic,
 * version, crc, and every count and length against the limits above. -1 with
 * *err saying what was wrong.
 */
int batch_header_decode(const uint8_t *data, size_t bytes,
			struct batch_header *header,
			struct err *err) MUST_CHECK;

/*
 * Makes a batch over received memory. Checks the body crc, the stream table and
 * that each slice of each event lies in the payload and each event ends before
 * a '\n'. index and payload stay owned by `owner`, let go with release(owner)
 * at the last unref, on the thread that drops it (release may be NULL). index
 * may have any alignment; one that is not a multiple of 8 costs a copy. On an
 * error the caller keeps everything. *header must have come from
 * batch_header_decode(). Returns a batch with one reference, or NULL with *err.
 */
struct batch *batch_open(const struct batch_header *header,
			 const uint8_t *index, const char *payload, void *owner,
			 void (*release)(void *owner),
			 struct err *err) MUST_CHECK;

/*
 * A batch without its body, one reference; *reference is copied. *header has
 * the lengths that the body will have.
 */
struct batch *batch_refer(const struct batch_header *header,
			  const struct reference *reference);

/* Takes a reference more; returns b. Any thread. */
struct batch *batch_ref(struct batch *b);

/* Drops *b (NULL allowed) and sets it to NULL. Any thread. */
void batch_unref(struct batch **b);

/* Total bytes of its three parts. */
size_t batch_bytes(const struct batch *b);

/* The NUL-terminated name of stream number `stream` (< stream_count). */
const char *batch_stream(const struct batch *b, uint16_t stream,
			 char name[BATCH_STREAM_NAME_BYTES + 1]);

/*
 * Collects events into a new batch; one thread at a time. What it collects must
 * stay within the limits above (they are asserted): ask batch_builder_fits()
 * before events whose size others decide.
 */
struct batch_builder;

struct batch_builder *batch_builder_new(void);
void batch_builder_free(struct batch_builder **w);

/*
 * The number of stream `name` (added at first use). BATCH_NO_STREAM when there
 * are BATCH_MAX_STREAMS already, or the name is not one: 1 to 64 letters,
 * digits, '_', '-' and '.', the first a letter, digit or '_'.
 */
uint16_t batch_builder_stream(struct batch_builder *w, const char *name,
			      size_t bytes);

/* Whether `events` more events and `bytes` more payload bytes are in limits. */
bool batch_builder_fits(const struct batch_builder *w, uint32_t events,
			size_t bytes);

/*
 * Room for `bytes` more payload bytes; write there, then batch_builder_commit.
 * It may be an upper bound beyond the limits; what is committed may not. The
 * pointer is valid until the next call on the builder.
 */
char *batch_builder_room(struct batch_builder *w, size_t bytes);

/* The payload offset at which the next byte goes. */
uint32_t batch_builder_offset(const struct batch_builder *w);

/* Takes `bytes` bytes just written at batch_builder_room() into the payload. */
void batch_builder_commit(struct batch_builder *w, size_t bytes);

/*
 * Appends one index entry (copied). Its slices lie in committed payload, its
 * line included the '\n' behind it; its stream came from this builder since
 * the last seal.
 */
void batch_builder_event(struct batch_builder *w,
			 const struct batch_event *event);

/*
 * Appends event i of b as it is: its line, and what of its key, id and type
 * lies outside. False when the limits leave no room for it or its stream.
 */
bool batch_builder_copy(struct batch_builder *w, const struct batch *b,
			uint32_t i) MUST_CHECK;

uint32_t batch_builder_events(const struct batch_builder *w);

/*
 * The event appended last, and in *payload the payload that its offsets count
 * from, both until the next call on the builder; NULL when it holds none.
 */
const struct batch_event *batch_builder_last(const struct batch_builder *w,
					     const char **payload);

/* Bytes that a batch sealed now would have, as batch_bytes() counts them. */
size_t batch_builder_bytes(const struct batch_builder *w);

/*
 * Forgets the events behind `events` and payload bytes behind `offset`. Streams
 * that were added stay.
 */
void batch_builder_rollback(struct batch_builder *w, uint32_t events,
			    uint32_t offset);

/* Forgets all that was collected, streams included. */
void batch_builder_clear(struct batch_builder *w);

/*
 * Seals what was collected into a batch with one reference and leaves the
 * builder empty for the next. Copies created_at_us, contract_set, flags, trace,
 * lane and sequence from *header; computes the rest, body_crc included. An
 * empty builder gives a batch of no events. May be called again at once.
 */
struct batch *batch_builder_seal(struct batch_builder *w,
				 const struct batch_header *header);

/*
 * A batch that shares b's body (b is referenced, not copied) under another
 * header: lane, sequence and flags as given in *header, the rest as in b.
 */
struct batch *batch_relabel(struct batch *b, const struct batch_header *header);

#endif
