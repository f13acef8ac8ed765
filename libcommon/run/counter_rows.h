/*
 * The counter rows of the bus and of a log, once for all services that have
 * them. A table names its struct, whose member `bus` is a struct bus_stats and
 * `spool` a struct spool_stats; beside a log there are int64_t `backlog_bytes`
 * and `oldest_us`. What a service sends and receives makes its rows:
 *
 *	source  BUS_OUT_ROWS, BUS_RESEND_ROWS, LOG_ROWS
 *	relay   BUS_IN_ROWS, BUS_OUT_ROWS
 *	sink    BUS_IN_ROWS, BUS_ORDER_ROWS, LOG_ROWS
 *
 * and whoever maps events has a struct mapper_counts `mapper`: MAPPER_ROWS.
 */
#ifndef WEFT_RUN_COUNTER_ROWS_H
#define WEFT_RUN_COUNTER_ROWS_H

#include <stddef.h>

#include "conf/counter.h"

#define COUNTER_ROW(name, kind, type, member, scale, doc)                    \
	{                                                                    \
		name, COUNTER_##kind, offsetof(type, member), "", scale, doc \
	}

#define BUS_IN_ROWS(type)                                                      \
	COUNTER_ROW("weft_bus_events_in_total", TOTAL, type, bus.events_in, 1, \
		    "Events received over the bus."),                          \
	    COUNTER_ROW("weft_bus_batches_in_total", TOTAL, type,              \
			bus.batches_in, 1, "Batches received over the bus."),  \
	    COUNTER_ROW("weft_bus_references_total", TOTAL, type,              \
			bus.references, 1,                                     \
			"Batches received by reference: their bodies stay "    \
			"in the log of their source."),                        \
	    COUNTER_ROW("weft_bus_refused_total", TOTAL, type, bus.refused, 1, \
			"Malformed messages, dropped.")

#define BUS_OUT_ROWS(type)                                                    \
	COUNTER_ROW("weft_bus_events_out_total", TOTAL, type, bus.events_out, \
		    1, "Events sent over the bus."),                          \
	    COUNTER_ROW("weft_bus_batches_out_total", TOTAL, type,            \
			bus.batches_out, 1, "Batches sent over the bus."),    \
	    COUNTER_ROW("weft_bus_evidence_total", TOTAL, type, bus.evidence, \
			1,                                                    \
			"Times that something on the way may have been lost.")

#define BUS_RESEND_ROWS(type)                                                \
	COUNTER_ROW("weft_bus_resends_total", TOTAL, type, bus.resends, 1,   \
		    "Batches sent again."),                                  \
	    COUNTER_ROW("weft_bus_epochs_total", TOTAL, type, bus.epochs, 1, \
			"Epochs begun."),                                    \
	    COUNTER_ROW("weft_bus_unacked_batches", GAUGE, type,             \
			bus.unacked_batches, 1,                              \
			"Batches sent and not acknowledged yet."),           \
	    COUNTER_ROW("weft_bus_unacked_bytes", GAUGE, type,               \
			bus.unacked_bytes, 1,                                \
			"Bytes sent and not acknowledged yet.")

#define BUS_ORDER_ROWS(type)                                                  \
	COUNTER_ROW("weft_bus_duplicates_total", TOTAL, type, bus.duplicates, \
		    1, "Batches that were here already and were ignored."),   \
	    COUNTER_ROW(                                                      \
		"weft_bus_gaps_total", TOTAL, type, bus.gaps, 1,              \
		"Batches ignored because one before them is missing."),       \
	    COUNTER_ROW("weft_bus_stale_total", TOTAL, type, bus.stale, 1,    \
			"Batches of a retired epoch, ignored.")

#define MAPPER_ROWS(type)                                                      \
	COUNTER_ROW("weft_events_mapped_total", TOTAL, type, mapper.mapped, 1, \
		    "Events that their contract changed."),                    \
	    COUNTER_ROW("weft_events_copied_total", TOTAL, type,               \
			mapper.copied, 1, "Events taken over byte by byte."),  \
	    COUNTER_ROW("weft_fields_masked_total", TOTAL, type,               \
			mapper.masked, 1, "Fields masked."),                   \
	    COUNTER_ROW("weft_fields_defaulted_total", TOTAL, type,            \
			mapper.defaulted, 1,                                   \
			"Fields that got their default."),                     \
	    COUNTER_ROW("weft_fields_flagged_total", TOTAL, type,              \
			mapper.flagged, 1,                                     \
			"Fields that broke a rule and were flagged."),         \
	    COUNTER_ROW("weft_fields_nulled_total", TOTAL, type,               \
			mapper.nulled, 1,                                      \
			"Fields that broke a rule and were set to null.")

#define LOG_ROWS(type)                                                         \
	COUNTER_ROW("weft_spool_backlog_bytes", GAUGE, type, backlog_bytes, 1, \
		    "Bytes in the log that are not delivered yet."),           \
	    COUNTER_ROW(                                                       \
		"weft_spool_oldest_seconds", GAUGE, type, oldest_us, 1e-6,     \
		"Age of the oldest record that is not delivered yet."),        \
	    COUNTER_ROW("weft_spool_disk_bytes", GAUGE, type, spool.bytes, 1,  \
			"Bytes that the log takes on disk."),                  \
	    COUNTER_ROW("weft_spool_cap_bytes", GAUGE, type, spool.cap_bytes,  \
			1, "Bytes that the log may take on disk."),            \
	    COUNTER_ROW("weft_spool_commits_total", TOTAL, type,               \
			spool.commits, 1, "Commits (fdatasync) of the log."),  \
	    COUNTER_ROW("weft_spool_commit_seconds_total", TOTAL, type,        \
			spool.commit_us, 1e-6,                                 \
			"Time spent in commits of the log."),                  \
	    COUNTER_ROW("weft_spool_failures_total", TOTAL, type,              \
			spool.failures, 1,                                     \
			"Writes and syncs of the log that failed."),           \
	    COUNTER_ROW("weft_spool_bad_records_total", TOTAL, type,           \
			spool.bad_records, 1,                                  \
			"Records of the log that could not be read.")

/* Whoever calls destinations has families `circuits` and `circuits_opened`,
 * with the label destination. */
#define CIRCUIT_COUNTER_ROWS(type)                                        \
	{"weft_circuit_state",                                            \
	 COUNTER_LABELLED_GAUGE,                                          \
	 offsetof(type, circuits),                                        \
	 "destination",                                                   \
	 1,                                                               \
	 "The circuit of a destination: 0 closed, 1 half-open, 2 open."}, \
	{                                                                 \
		"weft_circuit_opened_total", COUNTER_LABELLED,            \
		    offsetof(type, circuits_opened), "destination", 1,    \
		    "Times that the circuit of a destination opened."     \
	}

#endif
