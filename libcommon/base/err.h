/* Errors that travel: what went wrong, whether to try again, what to do. */
#ifndef WEFT_BASE_ERR_H
#define WEFT_BASE_ERR_H

#include <stdbool.h>
#include <stdint.h>

#define ERR_TEXT_BYTES 512
#define MUST_CHECK     __attribute__((warn_unused_result))

/*
 * code is an errno value (EINVAL for bad input, ENOSPC, EIO, …). retriable: the
 * same call may succeed later without anybody acting. fatal: the object it came
 * from cannot go on and must be closed. retry_after_us: how long whoever failed
 * asked to be left alone from then on, 0 when it did not. text is one line for
 * a person: it names the file, line, key and value that was wrong and what to
 * do about it.
 */
struct err {
	int code;
	bool retriable;
	bool fatal;
	int64_t retry_after_us;
	char text[ERR_TEXT_BYTES];
};

/*
 * Fills *err (borrowed) with an errno-style code and a formatted line, flags
 * cleared; text longer than the buffer is cut. Returns -1, so that a failing
 * function can end in `return err_set(…)`. err->text itself is no argument: see
 * err_wrap().
 */
int err_set(struct err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, with ": " and strerror(code) after the text, which is cut first.
 */
int err_errno(struct err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts a formatted context before the text that *err has. Returns -1. */
int err_wrap(struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
