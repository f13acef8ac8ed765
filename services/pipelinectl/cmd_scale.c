/* scale: another number of instances of one service. */
#include <stdio.h>

#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/control.h"

static void say(const cJSON *answer)
{
	int before = (int)control_number(answer, "before", 0);
	int now = (int)control_number(answer, "instances", 0);
	int configured = (int)control_number(answer, "configured", 0);

	printf("%s runs with %d instance%s", control_text(answer, "service"),
	       now, now == 1 ? "" : "s");
	if (before == now)
		printf(", as before");
	else
		printf(" instead of %d", before);
	if (configured != now)
		printf("; the configuration says %d, and a start goes by that",
		       configured);
	putchar('\n');
}

int cmd_scale(int argc, char **argv)
{
	cJSON *request, *answer;
	struct options o;
	int rc = options_read(argc, argv,
			      OPTIONS_JSON | OPTIONS_TIMEOUT | OPTIONS_TARGET |
				  OPTIONS_COUNT,
			      &o);

	if (rc != 0)
		return rc;
	if (!o.count)
		return cmd_usage_error(argv[0], "say which service, and how "
						"many instances of it");
	if (o.target.instance >= 0)
		return cmd_usage_error(argv[0],
				       "'%s' is one instance; name the service",
				       o.target_text);
	request = control_request("scale", &o);
	cJSON_AddNumberToObject(request, "instances", o.count);
	rc = control_simply(&o, &request, &answer);
	if (rc != CMD_OK)
		return rc;
	if (o.json) {
		control_print(&answer);
		return CMD_OK;
	}
	say(answer);
	cJSON_Delete(answer);
	return CMD_OK;
}
