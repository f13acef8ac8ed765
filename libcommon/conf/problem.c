#include "conf/load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static void add(struct problems *p, bool warning, struct where at, char *text)
{
	struct problem *problem;

	if (p->count == CONF_MAX_PROBLEMS) {
		p->left_out++;
		free(text);
		return;
	}
	p->list = xreallocarray(p->list, p->count + 1, sizeof(*p->list));
	problem = &p->list[p->count];
	problem->file = xstrdup(at.file);
	problem->line = at.line;
	problem->warning = warning;
	problem->number = p->count++;
	problem->text = text;
}

static char *format(const char *fmt, va_list args)
{
	char *text;

	if (vasprintf(&text, fmt, args) < 0)
		abort();
	return text;
}

void problem_error(struct problems *p, struct where at, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(p, false, at, format(fmt, args));
	va_end(args);
}

void problem_warning(struct problems *p, struct where at, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(p, true, at, format(fmt, args));
	va_end(args);
}

int why_set(struct why *why, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, args);
	va_end(args);
	return -1;
}

static int compare_files(const char *a, const char *b, const char *main_file)
{
	bool a_main = strcmp(a, main_file) == 0;
	bool b_main = strcmp(b, main_file) == 0;

	if (a_main != b_main)
		return a_main ? -1 : 1;
	return strcmp(a, b);
}

static int compare(const void *a, const void *b, void *main_file)
{
	const struct problem *x = a, *y = b;
	int order = compare_files(x->file, y->file, main_file);

	if (order)
		return order;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

void problems_report(struct problems *p, const char *main_file,
		     struct conf_report *report)
{
	if (p->count)
		qsort_r(p->list, p->count, sizeof(*p->list), compare,
			(void *)main_file);
	for (size_t i = 0; i < p->count; i++) {
		struct problem *problem = &p->list[i];

		buf_text(&report->lines, problem->file);
		if (problem->line)
			buf_printf(&report->lines, ":%u", problem->line);
		buf_printf(&report->lines, ": %s%s\n",
			   problem->warning ? "warning: " : "", problem->text);
		if (problem->warning)
			report->warnings++;
		else
			report->errors++;
		free(problem->file);
		free(problem->text);
	}
	if (p->left_out) {
		buf_printf(&report->lines,
			   "%s: %zu more problems are not shown; correct the "
			   "first ones\n",
			   main_file, p->left_out);
		report->errors++;
	}
	free(p->list);
	*p = (struct problems){0};
}

void conf_report_free(struct conf_report *report)
{
	buf_free(&report->lines);
	free(report->contracts);
	*report = (struct conf_report){0};
}
