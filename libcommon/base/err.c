#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fill(struct err *err, int code, const char *fmt, va_list ap)
{
	err->code = code;
	err->retriable = false;
	err->fatal = false;
	err->retry_after_us = 0;
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(err, code, fmt, ap);
	va_end(ap);
	return -1;
}

int err_errno(struct err *err, int code, const char *fmt, ...)
{
	const char *why = strerror(code);
	va_list ap;
	size_t used, most = sizeof(err->text) - strlen(why) - sizeof(": ");

	va_start(ap, fmt);
	fill(err, code, fmt, ap);
	va_end(ap);
	/* A very long path gives way to the reason. */
	used = strlen(err->text);
	if (used > most)
		used = most;
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", why);
	return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char inner[ERR_TEXT_BYTES];
	va_list ap;
	size_t used;

	memcpy(inner, err->text, sizeof(inner));
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", inner);
	return -1;
}
