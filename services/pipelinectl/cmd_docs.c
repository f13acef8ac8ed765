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

/* The keys of a service; false when there is no such service. */
static bool write_keys(const char *service, struct buf *out)
{
	for (size_t i = 0; i < weft_kinds.count; i++) {
		const struct conf_kind *kind = &weft_kinds.kinds[i];

		if (strcmp(service, kind->name) != 0)
			continue;
		conf_write_man_keys(kind->conf, out);
		return true;
	}
	return false;
}

static int print(struct buf *out)
{
	fwrite(out->data, 1, out->used, stdout);
	buf_free(out);
	return CMD_OK;
}

int cmd_docs(int argc, char **argv)
{
	struct buf out = {0};

	if (argc == 3 && strcmp(argv[1], "keys") == 0) {
		if (write_keys(argv[2], &out))
			return print(&out);
		return cmd_usage_error("docs", "there is no service '%s'",
				       argv[2]);
	}
	if (argc != 2)
		return cmd_usage_error("docs", "%s",
				       argc < 2 ? "which document?"
						: "one document at a time");
	for (size_t i = 0; i < sizeof(documents) / sizeof(*documents); i++) {
		if (strcmp(argv[1], documents[i].name) != 0)
			continue;
		documents[i].write(&weft_kinds, &out);
		return print(&out);
	}
	return cmd_usage_error("docs", "there is no document '%s'", argv[1]);
}
