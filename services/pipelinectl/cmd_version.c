/* pipelinectl version: of Weft, and of what it was built with. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/options.h"

/* "libzmq 4.3.5 zlib 1.3 …", as pkg-config said when it was built. */
static const char libraries[] = WEFT_LIBRARIES;

/* Cuts the next word off *at; its length, 0 at the end. */
static int next_word(const char **at, const char **word)
{
	size_t n;

	*at += strspn(*at, " ");
	*word = *at;
	n = strcspn(*at, " ");
	*at += n;
	return (int)n;
}

static void print_libraries(bool json)
{
	const char *at = libraries, *name, *version;
	bool first = true;

	for (;;) {
		int name_bytes = next_word(&at, &name);
		int version_bytes = next_word(&at, &version);

		if (!version_bytes)
			return;
		if (json)
			printf("%s\"%.*s\":\"%.*s\"", first ? "" : ",",
			       name_bytes, name, version_bytes, version);
		else
			printf("  %-12.*s %.*s\n", name_bytes, name,
			       version_bytes, version);
		first = false;
	}
}

int cmd_version(int argc, char **argv)
{
	struct options o;
	int rc = options_read(argc, argv, OPTIONS_JSON, &o);

	if (rc)
		return rc;
	if (o.json) {
		printf("{\"version\":\"%s\",\"compiler\":\"%s\","
		       "\"libraries\":{",
		       WEFT_VERSION, __VERSION__);
		print_libraries(true);
		printf("}}\n");
		return CMD_OK;
	}
	printf("Weft %s, built by compiler %s with\n", WEFT_VERSION,
	       __VERSION__);
	print_libraries(false);
	return CMD_OK;
}
