/* A config file in a directory of its own, for the tests of conf/. */
#ifndef WEFT_TESTS_CONF_FIXTURE_H
#define WEFT_TESTS_CONF_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "conf_kinds.h"

static char fixture_dir[] = "/tmp/weft-conf-XXXXXX";

/* "<dir>/<name>", valid until the next call. */
static inline const char *fixture_path(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", fixture_dir, name);
	return path;
}

static inline void fixture_write(const char *name, const void *text,
				 size_t bytes)
{
	FILE *f = fopen(fixture_path(name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, bytes, f), bytes);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(fixture_path(name), 0600), 0);
}

static inline int fixture_load(struct conf **conf, const char *text,
			       struct conf_report *report)
{
	fixture_write("weft.conf", text, strlen(text));
	return conf_load(conf, fixture_path("weft.conf"), &test_kinds, report);
}

/* Loads what must be without error or warning. */
static inline struct conf *fixture_good(const char *text)
{
	struct conf_report report = {0};
	struct conf *conf;
	int rc = fixture_load(&conf, text, &report);

	if (rc != 0 || report.errors || report.warnings)
		fail_msg("%s", buf_str(&report.lines));
	assert_non_null(conf);
	conf_report_free(&report);
	return conf;
}

/* A copy without the directory's name, so that tests can state messages. */
static inline char *fixture_plain(const char *lines)
{
	char *text = calloc(1, strlen(lines) + 1), *out = text;
	size_t n = strlen(fixture_dir);

	assert_non_null(text);
	while (*lines) {
		if (strncmp(lines, fixture_dir, n) == 0 && lines[n] == '/')
			lines += n + 1;
		else
			*out++ = *lines++;
	}
	return text;
}

/* rc 0: only warnings; -1: errors, and no configuration. */
static inline void fixture_expect(const char *config, int rc,
				  const char *expected)
{
	struct conf_report report = {0};
	struct conf *conf;
	char *lines;

	assert_int_equal(fixture_load(&conf, config, &report), rc);
	assert_int_equal(conf == NULL, rc == -1);
	assert_int_equal(report.errors > 0, rc == -1);
	lines = fixture_plain(buf_str(&report.lines));
	if (strcmp(lines, expected) != 0)
		fail_msg("\n%s\ngives\n%s\ninstead of\n%s", config, lines,
			 expected);
	free(lines);
	conf_report_free(&report);
	conf_free(&conf);
}

static inline int fixture_begin(void **state)
{
	(void)state;
	unsetenv("WEFT_CONFIG");
	return mkdtemp(fixture_dir) ? 0 : -1;
}

/* Files that a test made besides weft.conf it removes itself. */
static inline int fixture_end(void **state)
{
	(void)state;
	unlink(fixture_path("weft.conf"));
	return rmdir(fixture_dir);
}

#endif
