#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/control.h"
#include "services/pipelinectl/stats.h"

enum column {
	COL_SERVICE,
	COL_PID,
	COL_STATE,
	COL_UPTIME,
	COL_RESTARTS,
	COL_IN,
	COL_OUT,
	COL_LOG,
	COL_STATUS,
	COLUMNS,
};

static const char *const titles[COLUMNS] = {
    "SERVICE", "PID",	"STATE", "UPTIME", "RESTARTS",
    "IN/S",    "OUT/S", "LOG",	 "STATUS",
};

#define CELL_BYTES 300

struct row {
	char cells[COLUMNS][CELL_BYTES];
};

static bool is_right(enum column c)
{
	return c == COL_PID || c == COL_UPTIME || c == COL_RESTARTS ||
	       c == COL_IN || c == COL_OUT || c == COL_LOG;
}

/* "45s", "12m03s", "3h07m", "9d21h"; "-" for none. */
static void put_age(char cell[CELL_BYTES], double ms)
{
	long s = (long)(ms / 1000);

	if (ms < 0)
		snprintf(cell, CELL_BYTES, "-");
	else if (s < 60)
		snprintf(cell, CELL_BYTES, "%lds", s);
	else if (s < 3600)
		snprintf(cell, CELL_BYTES, "%ldm%02lds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(cell, CELL_BYTES, "%ldh%02ldm", s / 3600, s / 60 % 60);
	else
		snprintf(cell, CELL_BYTES, "%ldd%02ldh", s / 86400,
			 s / 3600 % 24);
}

static void put_rate(char cell[CELL_BYTES], const cJSON *of, const char *name)
{
	double rate = control_number(of, name, -1);

	if (rate < 0)
		snprintf(cell, CELL_BYTES, "-");
	else
		snprintf(cell, CELL_BYTES, "%.0f", rate);
}

/* Three digits and a unit: "0", "812 KiB", "1.4 GiB". */
static void put_bytes(char cell[CELL_BYTES], double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	unsigned u = 0;

	for (; bytes >= 1000 && u < 4; u++)
		bytes /= 1024;
	if (bytes < 0)
		snprintf(cell, CELL_BYTES, "-");
	else
		snprintf(cell, CELL_BYTES, "%.*f %s", u && bytes < 10 ? 1 : 0,
			 bytes, units[u]);
}

static void fill(struct row *r, const cJSON *process, const cJSON *numbers)
{
	double pid = control_number(process, "pid", -1);

	snprintf(r->cells[COL_SERVICE], CELL_BYTES, "%s.%d",
		 control_text(process, "service"),
		 (int)control_number(process, "instance", 0));
	if (pid < 0)
		snprintf(r->cells[COL_PID], CELL_BYTES, "-");
	else
		snprintf(r->cells[COL_PID], CELL_BYTES, "%.0f", pid);
	snprintf(r->cells[COL_STATE], CELL_BYTES, "%s",
		 control_text(process, "state"));
	put_age(r->cells[COL_UPTIME], control_number(process, "uptime_ms", -1));
	snprintf(r->cells[COL_RESTARTS], CELL_BYTES, "%.0f",
		 control_number(process, "restarts", 0));
	put_rate(r->cells[COL_IN], numbers, "events_in_per_s");
	put_rate(r->cells[COL_OUT], numbers, "events_out_per_s");
	put_bytes(r->cells[COL_LOG], control_number(numbers, "log_bytes", -1));
	snprintf(r->cells[COL_STATUS], CELL_BYTES, "%s",
		 control_text(process, "status"));
}

/* https://no-color.org: any value but an empty one turns colour off. */
static bool wants_colour(void)
{
	const char *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) &&
	       !(term && strcmp(term, "dumb") == 0);
}

static const char *colour_of(const char *state)
{
	if (strcmp(state, "ready") == 0)
		return "\033[32m";
	if (strcmp(state, "failed") == 0)
		return "\033[1;31m";
	if (strcmp(state, "stopped") == 0)
		return "\033[2m";
	return "\033[33m";
}

static void print_row(const struct row *r, const int widths[COLUMNS],
		      bool colour)
{
	for (enum column c = 0; c < COLUMNS; c++) {
		const char *cell = r->cells[c];
		bool painted = colour && c == COL_STATE;

		if (c == COL_STATUS) {
			printf("%s%s\n", *cell ? "  " : "", cell);
			continue;
		}
		printf("%s%s%*s%s", c ? "  " : "",
		       painted ? colour_of(cell) : "",
		       is_right(c) ? widths[c] : -widths[c], cell,
		       painted ? "\033[0m" : "");
	}
}

