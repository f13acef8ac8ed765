#include <cjson/cJSON.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "contract/contract.h"
#include "services/supervisor/supervisor.h"

static bool needs_contracts(const struct conf *conf)
{
	for (uint32_t i = 0; i < conf->service_count; i++)
		if (conf->services[i].kind->flags & (KIND_SOURCE | KIND_RELAY))
			return true;
	return false;
}

/* Said here, or each service would refuse what was called taken over. */
static int check_versions(const struct conf *conf,
			  const struct contract_set *set, struct buf *problems)
{
	char *pins = xasprintf("%s/contracts", conf->pipeline->state_dir);
	struct err err;
	int rc = contract_set_check_versions(set, pins, &err);

	if (rc != 0)
		buf_printf(problems, "%s\n", err.text);
	free(pins);
	return rc;
}

static int check_contracts(const struct conf *conf, struct buf *problems)
{
	/* Compiled only to see whether they are right: the mask's key does not
	 * matter to that, and weftd has no use for the real one. */
	static const uint8_t any_secret[32] = {0};
	struct contract_report report = {0};
	struct contract_set *set = NULL;
	int rc;

	if (!needs_contracts(conf))
		return 0;
	rc = contract_set_load(&set, conf->pipeline->contracts, any_secret,
			       sizeof(any_secret), &report);
	if (rc != 0)
		buf_append(problems, report.lines.data, report.lines.used);
	else
		rc = check_versions(conf, set, problems);
	contract_set_unref(&set);
	contract_report_free(&report);
	return rc;
}

int supervisor_load(struct supervisor *s, struct conf **conf,
		    struct buf *problems)
{
	struct conf_report report = {0};
	int rc = conf_load(conf, s->config_path, s->kinds, &report);

	/* Its warnings too. */
	buf_append(problems, report.lines.data, report.lines.used);
	conf_report_free(&report);
	if (rc == 0 && check_contracts(*conf, problems) != 0) {
		conf_free(conf);
		rc = -1;
	}
	return rc;
}

/* What no process can follow while it runs. */
static bool moved(const struct conf *old, const struct conf *new, cJSON *answer)
{
	const struct conf_pipeline *a = old->pipeline, *b = new->pipeline;
	const char *key =
	    !changes_same_text(a->run_dir, b->run_dir)	     ? "run_dir"
	    : !changes_same_text(a->state_dir, b->state_dir) ? "state_dir"
	    : !changes_same_text(a->log_dir, b->log_dir)     ? "log_dir"
							     : NULL;
	char *text;

	if (!key)
		return false;
	text = xasprintf("pipeline.%s cannot change while the pipeline runs; "
			 "nothing was changed: stop it, then start it again",
			 key);
	cJSON_AddFalseToObject(answer, "ok");
	cJSON_AddStringToObject(answer, "code", "refused");
	cJSON_AddStringToObject(answer, "error", text);
	free(text);
	return true;
}

static void refuse(cJSON *answer, const char *error, const char *lines)
{
	cJSON_AddFalseToObject(answer, "ok");
	cJSON_AddStringToObject(answer, "code", "refused");
	cJSON_AddStringToObject(answer, "error", error);
	if (lines)
		cJSON_AddStringToObject(answer, "lines", lines);
}

static void list_changes(const struct supervisor *s, uint32_t before,
			 cJSON *answer)
{
	cJSON *started = cJSON_AddArrayToObject(answer, "started");
	cJSON *stopped = cJSON_AddArrayToObject(answer, "stopped");

	for (uint32_t n = 0; n < s->instance_count; n++) {
		const struct instance *i = s->instances[n];

		if (n >= before)
			cJSON_AddItemToArray(started,
					     cJSON_CreateString(i->label));
		else if (i->leaving)
			cJSON_AddItemToArray(stopped,
					     cJSON_CreateString(i->label));
	}
}

static void signal_children(const struct supervisor *s, uint32_t count)
{
	for (uint32_t n = 0; n < count; n++)
		instance_reload(s->instances[n]);
}

/* Takes *conf over, and the old one back into it when that cannot be. */
static int switch_to(struct supervisor *s, struct conf **conf, struct err *err)
{
	struct conf *old = s->conf;
	uint32_t before = s->instance_count;

	scale_overlay(s, *conf);
	s->conf = *conf;
	if (plan_apply(s, err) == 0 && topology_write(s, err) == 0) {
		*conf = old;
		scale_overlaid(s, true);
		return 0;
	}
	s->conf = old;
	scale_overlaid(s, false);
	plan_shrink(s, before);
	return -1;
}

static void log_refusal(const cJSON *answer)
{
	const cJSON *error = cJSON_GetObjectItem(answer, "error");
	const cJSON *lines = cJSON_GetObjectItem(answer, "lines");
	char a[LOG_QUOTE_BYTES], b[LOG_QUOTE_BYTES];

	if (error)
		log_error("reload_refused", "error=%s problems=%s",
			  log_quote(a, error->valuestring),
			  log_quote(b, lines ? lines->valuestring : ""));
}

/* The children that run were told the old watchdog interval at their start. */
static void take_policy(struct supervisor *s)
{
	int64_t watchdog_us = s->policy.watchdog_us;

	s->policy = plan_policy(s->conf);
	s->policy.watchdog_us = watchdog_us;
}

void supervisor_reload(struct supervisor *s, cJSON *answer)
{
	uint32_t before = s->instance_count;
	struct buf problems = {0};
	struct conf *conf = NULL;
	struct err err;

	if (supervisor_load(s, &conf, &problems) != 0) {
		refuse(answer,
		       "the configuration was refused; the pipeline goes on "
		       "with the one it has",
		       buf_str(&problems));
		goto out;
	}
	if (moved(s->conf, conf, answer))
		goto out;
	if (switch_to(s, &conf, &err) != 0) {
		refuse(answer, err.text, NULL);
		goto out;
	}
	/* conf is the old one now, and some processes still run with it. */
	changes_keep(s, &conf);
	take_policy(s);
	signal_children(s, before);
	plan_start(s);
	cJSON_AddTrueToObject(answer, "ok");
	list_changes(s, before, answer);
	changes_list(s, cJSON_AddArrayToObject(answer, "needs_restart"));
	plan_sort(s);
	log_info("reloaded", "generation=%llu",
		 (unsigned long long)s->generation);
out:
	log_refusal(answer);
	conf_free(&conf);
	buf_free(&problems);
}

void supervisor_reload_logged(struct supervisor *s)
{
	cJSON *answer;

	if (s->stopping)
		return;
	answer = cJSON_CreateObject();
	supervisor_reload(s, answer);
	cJSON_Delete(answer);
}
