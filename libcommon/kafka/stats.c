/* librdkafka tells about itself in JSON (its STATISTICS.md). */
#include <cjson/cJSON.h>
#include <string.h>

#include "kafka/inside.h"

static int64_t number(const cJSON *object, const char *name)
{
	const cJSON *n = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsNumber(n) ? (int64_t)n->valuedouble : 0;
}

static void most(int64_t *of, int64_t value)
{
	*of = value > *of ? value : *of;
}

static void add_broker(const cJSON *broker, struct kafka_stats *stats)
{
	const cJSON *state = cJSON_GetObjectItemCaseSensitive(broker, "state");
	const cJSON *rtt = cJSON_GetObjectItemCaseSensitive(broker, "rtt");
	const cJSON *throttle =
	    cJSON_GetObjectItemCaseSensitive(broker, "throttle");

	/* Addresses to start from are listed too, as broker -1. */
	if (number(broker, "nodeid") >= 0 && cJSON_IsString(state) &&
	    strcmp(state->valuestring, "UP") == 0)
		stats->brokers_up++;
	stats->retries += number(broker, "txretries");
	most(&stats->round_trip_us, number(rtt, "avg"));
	most(&stats->throttled_us, 1000 * number(throttle, "avg"));
}

int stats_read(const char *json, size_t bytes, struct kafka_stats *stats)
{
	cJSON *all = cJSON_ParseWithLength(json, bytes);
	const cJSON *brokers, *broker;

	*stats = (struct kafka_stats){0};
	brokers = cJSON_GetObjectItemCaseSensitive(all, "brokers");
	stats->queued = number(all, "msg_cnt");
	cJSON_ArrayForEach (broker, brokers) {
		add_broker(broker, stats);
	}
	cJSON_Delete(all);
	return brokers ? 0 : -1;
}
