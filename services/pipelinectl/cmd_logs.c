/* logs: what the processes wrote, merged by time, and what they write now. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"
#include "services/pipelinectl/cmd.h"
#include "services/pipelinectl/control.h"

#define MOST_FILES	2048
#define BLOCK_BYTES	65536
#define POLL_MS		200
#define STAMP_BYTES	27 /* of 2024-05-01T12:00:00.000000Z */
#define MOST_TAIL_BYTES (16 << 20)

/* One process's log. */
struct file {
	char *label; /* "collector.0", "weftd" */
	char *path;
	int fd;
	ino_t inode;
	struct buf partial; /* of a line that is not complete yet */
};

struct line {
	const struct file *file;
	char *text;
	char stamp[STAMP_BYTES + 1]; /* its own, or that of the line before */
	size_t order;
};

struct lines {
	struct line *all;
	size_t count;
	size_t size;
};

/* -- finding files -- */

static bool is_wanted(const struct options_target *t, const char *label)
{
	size_t bytes = strlen(t->name);
	char one[OPTIONS_NAME_BYTES + 16];

	if (!bytes || strcmp(label, t->name) == 0)
		return true;
	if (t->instance >= 0) {
		snprintf(one, sizeof(one), "%s.%d", t->name, t->instance);
		return strcmp(label, one) == 0;
	}
	return strncmp(label, t->name, bytes) == 0 && label[bytes] == '.' &&
	       strspn(label + bytes + 1, "0123456789") ==
		   strlen(label + bytes + 1);
}

static int by_label(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	return strcmp(x->label, y->label);
}

/* Every <label>.log of the directory; rotated ones end in a number. */
static size_t list_files(const struct place *p, struct file **files,
			 struct err *err)
{
	DIR *dir = opendir(p->log_dir);
	struct dirent *entry;
	size_t count = 0;

	*files = NULL;
	if (!dir && errno == ENOENT) {
		err_set(err, ENOENT,
			"nothing has been logged yet: there is no %s",
			p->log_dir);
		return 0;
	}
	if (!dir) {
		err_errno(err, errno, "cannot read %s", p->log_dir);
		return 0;
	}
	while (count < MOST_FILES && (entry = readdir(dir))) {
		size_t bytes = strlen(entry->d_name);
		struct file *f;

		if (bytes < 5 || strcmp(entry->d_name + bytes - 4, ".log") != 0)
			continue;
		*files = xreallocarray(*files, count + 1, sizeof(**files));
		f = &(*files)[count++];
		*f = (struct file){.fd = -1};
		f->label = xmemdup0(entry->d_name, bytes - 4);
		f->path = xasprintf("%s/%s", p->log_dir, entry->d_name);
	}
	closedir(dir);
	if (!count)
		err_set(err, ENODATA, "there are no logs in %s", p->log_dir);
	else
		qsort(*files, count, sizeof(**files), by_label);
	return count;
}

static void free_file(struct file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	buf_free(&f->partial);
	free(f->label);
	free(f->path);
}

/* Keeps the wanted ones in front; how many. */
static size_t choose(struct file *files, size_t count,
		     const struct options_target *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (!is_wanted(t, files[i].label)) {
			free_file(&files[i]);
			continue;
		}
		if (kept != i)
			files[kept] = files[i];
		kept++;
	}
	return kept;
}

static void say_unknown(const struct file *files, size_t count,
			const struct options_target *t, struct err *err)
{
	const char **names = xcalloc(count, sizeof(*names));
	char **rows = xcalloc(count, sizeof(*rows));
	const char *near;

	for (size_t i = 0; i < count; i++) {
		const char *dot = strrchr(files[i].label, '.');

		rows[i] = dot ? xmemdup0(files[i].label,
					 (size_t)(dot - files[i].label))
			      : xstrdup(files[i].label);
		names[i] = rows[i];
	}
	near = text_nearest(t->name, names, count);
	err_set(err, EINVAL, "no log of '%s'%s%s%s", t->name,
		near ? "; did you mean '" : "", near ? near : "",
		near ? "'?" : "; `pipelinectl status` lists the services");
	for (size_t i = 0; i < count; i++)
		free(rows[i]);
	free(rows);
	free(names);
}

/* -- the last lines -- */

static void add_line(struct lines *l, const struct file *f, const char *text,
		     size_t bytes)
{
	struct line *line;
	const char *time = bytes > 5 && memcmp(text, "time=", 5) == 0 ? text + 5
			   : bytes > 9 && memcmp(text, "{\"time\":\"", 9) == 0
			       ? text + 9
			       : NULL;

	if (l->count == l->size) {
		l->size = l->size ? 2 * l->size : 64;
		l->all = xreallocarray(l->all, l->size, sizeof(*l->all));
	}
	line = &l->all[l->count];
	*line = (struct line){.file = f, .order = l->count};
	line->text = xmemdup0(text, bytes);
	if (time && (size_t)(time - text) + STAMP_BYTES <= bytes)
		memcpy(line->stamp, time, STAMP_BYTES);
	else if (l->count && l->all[l->count - 1].file == f)
		memcpy(line->stamp, l->all[l->count - 1].stamp, STAMP_BYTES);
	l->count++;
}

