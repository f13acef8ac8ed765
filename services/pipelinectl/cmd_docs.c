/* pipelinectl docs: the documents that the tables of keys make. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "services/kinds.h"
#include "services/pipelinectl/cmd.h"

static const struct document {
	const char *name;
	void (*write)(const struct conf_kinds *kinds, struct buf *out);
} documents[] = {
    {"sample", conf_write_sample},
    {"manual", conf_write_manual},
    {"man", conf_write_man},
};

int cmd_docs(int argc, char **argv)
{
	struct buf out = {0};

	if (argc != 2)
		return cmd_usage_error("docs", "%s",
				       argc < 2 ? "which document?"
						: "one document at a time");
	for (size_t i = 0; i < sizeof(documents) / sizeof(*documents); i++) {
		if (strcmp(argv[1], documents[i].name) != 0)
			continue;
		documents[i].write(&weft_kinds, &out);
		fwrite(out.data, 1, out.used, stdout);
		buf_free(&out);
		return CMD_OK;
	}
	return cmd_usage_error("docs", "there is no document '%s'", argv[1]);
}
