/*
 * Appends to a file in large pieces. What is gathered lies in memory as it will
 * lie in the blocks of the file, so that most of it can go to the disk past the
 * page cache (O_DIRECT): a page that nobody reads again costs more CPU to fill
 * and to free than the bytes cost to send. What begins or ends inside a block,
 * small amounts, and file systems without O_DIRECT go the usual way. One thread
 * at a time.
 */
#ifndef WEFT_SERVICES_EVENTHUB_PUBLISHER_APPENDER_H
#define WEFT_SERVICES_EVENTHUB_PUBLISHER_APPENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct appender {
	int fd;		  /* -1 = closed */
	uint64_t written; /* bytes of the file that the kernel has */
	size_t gathered;  /* bytes behind them */
	bool direct;	  /* the file may be written past the cache */
	char *blocks;	  /* `size` bytes from written, rounded down */
	size_t size;
};

/* A closed one, for a file that has `written` bytes. */
void appender_init(struct appender *a, uint64_t written);

/* Takes `fd`, which stands at `written`, the end of its file. */
void appender_open(struct appender *a, int fd);

/* Closes it and frees its memory; what was gathered is forgotten. */
void appender_close(struct appender *a);

/*
 * Appends `bytes` bytes (copied). They reach the file, maybe not all, once
 * there is a large piece of them. -1 with errno: it cannot be written.
 */
int appender_put(struct appender *a, const char *data, size_t bytes);

/* Hands all that was gathered to the kernel. -1 with errno, as above. */
int appender_flush(struct appender *a);

#endif
