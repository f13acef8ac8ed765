/* What the files of kafka/ share. */
#ifndef WEFT_KAFKA_INSIDE_H
#define WEFT_KAFKA_INSIDE_H

#include <librdkafka/rdkafka.h>

#include "kafka/kafka.h"

/* A configuration for rd_kafka_new(), owned by the caller. NULL with *err. */
rd_kafka_conf_t *settings_new(const struct kafka_options *options,
			      struct err *err);

/* Reads librdkafka's statistics. -1 when they are not as expected. */
int stats_read(const char *json, size_t bytes,
	       struct kafka_stats *stats) MUST_CHECK;

#endif
