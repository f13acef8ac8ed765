#include "services/eventhub-publisher/outfiles.h"

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
#include "base/log.h"

#define STATE_VERSION 1
#define FLUSH_BYTES   (256u << 10)

/* The file that a stream is written to now. */
struct outfile {
	char stream[BATCH_STREAM_NAME_BYTES + 1];
	uint32_t number;
	int fd; /* -1 until something is written */
	uint64_t written;
	uint64_t synced;
	struct buf gathered; /* lines behind `written` */
};

struct outfiles {
	char *dir;
	char *log_tag;
	uint64_t rotate_bytes;
	bool new_names; /* the directory is to be synced */
	uint32_t count;
	struct outfile files[BATCH_MAX_STREAMS];
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

static struct outfile *find(struct outfiles *files, const char *stream,
			    size_t bytes)
{
	struct outfile *file;

	for (uint32_t i = 0; i < files->count; i++) {
		file = &files->files[i];
		if (strlen(file->stream) == bytes &&
		    memcmp(file->stream, stream, bytes) == 0)
			return file;
	}
	if (files->count == BATCH_MAX_STREAMS)
		return NULL;
	file = &files->files[files->count++];
	*file = (struct outfile){.number = 1, .fd = -1};
	memcpy(file->stream, stream, bytes);
	return file;
}

static void next_number(struct outfiles *files, struct outfile *file)
{
	file->number++;
	file->written = 0;
	file->synced = 0;
	files->new_names = true;
}

/* Opens the current file of a stream; one that was taken away stays gone. */
static int open_current(struct outfiles *files, struct outfile *file,
			struct err *err)
{
	int create = file->written ? 0 : O_CREAT;
	char *path = name_of(files, file);

