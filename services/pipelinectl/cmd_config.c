/* pipelinectl config: what is in force, and where each value comes from. */
#include <stdbool.h>
#include <stdio.h>

#include "services/kinds.h"
#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/options.h"

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
	struct options o;
	int rc = options_read(argc, argv, OPTIONS_JSON, &o);

	return rc ? rc : print(o.config, o.json);
}
