#include "services/eventhub-publisher/outfiles.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "services/eventhub-publisher/appender.h"

#define STATE_VERSION 1

/*
 * Streams in a log's lifetime: contracts come and go, but a file that was begun
 * is remembered, or a later start would take it for one that nobody knows.
 * Their state goes with each checkpoint, 80 bytes each.
 */
#define MAX_STREAMS 4096
/* A file that had nothing to write for so many syncs is closed. */
#define IDLE_SYNCS 64

/* The file that a stream is written to now. */
struct outfile {
	char stream[BATCH_STREAM_NAME_BYTES + 1];
	uint32_t number;
	struct appender out; /* open since something was written lately */
	uint64_t synced;
	unsigned idle_syncs;
};

struct outfiles {
	char *dir;
	char *log_tag;
	uint64_t rotate_bytes;
	bool new_names; /* the directory is to be synced */
	uint32_t count, room;
	struct outfile *files;
};

/* What outfiles_save() writes of each file, behind a head of one of these. */
struct saved {
	char stream[BATCH_STREAM_NAME_BYTES + 1];
	uint8_t version;
	uint16_t reserved;
	uint32_t number;
	uint64_t synced;
};

static char *name_of(const struct outfiles *files, const struct outfile *file)
{
	return xasprintf("%s/%s-%s-%06" PRIu32 ".ndjson", files->dir,
			 file->stream, files->log_tag, file->number);
}

/* The number of a stream in `files`; -1 when there are too many. */
static int find(struct outfiles *files, const char *stream, size_t bytes)
{
	struct outfile *file;

	for (uint32_t i = 0; i < files->count; i++) {
		file = &files->files[i];
		if (strlen(file->stream) == bytes &&
		    memcmp(file->stream, stream, bytes) == 0)
			return (int)i;
	}
	if (files->count == MAX_STREAMS)
		return -1;
	if (files->count == files->room) {
		files->room = files->room ? 2 * files->room : 16;
		files->files = xreallocarray(files->files, files->room,
					     sizeof(*files->files));
	}
	file = &files->files[files->count++];
	*file = (struct outfile){.number = 1};
	appender_init(&file->out, 0);
	memcpy(file->stream, stream, bytes);
	return (int)files->count - 1;
}

static void next_number(struct outfiles *files, struct outfile *file)
{
	file->number++;
	file->out.written = 0;
	file->synced = 0;
	files->new_names = true;
}

/*
 * Opens the current file of a stream; one that was taken away stays gone. -1:
 * *path is not set.
 */
static int open_current(struct outfiles *files, struct outfile *file,
			char **path, struct err *err)
{
	int create = file->out.written ? 0 : O_CREAT, fd;

	*path = name_of(files, file);
	fd = open(*path, O_WRONLY | O_CLOEXEC | create, 0640);
	if (fd < 0 && errno == ENOENT && !create) {
		log_warn("output_file_gone",
			 "path=%s bytes=%" PRIu64 " action=\"somebody took it "
			 "away; delivery goes on in the next\"",
			 *path, file->out.written);
		next_number(files, file);
		free(*path);
		*path = name_of(files, file);
		fd = open(*path, O_WRONLY | O_CLOEXEC | O_CREAT, 0640);
	}
	if (fd >= 0)
		return fd;
	err_errno(err, errno, "cannot open %s", *path);
	free(*path);
	return -1;
}

/* Opens the current file of a stream and cuts it to what is known of it. */
static int ready(struct outfiles *files, struct outfile *file, struct err *err)
{
	struct stat st;
	char *path;
	bool cut;
	int fd, rc = -1;

	fd = open_current(files, file, &path, err);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0) {
		err_errno(err, errno, "cannot stat %s", path);
		goto out;
	}
	if ((uint64_t)st.st_size < file->out.written) {
		err_set(err, EINVAL,
			"%s has %lld bytes, but %" PRIu64 " were delivered to "
			"it: somebody cut it; move it away and start again",
			path, (long long)st.st_size, file->out.written);
		goto out;
	}
	cut = (uint64_t)st.st_size != file->out.written;
	if ((cut && ftruncate(fd, (off_t)file->out.written) != 0) ||
	    lseek(fd, (off_t)file->out.written, SEEK_SET) < 0) {
		err_errno(err, errno, "cannot cut %s to %" PRIu64 " bytes",
			  path, file->out.written);
		goto out;
	}
	/* When it goes on in another file, nothing else will cut this one. */
	if (cut && durable_sync(fd, path, err) != 0)
		goto out;
	files->new_names = true;
	appender_open(&file->out, fd);
	rc = 0;
