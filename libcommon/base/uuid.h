/* Random UUIDs (RFC 9562, version 4). */
#ifndef WEFT_BASE_UUID_H
#define WEFT_BASE_UUID_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define UUID_BYTES	16
#define UUID_TEXT_BYTES 37

struct uuid {
	uint8_t bytes[UUID_BYTES];
};

/*
 * A new random UUID from the kernel's generator, which is read 256 at a time.
 * Any thread (each has its own 256); never repeats over a fork+exec.
 */
struct uuid uuid_new(void);

/* Writes the 36 lower-case characters and a NUL. Returns text. */
char *uuid_format(const struct uuid *id, char text[UUID_TEXT_BYTES]);

/* Parses 36 characters with dashes, either case. Returns 0 or -1. */
int uuid_parse(const char *text, size_t bytes, struct uuid *id) MUST_CHECK;

#endif
