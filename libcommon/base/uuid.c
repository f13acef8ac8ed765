#include "base/uuid.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define POOL 256

struct uuid uuid_new(void)
{
	static _Thread_local struct uuid pool[POOL];
	static _Thread_local size_t left;
	struct uuid id;

	if (!left) {
		/* getrandom gives up to 256 bytes whole, never in part. */
		for (size_t i = 0; i < POOL; i += 16)
			if (getrandom(&pool[i], 256, 0) != 256)
				abort();
		left = POOL;
	}
	id = pool[--left];
	memset(&pool[left], 0, sizeof(id));
	id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
	id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
	return id;
}

char *uuid_format(const struct uuid *id, char text[UUID_TEXT_BYTES])
{
	static const char hex[] = "0123456789abcdef";
	char *at = text;

	for (int i = 0; i < UUID_BYTES; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		*at++ = hex[id->bytes[i] >> 4];
		*at++ = hex[id->bytes[i] & 15];
	}
	*at = '\0';
	return text;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int uuid_parse(const char *text, size_t bytes, struct uuid *id)
{
	size_t at = 0;

	if (bytes != 36)
		return -1;
	for (int i = 0; i < UUID_BYTES; i++) {
		int high, low;

		if ((i == 4 || i == 6 || i == 8 || i == 10) &&
		    text[at++] != '-')
			return -1;
		high = nibble(text[at++]);
		low = nibble(text[at++]);
		if (high < 0 || low < 0)
			return -1;
		id->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}