out:
	if (rc != 0)
		close(fd);
	free(path);
	return rc;
}

static int cannot_write(const struct outfiles *files,
			const struct outfile *file, struct err *err)
{
	return err_errno(err, errno, "cannot write to %s/%s-%s-%06" PRIu32,
			 files->dir, file->stream, files->log_tag,
			 file->number);
}

static int rotate(struct outfiles *files, struct outfile *file, struct err *err)
{
	if (appender_flush(&file->out) != 0)
		return cannot_write(files, file, err);
	if (durable_sync(file->out.fd, file->stream, err) != 0)
		return -1;
	appender_close(&file->out);
	next_number(files, file);
	FAILPOINT("file_rotated");
	return 0;
}

static int put(struct outfiles *files, struct outfile *file, const char *line,
	       size_t bytes, struct err *err)
{
	if (file->out.fd < 0 && ready(files, file, err) != 0)
		return -1;
	if (appender_put(&file->out, line, bytes) != 0)
		return cannot_write(files, file, err);
	if (file->out.written + file->out.gathered >= files->rotate_bytes)
		return rotate(files, file, err);
	return 0;
}

int outfiles_write(struct outfiles *files, const struct batch *b,
		   struct err *err)
{
	int file_of[BATCH_MAX_STREAMS];

	for (uint16_t s = 0; s < b->stream_count; s++) {
		file_of[s] = find(files, b->streams[s], b->stream_bytes[s]);
		if (file_of[s] < 0)
			return err_set(err, ENOSPC,
				       "more than %d streams were written to "
				       "%s; drain the pipeline and begin a new "
				       "log with another state_dir",
				       MAX_STREAMS, files->dir);
	}
	for (uint32_t i = 0; i < b->header.events; i++) {
		const struct batch_event *event = &b->events[i];
		struct outfile *file = &files->files[file_of[event->stream]];

		/* A '\n' lies behind each event. */
		if (put(files, file, b->payload + event->offset,
			event->bytes + 1, err) != 0)
			return -1;
	}
	return 0;
}

static void close_file(struct outfile *file)
{
	appender_close(&file->out);
	file->idle_syncs = 0;
}

int outfiles_sync(struct outfiles *files, struct err *err)
{
	for (uint32_t i = 0; i < files->count; i++) {
		struct outfile *file = &files->files[i];

		if (appender_flush(&file->out) != 0)
			return cannot_write(files, file, err);
		if (file->out.fd >= 0 && file->out.written > file->synced &&
		    durable_sync(file->out.fd, file->stream, err) != 0)
			return -1;
	}
	if (files->new_names && durable_sync_dir(files->dir, err) != 0)
		return -1;
	files->new_names = false;
	for (uint32_t i = 0; i < files->count; i++) {
		struct outfile *file = &files->files[i];

		if (file->out.written > file->synced)
			file->idle_syncs = 0;
		else if (file->out.fd >= 0 && ++file->idle_syncs >= IDLE_SYNCS)
			close_file(file);
		file->synced = file->out.written;
	}
	return 0;
}

void outfiles_save(const struct outfiles *files, struct buf *state)
{
	for (uint32_t i = 0; i < files->count; i++) {
		const struct outfile *file = &files->files[i];
		struct saved saved = {
		    .version = STATE_VERSION,
		    .number = file->number,
		    .synced = file->synced,
		};

		memcpy(saved.stream, file->stream, sizeof(saved.stream));
		buf_append(state, &saved, sizeof(saved));
	}
}

