/* pipelinectl config: what is in force, and where each value comes from. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "services/kinds.h"
#include "services/pipelinectl/cmd.h"

static int print(const char *path, bool json)
{
	struct conf_report report = {0};
	struct buf out = {0};
	struct conf *conf;
	int rc = conf_load(&conf, path, &weft_kinds, &report);

	fprintf(stderr, "%s", buf_str(&report.lines));
	conf_report_free(&report);
	if (rc == -1)
		return CMD_FAILED;
	conf_print(conf, json, &out);
	fwrite(out.data, 1, out.used, stdout);
	buf_free(&out);
	conf_free(&conf);
	return CMD_OK;
}

int cmd_config(int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0}};
	const char *path = conf_default_path();
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		if (c == 'c')
			path = optarg;
		else if (c == 'j')
			json = true;
		else
			return cmd_usage_error("config", "%s", "");
	}
	if (optind < argc)
		return cmd_usage_error("config", "unexpected '%s'",
				       argv[optind]);
	return print(path, json);
}
