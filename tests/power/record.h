/*
 * What tests/preload/recorddisk.c offers to the program that it records, and
 * the trace that it writes: a record_head, then `name`, `more` and `data`, of
 * all that changes the folder $WEFT_RECORD_ROOT, in order. Paths are relative
 * to that folder; files are known by their inode.
 *
 * Without the shim the functions are NULL.
 */
#ifndef WEFT_TESTS_POWER_RECORD_H
#define WEFT_TESTS_POWER_RECORD_H

#include <stddef.h>
#include <stdint.h>

enum record_kind {
	RECORD_CREATE = 1, /* ino, name */
	RECORD_WRITE,	   /* ino, a = offset, data */
	RECORD_TRUNCATE,   /* ino, a = size */
	RECORD_ALLOCATE,   /* ino, a = offset, b = bytes: the file grows */
	RECORD_RENAME,	   /* name to more */
	RECORD_LINK,	   /* name gets another name, more */
	RECORD_UNLINK,	   /* name */
	RECORD_MKDIR,	   /* name */
	RECORD_RMDIR,	   /* name */
	/* A sync covers the first a records of the trace: what was done when
	 * it began. b = errno, 0 when it succeeded. */
	RECORD_SYNC,	 /* ino, a, b */
	RECORD_SYNC_DIR, /* name, a, b */
	RECORD_SYNC_ALL, /* a, b */
	RECORD_PROMISE,	 /* data: what the program says to the world */
	/* What follows was there before; all before this is on disk. */
	RECORD_BEGIN,
};

struct record_head {
	uint32_t kind;
	uint32_t reserved;
	uint64_t ino;
	uint64_t a, b;
	uint32_t name_bytes, more_bytes;
	uint64_t data_bytes;
};

/* Says something that must hold from now on, whenever power goes. */
void record_promise(const char *text, size_t bytes) __attribute__((weak));

/* The next so many syncs of files, and of directories, fail with EIO. */
void record_fail_syncs(int files, int dirs) __attribute__((weak));

#endif