	file->fd = open(path, O_WRONLY | O_CLOEXEC | create, 0640);
	if (file->fd < 0 && errno == ENOENT && !create) {
		log_warn("output_file_gone",
			 "path=%s bytes=%" PRIu64 " action=\"somebody took it "
			 "away; delivery goes on in the next\"",
			 path, file->written);
		next_number(files, file);
		free(path);
		path = name_of(files, file);
		file->fd = open(path, O_WRONLY | O_CLOEXEC | O_CREAT, 0640);
	}
	if (file->fd < 0)
		err_errno(err, errno, "cannot open %s", path);
	free(path);
	return file->fd < 0 ? -1 : 0;
}

/* Opens the current file of a stream and cuts it to what is known of it. */
static int ready(struct outfiles *files, struct outfile *file, struct err *err)
{
	struct stat st;
	char *path;
	int rc = -1;

	if (open_current(files, file, err) != 0)
		return -1;
	path = name_of(files, file);
	if (fstat(file->fd, &st) != 0) {
		err_errno(err, errno, "cannot stat %s", path);
		goto out;
	}
	if ((uint64_t)st.st_size < file->written) {
		err_set(err, EINVAL,
			"%s has %lld bytes, but %" PRIu64 " were delivered to "
			"it: somebody cut it; move it away and start again",
			path, (long long)st.st_size, file->written);
		goto out;
	}
	if (ftruncate(file->fd, (off_t)file->written) != 0 ||
	    lseek(file->fd, (off_t)file->written, SEEK_SET) < 0) {
		err_errno(err, errno, "cannot cut %s to %" PRIu64 " bytes",
			  path, file->written);
		goto out;
	}
	files->new_names = true;
	rc = 0;
out:
	free(path);
	return rc;
}

static int write_all(int fd, const char *data, size_t bytes)
{
	while (bytes) {
		ssize_t n = write(fd, data, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int rotate(struct outfiles *files, struct outfile *file, struct err *err)
{
	if (durable_sync(file->fd, file->stream, err) != 0)
		return -1;
	close(file->fd);
	file->fd = -1;
	next_number(files, file);
	return 0;
}

/* Hands what was gathered to the kernel, and begins a new file when due. */
static int flush(struct outfiles *files, struct outfile *file, struct err *err)
{
	size_t bytes = file->gathered.used;

	if (!bytes)
		return 0;
	if (file->fd < 0 && ready(files, file, err) != 0)
		return -1;
	if (write_all(file->fd, file->gathered.data, bytes) != 0)
		return err_errno(err, errno, "cannot write to %s/%s-%s-%06u",
				 files->dir, file->stream, files->log_tag,
				 file->number);
	buf_clear(&file->gathered);
	file->written += bytes;
	if (file->written >= files->rotate_bytes)
		return rotate(files, file, err);
	return 0;
}

/* Large writes cost the kernel a third of what many small ones do. */
static bool flush_due(const struct outfiles *files, const struct outfile *file)
{
	return file->gathered.used >= FLUSH_BYTES ||
	       file->written + file->gathered.used >= files->rotate_bytes;
}

int outfiles_write(struct outfiles *files, const struct batch *b,
		   struct err *err)
{
	struct outfile *file_of[BATCH_MAX_STREAMS];

	for (uint16_t s = 0; s < b->stream_count; s++) {
		file_of[s] = find(files, b->streams[s], b->stream_bytes[s]);
		if (!file_of[s])
			return err_set(err, ENOSPC,
				       "more than %d streams in %s",
				       BATCH_MAX_STREAMS, files->dir);
	}
	for (uint32_t i = 0; i < b->header.events; i++) {
		const struct batch_event *event = &b->events[i];
		struct outfile *file = file_of[event->stream];

		/* A '\n' lies behind each event. */
		buf_append(&file->gathered, b->payload + event->offset,
			   event->bytes + 1);
		if (flush_due(files, file) && flush(files, file, err) != 0)
			return -1;
	}
	return 0;
}

int outfiles_sync(struct outfiles *files, struct err *err)
{
	for (uint32_t i = 0; i < files->count; i++) {
		struct outfile *file = &files->files[i];

		if (flush(files, file, err) != 0)
			return -1;
		if (file->fd >= 0 && file->written > file->synced &&
		    durable_sync(file->fd, file->stream, err) != 0)
			return -1;
	}
	if (files->new_names && durable_sync_dir(files->dir, err) != 0)
		return -1;
	files->new_names = false;
	for (uint32_t i = 0; i < files->count; i++)
		files->files[i].synced = files->files[i].written;
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

		memcpy(&saved, (const char *)options->state + at,
		       sizeof(saved));
		saved.stream[sizeof(saved.stream) - 1] = '\0';
		file = find(files, saved.stream, strlen(saved.stream));
		if (!file || saved.version != STATE_VERSION)
			return err_set(err, EINVAL,
				       "the saved state of %s cannot be read",
				       files->dir);
		file->number = saved.number;
		file->written = saved.synced;
		file->synced = saved.synced;
		if (ready(files, file, err) != 0)
			return -1;
	}
	return 0;
}

/* Which file of this log a name is; false when it is none. */
static bool parse_name(const struct outfiles *files, const char *name,
		       char stream[BATCH_STREAM_NAME_BYTES + 1],
		       uint32_t *number)
{
	size_t tag = strlen(files->log_tag), bytes = strlen(name);
	size_t tail = 1 + tag + 1 + 6 + strlen(".ndjson");
	const char *at;

	if (bytes <= tail || bytes - tail > BATCH_STREAM_NAME_BYTES)
		return false;
	at = name + bytes - tail;
	if (*at != '-' || memcmp(at + 1, files->log_tag, tag) != 0)
		return false;
	memcpy(stream, name, bytes - tail);
	stream[bytes - tail] = '\0';
	*number = (uint32_t)strtoul(at + 1 + tag + 1, NULL, 10);
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
		struct outfile *file = &files->files[i];

		close(file->fd);
		file->fd = -1;
		next_number(files, file);
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
	for (uint32_t i = 0; i < files->count; i++) {
		if (files->files[i].fd >= 0)
			close(files->files[i].fd);
		buf_free(&files->files[i].gathered);
	}
	free(files->dir);
	free(files->log_tag);
	free(files);
	*out = NULL;
}
