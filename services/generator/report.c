#include "services/generator/report.h"

#include "base/clock.h"

cJSON *report_json(struct sender *sender, bool running)
{
	const struct sender_result *r = sender_result(sender);
	int64_t end = r->ended_mono_us ? r->ended_mono_us : clock_mono_us();
	double seconds = (double)(end - r->started_mono_us) / 1e6;
	cJSON *json = cJSON_CreateObject(), *part;

	cJSON_AddBoolToObject(json, "running", running);
	cJSON_AddNumberToObject(json, "sent", (double)r->sent);
	cJSON_AddNumberToObject(json, "accepted", (double)r->accepted);
	part = cJSON_AddObjectToObject(json, "rejected");
	for (int i = FAULT_NONE + 1; i < FAULT_COUNT; i++)
		cJSON_AddNumberToObject(part,
					event_fault_code((enum event_fault)i),
					(double)r->rejected[i]);
	cJSON_AddNumberToObject(json, "mismatches", (double)r->mismatches);
	cJSON_AddNumberToObject(json, "requests", (double)r->requests);
	cJSON_AddNumberToObject(json, "retries", (double)r->retries);
	cJSON_AddNumberToObject(json, "seconds", seconds);
	cJSON_AddNumberToObject(json, "events_per_second",
				seconds > 0 ? (double)r->sent / seconds : 0);
	part = cJSON_AddObjectToObject(json, "latency_ms");
	cJSON_AddNumberToObject(part, "p50",
				(double)sender_latency(sender, 0.5) / 1000);
	cJSON_AddNumberToObject(part, "p99",
				(double)sender_latency(sender, 0.99) / 1000);
	return json;
}