static int restore(struct outfiles *files,
		   const struct outfiles_options *options, struct err *err)
{
	struct saved saved;

	if (options->state_bytes % sizeof(saved))
		return err_set(err, EINVAL,
			       "the saved state of %s has %zu bytes, no "
			       "multiple of %zu: it is of another version",
			       files->dir, options->state_bytes, sizeof(saved));
	for (size_t at = 0; at < options->state_bytes; at += sizeof(saved)) {
		struct outfile *file;
		int i;

		memcpy(&saved, (const char *)options->state + at,
		       sizeof(saved));
		saved.stream[sizeof(saved.stream) - 1] = '\0';
		i = find(files, saved.stream, strlen(saved.stream));
		if (i < 0 || saved.version != STATE_VERSION)
			return err_set(err, EINVAL,
				       "the saved state of %s cannot be read",
				       files->dir);
		file = &files->files[i];
		file->number = saved.number;
		file->out.written = saved.synced;
		file->synced = saved.synced;
		/* It is opened again when something is to be written. */
		if (ready(files, file, err) != 0)
			return -1;
		close_file(file);
	}
	return 0;
}

/* Which file of this log a name is; false when it is none. */
static bool parse_name(const struct outfiles *files, const char *name,
		       char stream[BATCH_STREAM_NAME_BYTES + 1],
		       uint32_t *number)
{
	size_t tag = strlen(files->log_tag), bytes = strlen(name);
	size_t digits = 0, tail = strlen(".ndjson");
	uint64_t value;

	if (bytes <= tail || strcmp(name + bytes - tail, ".ndjson") != 0)
		return false;
	while (tail < bytes && isdigit((unsigned char)name[bytes - tail - 1]))
		tail++, digits++;
	if (digits < 6 || digits > 10)
		return false;
	value = strtoull(name + bytes - tail, NULL, 10);
	tail += tag + 2;
	if (value > UINT32_MAX || bytes <= tail ||
	    bytes - tail > BATCH_STREAM_NAME_BYTES ||
	    name[bytes - tail] != '-' ||
	    memcmp(name + bytes - tail + 1, files->log_tag, tag) != 0 ||
	    name[bytes - tail + 1 + tag] != '-')
		return false;
	memcpy(stream, name, bytes - tail);
	stream[bytes - tail] = '\0';
	*number = (uint32_t)value;
	return true;
}

/* Removes files of this log beyond what the state knows. */
static int remove_unknown(struct outfiles *files, struct err *err)
{
	char stream[BATCH_STREAM_NAME_BYTES + 1];
	DIR *d = opendir(files->dir);
	struct dirent *entry;
	uint32_t number;
	int rc = 0;

	if (!d)
		return err_errno(err, errno, "cannot read %s", files->dir);
	while (rc == 0 && (entry = readdir(d))) {
		uint32_t known = 0;

		if (!parse_name(files, entry->d_name, stream, &number))
			continue;
		for (uint32_t i = 0; i < files->count; i++)
			if (strcmp(files->files[i].stream, stream) == 0)
				known = files->files[i].number;
		if (number > known && unlinkat(dirfd(d), entry->d_name, 0) != 0)
			rc = err_errno(err, errno, "cannot remove %s/%s",
				       files->dir, entry->d_name);
	}
	closedir(d);
	return rc;
}

/* A failed sync may have dropped pages of a file: it is never written again. */
static void begin_anew(struct outfiles *files)
{
	for (uint32_t i = 0; i < files->count; i++) {
		close_file(&files->files[i]);
		next_number(files, &files->files[i]);
	}
}

int outfiles_open(struct outfiles **out, const struct outfiles_options *options,
		  struct err *err)
{
	struct outfiles *files = xcalloc(1, sizeof(*files));

	files->dir = xstrdup(options->dir);
	files->log_tag = xstrdup(options->log_tag);
	files->rotate_bytes = (uint64_t)options->rotate_bytes;
	if (durable_mkdir(files->dir, err) != 0 ||
	    restore(files, options, err) != 0 ||
	    remove_unknown(files, err) != 0) {
		outfiles_close(&files);
		return -1;
	}
	if (options->fresh)
		begin_anew(files);
	*out = files;
	return 0;
}

void outfiles_close(struct outfiles **out)
{
	struct outfiles *files = *out;

	if (!files)
		return;
	for (uint32_t i = 0; i < files->count; i++)
		close_file(&files->files[i]);
	free(files->files);
	free(files->dir);
	free(files->log_tag);
	free(files);
	*out = NULL;
}
