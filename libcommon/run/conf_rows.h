/*
 * The configuration rows of a sink's log, once for all sinks. The struct of
 * their table has these keys as int64_t members, of which
 * SINK_LOG_OPTIONS(conf) fills those of a struct sink_options (run/sink.h).
 */
#ifndef WEFT_RUN_CONF_ROWS_H
#define WEFT_RUN_CONF_ROWS_H

#include "conf/conf.h"

/* The least log_cap is twice the largest batch, its index included. */
#define SINK_LOG_ROWS(type)                                                    \
	{CONF_FIELD(type, segment_size, CONF_BYTES), .min = "1MiB",            \
	 .max = "1GiB", .def = "64MiB",                                        \
	 .doc = "A new log segment begins beyond this size, or a 32nd of the " \
		"disk."},                                                      \
	    {CONF_FIELD(type, log_cap, CONF_BYTES), .min = "80MiB",            \
	     .max = "16TiB", .def = "4GiB",                                    \
	     .doc = "The log holds at most this much; then the sources are "   \
		    "held back."},                                             \
	    {CONF_FIELD(type, log_reserve, CONF_BYTES), .min = "0",            \
	     .max = "1GiB", .def = "40MiB",                                    \
	     .doc = "Disk space kept for freeing work, so that a full disk "   \
		    "can be left again: the largest batch, and some; at most " \
		    "a quarter of the disk."},                                 \
	    {CONF_FIELD(type, cache_size, CONF_BYTES), .min = "0",             \
	     .max = "1GiB", .def = "16MiB",                                    \
	     .doc = "Batches kept in memory behind their append, so that "     \
		    "delivery need not read them from disk."},                 \
	{                                                                      \
		CONF_FIELD(type, commit_interval, CONF_DURATION),              \
		    .min = "0s", .max = "1s", .def = "10ms",                   \
		    .doc =                                                     \
			"The log is synced at most this often, unless 1 MiB "  \
			"waits. Batches are acked to their source only once "  \
			"they are synced."                                     \
	}

#define SINK_LOG_OPTIONS(conf)                                               \
	.segment_bytes = (conf)->segment_size, .cap_bytes = (conf)->log_cap, \
	.reserve_bytes = (conf)->log_reserve,                                \
	.cache_bytes = (conf)->cache_size,                                   \
	.commit_interval_us = (conf)->commit_interval

/*
 * Of the circuit of each destination (run/breaker.h): int64_t members
 * circuit_threshold and circuit_cool_down.
 */
#define CIRCUIT_ROWS(type)                                                   \
	{CONF_FIELD(type, circuit_threshold, CONF_INT), .min = "1",          \
	 .max = "1000", .def = "5",                                          \
	 .doc =                                                              \
	     "So many failures in a row open the circuit of a destination: " \
	     "then nothing is sent there but one probe behind each "         \
	     "cool-down, until one succeeds."},                              \
	{                                                                    \
		CONF_FIELD(type, circuit_cool_down, CONF_DURATION),          \
		    .min = "10ms", .max = "1h", .def = "5s",                 \
		    .doc =                                                   \
			"The first cool-down of a circuit; it doubles with " \
			"each probe that fails, up to retry_max."            \
	}

#endif