static void print_table(const cJSON *list, const cJSON *snapshot)
{
	size_t count = (size_t)cJSON_GetArraySize(list), n = 1;
	struct row *rows = xcalloc(count + 1, sizeof(*rows));
	int widths[COLUMNS] = {0};
	const cJSON *one;

	for (enum column c = 0; c < COLUMNS; c++)
		snprintf(rows[0].cells[c], CELL_BYTES, "%s", titles[c]);
	cJSON_ArrayForEach (one, list)
		fill(&rows[n++], one,
		     stats_of(snapshot, control_text(one, "service"),
			      (int)control_number(one, "instance", 0)));
	for (size_t i = 0; i <= count; i++)
		for (enum column c = 0; c < COL_STATUS; c++) {
			int bytes = (int)strlen(rows[i].cells[c]);

			widths[c] = bytes > widths[c] ? bytes : widths[c];
		}
	for (size_t i = 0; i <= count; i++)
		print_row(&rows[i], widths, i > 0 && wants_colour());
	free(rows);
}

static void print_head(const cJSON *status)
{
	const char *config = control_text(status, "config");
	char age[CELL_BYTES];

	put_age(age, control_number(status, "uptime_ms", -1));
	printf("%s is %s: weftd %s, pid %.0f, up %s, %s\n\n",
	       control_text(status, "pipeline"), control_text(status, "state"),
	       control_text(status, "version"),
	       control_number(status, "pid", 0), age,
	       config[0] ? config : "built-in defaults");
}

static void print_scaled(const cJSON *list)
{
	const cJSON *one;

	if (cJSON_GetArraySize(list))
		putchar('\n');
	cJSON_ArrayForEach (one, list)
		printf("%s was scaled to %d; the configuration says %d, and a "
		       "start goes by that\n",
		       control_text(one, "service"),
		       (int)control_number(one, "instances", 0),
		       (int)control_number(one, "configured", 0));
}

/* Destinations that are not called now, and what waits for them. */
static void print_troubles(const cJSON *list, const cJSON *snapshot)
{
	const cJSON *process, *one;
	char bytes[CELL_BYTES];
	bool any = false;

	cJSON_ArrayForEach (process, list) {
		const char *service = control_text(process, "service");
		int i = (int)control_number(process, "instance", 0);
		const cJSON *numbers = stats_of(snapshot, service, i);

		cJSON_ArrayForEach (one,
				    cJSON_GetObjectItem(numbers, "circuits")) {
			if (strcmp(control_text(one, "state"), "closed") == 0)
				continue;
			printf("%s%s.%d: the circuit of %s is %s\n",
			       any ? "" : "\n", service, i,
			       control_text(one, "destination"),
			       control_text(one, "state"));
			any = true;
		}
		cJSON_ArrayForEach (one,
				    cJSON_GetObjectItem(numbers, "side_logs")) {
			put_bytes(bytes, control_number(one, "bytes", 0));
			printf("%s%s.%d: table %s is set aside, its side log "
			       "holds %s\n",
			       any ? "" : "\n", service, i,
			       control_text(one, "table"), bytes);
			any = true;
		}
	}
}

/* For programs: each process with its numbers, null where there are none. */
static void join(cJSON *list, const cJSON *snapshot)
{
	cJSON *one;

	cJSON_ArrayForEach (one, list) {
		const cJSON *numbers =
		    stats_of(snapshot, control_text(one, "service"),
			     (int)control_number(one, "instance", 0));

		if (numbers)
			cJSON_AddItemToObject(one, "stats",
					      cJSON_Duplicate(numbers, true));
		else
			cJSON_AddNullToObject(one, "stats");
	}
}

static int failed_among(const cJSON *list)
{
	const cJSON *one;

	cJSON_ArrayForEach (one, list) {
		if (strcmp(control_text(one, "state"), "failed") == 0)
			return CMD_FAILED;
	}
	return CMD_OK;
}

int cmd_status(int argc, char **argv)
{
	cJSON *request, *status, *snapshot = NULL, *list;
	struct place place;
	struct options o;
	struct err err;
	int rc = options_read(argc, argv, OPTIONS_JSON | OPTIONS_TARGET, &o);

	if (rc != 0)
		return rc;
	request = control_request("status", &o);
	rc = control_simply(&o, &request, &status);
	if (rc != CMD_OK)
		return rc;
	if (place_find(&place, o.config, &err) == 0)
		snapshot = stats_fetch(&place);
	place_free(&place);
	list = cJSON_GetObjectItem(status, "services");
	rc = failed_among(list);
	if (o.json) {
		join(list, snapshot);
		control_print(&status);
	} else {
		print_head(status);
		print_table(list, snapshot);
		print_troubles(list, snapshot);
		print_scaled(cJSON_GetObjectItem(status, "scaled"));
	}
	cJSON_Delete(snapshot);
	cJSON_Delete(status);
	return rc;
}
