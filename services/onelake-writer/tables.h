/* Configuration and counters of the writer. */
#ifndef WEFT_SERVICES_ONELAKE_WRITER_TABLES_H
#define WEFT_SERVICES_ONELAKE_WRITER_TABLES_H

#include <stdint.h>

#include "bus/bus.h"
#include "conf/conf.h"
#include "spool/spool.h"

enum codec_choice { CODEC_ZSTD, CODEC_SNAPPY, CODEC_UNCOMPRESSED };

struct onelake_writer_conf {
	char *lake;
	char *identity;
	char *tables;
	char *schema;
	int64_t flush;
	int64_t flush_size;
	int codec; /* enum codec_choice */
	int64_t memory_limit;
	int64_t dedup_window;
	int64_t retry_window;
	int64_t dedup_memory;
	int64_t compare_cache;
	int64_t checkpoint_interval;
	bool archive;
	int64_t segment_size;
	int64_t log_cap;
	int64_t log_reserve;
	int64_t cache_size;
	int64_t commit_interval;
	int64_t retry_first;
	int64_t retry_max;
	int64_t circuit_threshold;
	int64_t circuit_cool_down;
	int64_t side_log_cap;
};

struct onelake_writer_counters {
	struct bus_stats bus;
	struct spool_stats spool;
	uint64_t sent;			/* events that are in their tables */
	int64_t buffered;		/* events on their way there */
	struct counter_histogram flush; /* handed to the worker -> committed */
	struct counter_family *failed;	/* events, by kind of error */
	struct counter_histogram end_to_end; /* accepted -> row */
	uint64_t other;			     /* events that no table wants */
	uint64_t commits, conflicts, duplicates, compared;
	uint64_t rows, files, bytes;
	uint64_t failures;
	int64_t waiting_tables;
	struct counter_family *circuits, *circuits_opened;
	struct counter_family *side_bytes; /* by table */
	struct counter_family *table_rows; /* by table */
	int64_t backlog_bytes;		   /* in the log, not in the tables */
	int64_t oldest_us;		   /* age of the oldest of it */
};

extern const struct conf_table onelake_writer_conf_table;
extern const struct counter_table onelake_writer_counter_table;

#endif
