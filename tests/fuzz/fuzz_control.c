/*
 * Requests on weftd's control socket and notices on its notify socket; the
 * first byte: bit 0 a notice. What a request would do is left out.
 * LINK: services/supervisor/requests.c
 * LINK: services/supervisor/requests_status.c
 * LINK: services/supervisor/notify.c
 * LINK: services/supervisor/child.c
 * LINK: services/supervisor/unix_socket.c
 */
#include "tests/fuzz/fuzz.h"

#include <cjson/cJSON.h>
#include <errno.h>

#include "services/kinds.h"
#include "services/supervisor/requests_inside.h"

void instance_event(struct supervisor *s, struct instance *i,
		    enum child_event event)
{
	(void)s;
	(void)i;
	(void)event;
}

int scale_row(struct supervisor *s, const char *row, uint32_t instances,
	      struct err *err)
{
	FUZZ_CHECK(conf_find_service(s->conf, row) && instances);
	return err_set(err, EINVAL, "not here");
}

bool scale_is_done(const struct supervisor *s, const char *row, bool *failed)
{
	(void)s;
	(void)row;
	*failed = false;
	return true;
}

uint32_t scale_configured(const struct supervisor *s,
			  const struct conf_service *row)
{
	(void)s;
	return row->instances;
}

void supervisor_reload(struct supervisor *s, struct cJSON *answer)
{
	(void)s;
	cJSON_AddBoolToObject(answer, "ok", true);
}

bool start_complete(const struct supervisor *s)
{
	(void)s;
	return true;
}

void start_explain(const struct instance *i, struct buf *out)
{
	(void)i;
	buf_text(out, "?");
}

void shutdown_begin(struct supervisor *s, const char *why, int exit_code)
{
	(void)s;
	(void)why;
	(void)exit_code;
}

/* A pipeline with one instance of each service of the defaults. */
static struct supervisor *supervisor(void)
{
	static struct supervisor s;
	struct conf_report report = {0};

	if (s.conf)
		return &s;
	FUZZ_CHECK(conf_load(&s.conf, NULL, &weft_kinds, &report) == 0);
	conf_report_free(&report);
	s.kinds = &weft_kinds;
	s.started_with = s.conf;
	s.instances = xcalloc(s.conf->service_count, sizeof(*s.instances));
	for (uint32_t i = 0; i < s.conf->service_count; i++) {
		struct instance *one = xcalloc(1, sizeof(*one));

		one->row = s.conf->services[i].name;
		one->kind = s.conf->services[i].kind;
		snprintf(one->label, sizeof(one->label), "%.50s.0", one->row);
		s.instances[s.instance_count++] = one;
	}
	return &s;
}

static void run_request(const char *line, size_t bytes)
{
	struct supervisor *s = supervisor();
	struct buf answer = {0};
	struct request r;

	request_begin(s, line, bytes, &r, &answer);
	FUZZ_CHECK(memchr(r.row, '\0', sizeof(r.row)));
	if (r.wait != WAIT_NOTHING)
		request_poll(s, &r, INT64_MAX, &answer);
	/* An answer is lines of JSON. */
	if (answer.used)
		FUZZ_CHECK(answer.data[answer.used - 1] == '\n' &&
			   answer.data[0] == '{');
	buf_free(&answer);
}

static void run_notice(const char *data, size_t bytes)
{
	struct notice notice;

	if (bytes > NOTICE_MAX_BYTES)
		bytes = NOTICE_MAX_BYTES;
	if (notice_parse(data, bytes, &notice) == 0)
		FUZZ_CHECK(memchr(notice.status, '\0', NOTICE_STATUS_BYTES));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_bytes input = {data, bytes};
	uint64_t how = fuzz_take(&input, 1);

	if (how & 1)
		run_notice((const char *)input.at, input.left);
	else
		run_request((const char *)input.at, input.left);
	return 0;
}
