/*
 * The log of a process: one line an event on stderr, as logfmt or JSON.
 *   log_info("batch_sent", "seq=%" PRIu64 " events=%u", seq, events);
 * The first argument is an event word, the rest key=value pairs; a value with
 * spaces or quotes is written with log_quote(). Never payloads or credentials.
 * Of one event word at most 10 lines a second appear; how many were held back
 * is said in the next line of that word as suppressed=N. Pairs beyond 1,700
 * bytes are left out whole, said as cut=1. Keeps errno. Any thread.
 */
#ifndef WEFT_BASE_LOG_H
#define WEFT_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_LOGFMT, LOG_JSON };

#define LOG_QUOTE_BYTES 600

/*
 * Names the process in every line ("collector.0"). `service` is copied. Before
 * this call lines have no service name and level LOG_INFO, logfmt.
 */
void log_open(const char *service, enum log_level level,
	      enum log_format format);

bool log_enabled(enum log_level level);

/*
 * Writes text as a quoted value, escaped as JSON does, into out (cut to fit
 * between characters, NUL-terminated) and returns out; bytes that are no UTF-8
 * become U+FFFD: log_warn("x", "error=%s", log_quote(q, err.text)).
 */
const char *log_quote(char out[LOG_QUOTE_BYTES], const char *text);

void log_write(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                     \
	do {                                               \
		if (log_enabled(LOG_DEBUG))                \
			log_write(LOG_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
