/*
 * What fuzz targets share. A target is one file fuzz_<x>.c with
 * LLVMFuzzerTestOneInput(): given any bytes it neither crashes, nor leaks, nor
 * hangs, nor breaks what it checks itself. Seeds are in tests/fuzz/corpus/<x>/.
 * Built by clang it looks for bad inputs (make fuzz); with driver.c and gcc it
 * runs the seeds (make check).
 */
#ifndef WEFT_TESTS_FUZZ_H
#define WEFT_TESTS_FUZZ_H

#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* What must hold whatever came in; a libFuzzer run keeps the input. */
#define FUZZ_CHECK(condition)                                            \
	do {                                                             \
		if (!(condition)) {                                      \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
				__LINE__, #condition);                   \
			abort();                                         \
		}                                                        \
	} while (0)

/* Bytes that are taken from the front of an input, as long as there are any. */
struct fuzz_bytes {
	const uint8_t *at;
	size_t left;
};

static inline uint64_t fuzz_take(struct fuzz_bytes *b, size_t bytes)
{
	uint64_t value = 0;

	if (bytes > b->left)
		bytes = b->left;
	memcpy(&value, b->at, bytes);
	b->at += bytes;
	b->left -= bytes;
	return value;
}

/* Sets a checksum right, so that what is behind it is reached. */
static inline void fuzz_put_crc(uint8_t *at, const uint8_t *data, size_t bytes)
{
	uint32_t crc = crc32c(0, data, bytes);

	memcpy(at, &crc, sizeof(crc));
}

static inline void fuzz_empty(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		char *path;

		if (entry->d_name[0] == '.' &&
		    (!entry->d_name[1] || entry->d_name[1] == '.'))
			continue;
		path = xasprintf("%s/%s", dir, entry->d_name);
		if (unlink(path) != 0) {
			fuzz_empty(path);
			rmdir(path);
		}
		free(path);
	}
	if (d)
		closedir(d);
}

static char fuzz_dir[64];

static inline void fuzz_remove_folder(void)
{
	fuzz_empty(fuzz_dir);
	rmdir(fuzz_dir);
}

/* A folder of this process in memory, gone at its end. */
static inline const char *fuzz_folder(void)
{
	if (!fuzz_dir[0]) {
		snprintf(fuzz_dir, sizeof(fuzz_dir), "%s/weft-fuzz-XXXXXX",
			 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		FUZZ_CHECK(mkdtemp(fuzz_dir));
		atexit(fuzz_remove_folder);
	}
	return fuzz_dir;
}

static inline void fuzz_write(const char *path, const void *data, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	FUZZ_CHECK(fd >= 0);
	FUZZ_CHECK(write(fd, data, bytes) == (ssize_t)bytes);
	close(fd);
}

#endif
