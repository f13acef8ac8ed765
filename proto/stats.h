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

#define STATS_MAX_BYTES (4u << 20)

enum stats_type { STATS_COUNTER, STATS_GAUGE, STATS_HISTOGRAM };

/* Who reports; strings are borrowed. */
struct stats_process {
	const char *service; /* row name, e.g. "collector" */
	uint32_t instance;
	uint32_t pid;
	int64_t started_at_us;
	int64_t sent_at_us;
};

/* Appends the head of a message; families and samples follow. */
void stats_begin(struct buf *out, const struct stats_process *process);

/* A family: Prometheus name, help line (one line, UTF-8), type. */
void stats_family(struct buf *out, const char *name, const char *help,
		  enum stats_type type);

/*
 * A sample of the family just begun: `suffix` ("" or "_bucket", "_sum",
 * "_count" for histograms), labels as Prometheus text without braces
 * (`source="a",event_type="b"`, values escaped already, "" for none).
 */
void stats_sample(struct buf *out, const char *suffix, const char *labels,
		  double value);

/* Closes the message: lengths and crc. */
void stats_end(struct buf *out);

/* What a reader gets; strings are NUL-terminated and valid during the call. */
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

#endif
