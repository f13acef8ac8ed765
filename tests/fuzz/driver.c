/* Runs a fuzz target over files and folders of them, without libFuzzer. */
#include "tests/fuzz/fuzz.h"

static size_t runs;

static void run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	long bytes;

	if (!f || fseek(f, 0, SEEK_END) != 0 || (bytes = ftell(f)) < 0) {
		perror(path);
		exit(2);
	}
	rewind(f);
	/* Of the very size, so that a read beyond it is seen. */
	data = xmalloc((size_t)bytes ? (size_t)bytes : 1);
	if (fread(data, 1, (size_t)bytes, f) != (size_t)bytes) {
		perror(path);
		exit(2);
	}
	fclose(f);
	fprintf(stderr, "input %s\n", path);
	LLVMFuzzerTestOneInput(data, (size_t)bytes);
	free(data);
	runs++;
}

static void run_path(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *entry;

	if (!d) {
		run_file(path);
		return;
	}
	while ((entry = readdir(d))) {
		char *inner = xasprintf("%s/%s", path, entry->d_name);

		if (entry->d_name[0] != '.')
			run_path(inner);
		free(inner);
	}
	closedir(d);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		run_path(argv[i]);
	if (!runs) {
		fprintf(stderr, "%s: no input\n", argv[0]);
		return 2;
	}
	printf("%zu inputs\n", runs);
	return 0;
}
