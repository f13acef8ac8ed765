#include "services/lake/archive.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/alloc.h"
#include "proto/batch.h"

#define ROOT	  "Files/bronze/raw_events/"
#define TYPE_PART "event_type="
#define DATE_PART "/date="
#define ENDING	  ".ndjson.zst"
#define DAY_BYTES 10

/* ---- listing ---- */

static int hex_of(char c)
{
	return isdigit((unsigned char)c) ? c - '0'
	       : c >= 'A' && c <= 'F'	 ? c - 'A' + 10
					 : -1;
}

/* The type that a folder is for; NULL: several, or none. */
static char *type_of(const char *folder, size_t bytes)
{
	struct buf type = {0};
	char *copy;

	for (size_t i = 0; i < bytes; i++) {
		int high = folder[i] == '%' && i + 2 < bytes
			       ? hex_of(folder[i + 1])
			       : -1;
		int low = high >= 0 ? hex_of(folder[i + 2]) : -1;

		buf_char(&type, low >= 0 ? (char)(high * 16 + low) : folder[i]);
		i += low >= 0 ? 2 : 0;
	}
	copy = xstrdup(buf_str(&type));
	buf_free(&type);
	/* What had no folder of its own. */
	if (strcmp(copy, "other") != 0 && strcmp(copy, "none") != 0)
		return copy;
	free(copy);
	return NULL;
}

struct listing {
	struct archive_files *files;
	const char *first, *last;
};

static bool add_file(void *arg, const struct store_file *file)
{
	const struct listing *l = arg;
	const char *type = file->name + strlen(ROOT TYPE_PART), *day;
	size_t bytes = strlen(file->name);
	struct archive_files *files = l->files;

	if (bytes < strlen(ROOT TYPE_PART ENDING) ||
	    strncmp(file->name, ROOT TYPE_PART, strlen(ROOT TYPE_PART)) != 0 ||
	    strcmp(file->name + bytes - strlen(ENDING), ENDING) != 0 ||
	    !(day = strstr(type, DATE_PART)))
		return true;
	files->any = true;
	bytes = (size_t)(day - type);
	day += strlen(DATE_PART);
	if (strncmp(day, l->first, DAY_BYTES) < 0 ||
	    strncmp(day, l->last, DAY_BYTES) > 0)
		return true;
	if (files->count == files->room) {
		files->room = files->room ? 2 * files->room : 64;
		files->list = xreallocarray(files->list, files->room,
					    sizeof(*files->list));
	}
	files->list[files->count++] = (struct archive_file){
	    .name = xstrdup(file->name),
	    .type = type_of(type, bytes),
	    .bytes = file->bytes,
	};
	files->bytes += file->bytes;
	return true;
}

int archive_list(struct store *s, const char first[11], const char last[11],
		 struct archive_files *files, struct err *err)
{
	struct listing l = {files, first, last};

	*files = (struct archive_files){0};
	return store_list(s, ROOT, NULL, add_file, &l, err);
}

void archive_files_free(struct archive_files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		free(files->list[i].name);
		free(files->list[i].type);
	}
	free(files->list);
	*files = (struct archive_files){0};
}

/* ---- reading ---- */

struct reading {
	const char *name;
	int fd;
	ZSTD_DCtx *zstd;
	char *in;
	ZSTD_inBuffer piece;
	struct buf text; /* lines, the last of which may not be whole */
	int (*fn)(void *arg, const char *line, size_t bytes, struct err *err);
	void *arg;
};

static int tell_lines(struct reading *r, struct err *err)
{
	size_t at = 0;
	char *end;
	int rc = 0;

	while (rc == 0 && r->text.used > at &&
	       (end = memchr(r->text.data + at, '\n', r->text.used - at))) {
		const char *line = r->text.data + at;

		rc = end == line
			 ? 0
			 : r->fn(r->arg, line, (size_t)(end - line), err);
		at = (size_t)(end + 1 - r->text.data);
	}
	if (at)
		memmove(r->text.data, r->text.data + at, r->text.used - at);
	r->text.used -= at;
	if (rc == 0 && r->text.used > BATCH_MAX_LINE_BYTES)
		return err_set(err, EIO, "%s has a line longer than an event",
			       r->name);
	return rc;
}

/* All that the piece holds, decompressed; *left is 0 at the end of a frame. */
static int decompress(struct reading *r, size_t *left, struct err *err)
{
	size_t room = ZSTD_DStreamOutSize();

	while (r->piece.pos < r->piece.size) {
		ZSTD_outBuffer out;

		buf_reserve(&r->text, room);
		out = (ZSTD_outBuffer){r->text.data + r->text.used, room, 0};
		*left = ZSTD_decompressStream(r->zstd, &out, &r->piece);
		if (ZSTD_isError(*left))
			return err_set(err, EIO, "%s is damaged: %s", r->name,
				       ZSTD_getErrorName(*left));
		r->text.used += out.pos;
		if (tell_lines(r, err) != 0)
			return -1;
	}
	return 0;
}

static int read_all(struct reading *r, struct err *err)
{
	size_t left = 0;
	ssize_t n;

	while ((n = read(r->fd, r->in, ZSTD_DStreamInSize())) > 0 ||
	       (n < 0 && errno == EINTR)) {
		r->piece = (ZSTD_inBuffer){r->in, n > 0 ? (size_t)n : 0, 0};
		if (decompress(r, &left, err) != 0)
			return -1;
	}
	if (n < 0)
		return err_errno(err, errno, "cannot read %s", r->name);
	if (left || r->text.used)
		return err_set(err, EIO, "%s is damaged: it ends too soon",
			       r->name);
	return 0;
}

int archive_read(struct store *s, const struct archive_file *file,
		 const char *temp,
		 int (*fn)(void *arg, const char *line, size_t bytes,
			   struct err *err),
		 void *arg, struct err *err)
{
	struct reading r = {.name = file->name, .fn = fn, .arg = arg};
	struct buf local = {0};
	const char *path = store_local_path(s, file->name, &local);
	int rc = path ? 0 : store_fetch(s, file->name, temp, err);

	if (rc == 0) {
		r.fd = open(path ? path : temp, O_RDONLY | O_CLOEXEC);
		if (r.fd < 0)
			rc =
			    err_errno(err, errno, "cannot open %s", file->name);
	}
	if (rc == 0) {
		r.in = xmalloc(ZSTD_DStreamInSize());
		r.zstd = ZSTD_createDCtx();
		rc = r.zstd ? read_all(&r, err)
			    : err_set(err, ENOMEM, "no memory for zstd");
		ZSTD_freeDCtx(r.zstd);
		free(r.in);
		close(r.fd);
	}
	if (!path)
		unlink(temp);
	buf_free(&r.text);
	buf_free(&local);
	return rc;
}