/* Where to begin to read for `want` lines: at most that many too many. */
static off_t find_tail(const struct file *f, off_t end, uint32_t want,
		       uint32_t *seen)
{
	off_t at = end;

	*seen = 0;
	while (at > 0 && *seen <= want && end - at < MOST_TAIL_BYTES) {
		off_t bytes = at < BLOCK_BYTES ? at : BLOCK_BYTES;
		char block[BLOCK_BYTES];

		at -= bytes;
		if (pread(f->fd, block, (size_t)bytes, at) != bytes)
			return end;
		for (off_t i = 0; i < bytes; i++)
			*seen += block[i] == '\n';
	}
	return at;
}

/* Adds the last `want` lines of a file; what follows the last is kept. */
static void read_tail(struct file *f, uint32_t want, struct lines *l)
{
	struct stat st;
	uint32_t seen;
	char *text, *from, *stop;
	size_t left;
	off_t at;

	if (fstat(f->fd, &st) != 0)
		return;
	f->inode = st.st_ino;
	at = find_tail(f, st.st_size, want, &seen);
	left = (size_t)(st.st_size - at);
	from = text = xmalloc(left + 1);
	if (pread(f->fd, text, left, at) != (ssize_t)left)
		left = 0;
	lseek(f->fd, st.st_size, SEEK_SET);
	while (left && (stop = memchr(from, '\n', left))) {
		if (seen-- <= want)
			add_line(l, f, from, (size_t)(stop - from));
		left -= (size_t)(stop - from) + 1;
		from = stop + 1;
	}
	buf_append(&f->partial, from, left);
	free(text);
}

static int by_time(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int order = strcmp(x->stamp, y->stamp);

	return order ? order : (x->order > y->order) - (x->order < y->order);
}

static void print_line(const struct file *f, const char *text, size_t bytes,
		       bool json)
{
	struct buf out = {0};

	if (json) {
		buf_printf(&out, "{\"process\":\"%s\",\"line\":\"", f->label);
		buf_json_escape(&out, text, bytes);
		buf_text(&out, "\"}\n");
	} else {
		buf_append(&out, text, bytes);
		buf_char(&out, '\n');
	}
	fwrite(out.data, 1, out.used, stdout);
	buf_free(&out);
}

static void print_last(struct file *files, size_t count,
		       const struct options *o)
{
	struct lines l = {0};

	for (size_t i = 0; i < count; i++) {
		files[i].fd = open(files[i].path, O_RDONLY | O_CLOEXEC);
		if (files[i].fd >= 0)
			read_tail(&files[i], o->lines, &l);
	}
	if (l.count)
		qsort(l.all, l.count, sizeof(*l.all), by_time);
	for (size_t i = l.count > o->lines ? l.count - o->lines : 0;
	     i < l.count; i++)
		print_line(l.all[i].file, l.all[i].text, strlen(l.all[i].text),
			   o->json);
	for (size_t i = 0; i < l.count; i++)
		free(l.all[i].text);
	free(l.all);
}

/* -- following -- */

static bool read_more(struct file *f, bool json)
{
	char block[BLOCK_BYTES];
	ssize_t n = read(f->fd, block, sizeof(block));
	char *end;

	if (n <= 0)
		return false;
	buf_append(&f->partial, block, (size_t)n);
	while ((end = memchr(f->partial.data, '\n', f->partial.used))) {
		size_t bytes = (size_t)(end - f->partial.data);

		print_line(f, f->partial.data, bytes, json);
		f->partial.used -= bytes + 1;
		memmove(f->partial.data, end + 1, f->partial.used);
	}
	return true;
}

/* A rotated log is read to its end, then its successor from the start. */
static void follow_file(struct file *f, bool json)
{
	struct stat st;
	bool moved;

	moved = stat(f->path, &st) == 0 && st.st_ino != f->inode;
	while (f->fd >= 0 && read_more(f, json))
		;
	if (!moved)
		return;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
	f->inode = st.st_ino;
	while (f->fd >= 0 && read_more(f, json))
		;
}

static void follow(struct file *files, size_t count, bool json)
{
	for (;;) {
		for (size_t i = 0; i < count; i++)
			follow_file(&files[i], json);
		if (fflush(stdout) != 0)
			return;
		poll(NULL, 0, POLL_MS);
	}
}

static int show(const struct place *p, const struct options *o)
{
	struct file *files;
	struct err err;
	size_t all = list_files(p, &files, &err);
	size_t count = 0;
	int rc = CMD_OK;

	for (size_t i = 0; i < all; i++)
		count += is_wanted(&o->target, files[i].label);
	if (all && !count)
		say_unknown(files, all, &o->target, &err);
	if (!count) {
		err.code = EINVAL;
		rc = control_report(o, &err);
	}
	count = choose(files, all, &o->target);
	if (rc == CMD_OK) {
		print_last(files, count, o);
		if (o->follow)
			follow(files, count, o->json);
	}
	for (size_t i = 0; i < count; i++)
		free_file(&files[i]);
	free(files);
	return rc;
}

int cmd_logs(int argc, char **argv)
{
	struct place place;
	struct options o;
	struct err err;
	int rc = options_read(argc, argv,
			      OPTIONS_JSON | OPTIONS_LOGS | OPTIONS_TARGET, &o);

	if (rc != 0)
		return rc;
	if (place_find(&place, o.config, &err) != 0)
		return control_report(&o, &err);
	rc = show(&place, &o);
	place_free(&place);
	return rc;
}
