/*
 * The stats message: what each process pushes to metrics once a second, all
 * its counters as families of samples. Specification: proto/stats.md.
 */
#ifndef WEFT_PROTO_STATS_H
#define WEFT_PROTO_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define STATS_MAX_BYTES	       (4u << 20)
#define STATS_MAX_NAME_BYTES   128
#define STATS_MAX_HELP_BYTES   1024
#define STATS_MAX_LABELS_BYTES 2048
#define STATS_MAX_LABELS       16

enum stats_type { STATS_COUNTER, STATS_GAUGE, STATS_HISTOGRAM };

/* Who reports; strings are borrowed. */
struct stats_process {
	const char *service; /* row name, e.g. "collector"; 1 to 63 bytes */
	uint32_t instance;
	uint32_t pid;
	int64_t started_at_us; /* tells two lives of one instance apart */
	int64_t sent_at_us;
};

/*
 * Begins a message in out, which is emptied first (one message a buffer). What
 * a receiver would refuse is left out, so that one wrong sample never costs the
 * message: the calls say false then. Any thread, a buffer of its own each.
 */
void stats_begin(struct buf *out, const struct stats_process *process);

/*
 * A family: Prometheus name, help line (one line, UTF-8), type. A family that
 * is left out (a name that is none, a help line too long or of several lines,
 * a full message) leaves out its samples too.
 */
bool stats_family(struct buf *out, const char *name, const char *help,
		  enum stats_type type);

/*
 * A sample of the family just begun: `suffix` ("" or, for histograms and only
 * there, "_bucket", "_sum", "_count"), labels as Prometheus text without braces
 * (`source="a",event_type="b"`, values escaped already, "" for none; a bucket
 * has an `le`). Values of counters and histograms are finite and not negative.
 */
bool stats_sample(struct buf *out, const char *suffix, const char *labels,
		  double value);

/* Closes the message: length and crc. */
void stats_end(struct buf *out);

/*
 * What a reader gets, in the order of the message; strings are NUL-terminated
 * and valid during the call. Label values may hold any bytes >= 0x20, UTF-8 or
 * not. All three are set.
 */
struct stats_visitor {
	void (*process)(void *arg, const struct stats_process *process);
	void (*family)(void *arg, const char *name, const char *help,
		       enum stats_type type);
	void (*sample)(void *arg, const char *suffix, const char *labels,
		       double value);
	void *arg;
};

/*
 * Checks a whole message (magic, version, crc, every length, names and labels
 * in Prometheus' grammar), then visits it. -1 with *err, nothing visited.
 */
int stats_decode(const uint8_t *data, size_t bytes,
		 const struct stats_visitor *visitor,
		 struct err *err) MUST_CHECK;

/*
 * One label of a label text: advances *at (at first the text) past it and gives
 * its name and escaped value as slices. False at the end of the text, or where
 * it is no label; *at points to the NUL only in the first case.
 */
bool stats_next_label(const char **at, const char **name, size_t *name_bytes,
		      const char **value, size_t *value_bytes);

#endif
