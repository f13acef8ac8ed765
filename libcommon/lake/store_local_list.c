/* Listing a local folder in the order in which names sort as whole texts. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "lake/store_local.h"

/* A directory's entries; those of folders end in '/', so that they sort as the
 * names below them do. */
struct entries {
	char **keys;
	size_t count;
};

struct walk {
	struct local *l;
	const char *prefix, *from;
	bool (*visit)(void *arg, const struct store_file *file);
	void *arg;
	struct buf name; /* of the folder, "" or ending in '/' */
	bool stopped;
};

static void entries_free(struct entries *e)
{
	for (size_t i = 0; i < e->count; i++)
		free(e->keys[i]);
	free(e->keys);
}

static void entries_add(struct entries *e, char *key)
{
	if ((e->count & (e->count - 1)) == 0)
		e->keys = xreallocarray(e->keys, e->count ? e->count * 2 : 1,
					sizeof(*e->keys));
	e->keys[e->count++] = key;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* S_IFDIR, S_IFREG or 0 for what is neither. */
static mode_t type_of(DIR *dir, const struct dirent *d, bool follow)
{
	struct stat st;

	if (d->d_type == DT_DIR)
		return S_IFDIR;
	if (d->d_type == DT_REG)
		return S_IFREG;
	if ((d->d_type != DT_LNK && d->d_type != DT_UNKNOWN) ||
	    fstatat(dirfd(dir), d->d_name, &st, 0) != 0)
		return 0;
	/* A link to a folder may lead in circles. */
	if (S_ISDIR(st.st_mode) && !follow &&
	    (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	     !S_ISDIR(st.st_mode)))
		return 0;
	return st.st_mode & S_IFMT;
}

/*
 * The names in a folder that a store can hold, sorted. A folder that is not
 * there has none.
 */
static int read_entries(struct local *l, const char *path, bool follow,
			struct entries *e, struct err *err)
{
	struct dirent *d;
	DIR *dir;

	if (local_settle(l, path, err) != 0)
		return err->code == ENOENT || err->code == ENOTDIR
			   ? 0
			   : local_failed(err);
	dir = opendir(path);
	if (!dir && errno == ENOENT)
		return 0;
	if (!dir) {
		err_errno(err, errno, "cannot list %s", path);
		return local_failed(err);
	}
	while (errno = 0, (d = readdir(dir))) {
		mode_t type =
		    local_is_temporary(d->d_name) ? 0 : type_of(dir, d, follow);

		if (!store_is_name(d->d_name))
			continue;
		if (type == S_IFDIR)
			entries_add(e, xasprintf("%s/", d->d_name));
		else if (type == S_IFREG)
			entries_add(e, xstrdup(d->d_name));
	}
	if (errno) {
		err_errno(err, errno, "cannot list %s", path);
		closedir(dir);
		return local_failed(err);
	}
	closedir(dir);
	if (e->count)
		qsort(e->keys, e->count, sizeof(*e->keys), compare);
	return 0;
}

/* Whether the name, or for a folder any name in it, may be wanted. */
static bool is_wanted(const struct walk *w, const char *name, bool folder)
{
	size_t bytes = strlen(name), prefix = strlen(w->prefix);

	if (strncmp(name, w->prefix,
		    folder && bytes < prefix ? bytes : prefix) != 0)
		return false;
	if (!w->from)
		return true;
	return folder ? strncmp(name, w->from, bytes) >= 0
		      : strcmp(name, w->from) >= 0;
}

static void visit_file(struct walk *w)
{
	const char *name = buf_str(&w->name);
	char *path = local_path(w->l, name);
	struct stat st;

	/* One that was removed meanwhile is none. */
	if (store_is_name(name) && stat(path, &st) == 0)
		w->stopped = !w->visit(
		    w->arg,
		    &(struct store_file){
			.name = name,
			.bytes = st.st_size,
			.modified_at_ms = (int64_t)st.st_mtim.tv_sec * 1000 +
					  st.st_mtim.tv_nsec / 1000000,
		    });
	free(path);
}

/* The depth is bounded by the length of names. */
static int walk_folder(struct walk *w, struct err *err)
{
	char *path = local_path(w->l, buf_str(&w->name));
	struct entries e = {0};
	size_t used = w->name.used;
	int rc;

	path[strlen(path) - 1] = '\0';
	rc = read_entries(w->l, path, false, &e, err);
	free(path);
	for (size_t i = 0; rc == 0 && i < e.count && !w->stopped; i++) {
		bool folder = e.keys[i][strlen(e.keys[i]) - 1] == '/';

		buf_text(&w->name, e.keys[i]);
		if (!is_wanted(w, buf_str(&w->name), folder))
			;
		else if (!folder)
			visit_file(w);
		else if (w->name.used <= STORE_NAME_BYTES)
			rc = walk_folder(w, err);
		w->name.used = used;
	}
	entries_free(&e);
	return rc;
}

int local_list(struct store *s, const char *prefix, const char *from,
	       bool (*visit)(void *arg, const struct store_file *file),
	       void *arg, struct err *err)
{
	const char *slash = strrchr(prefix, '/');
	struct walk w = {.l = (struct local *)s,
			 .prefix = prefix,
			 .from = from,
			 .visit = visit,
			 .arg = arg};
	int rc;

	if (slash)
		buf_append(&w.name, prefix, (size_t)(slash - prefix) + 1);
	rc = walk_folder(&w, err);
	buf_free(&w.name);
	return rc;
}

int local_list_dirs(struct store *s, const char *prefix,
		    bool (*visit)(void *arg, const char *name), void *arg,
		    struct err *err)
{
	struct local *l = (struct local *)s;
	char *path = local_path(l, prefix);
	struct entries e = {0};
	bool more = true;
	int rc;

	path[strlen(path) - 1] = '\0';
	rc = read_entries(l, path, true, &e, err);
	free(path);
	for (size_t i = 0; rc == 0 && i < e.count && more; i++) {
		size_t bytes = strlen(e.keys[i]) - 1;
		char *name;

		if (e.keys[i][bytes] != '/')
			continue;
		e.keys[i][bytes] = '\0';
		name = xasprintf("%s%s", prefix, e.keys[i]);
		more = visit(arg, name);
		free(name);
	}
	entries_free(&e);
	return rc;
}
