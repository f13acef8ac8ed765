#include "lake/store_blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

struct remote {
	struct store store;
	struct blob_client *client;
};

static struct blob_client *client_of(struct store *s)
{
	return ((struct remote *)s)->client;
}

static int put_if_absent(struct store *s, const char *name, const void *data,
			 size_t bytes, enum store_put *result, struct err *err)
{
	static const enum store_put results[] = {
	    [BLOB_CREATED] = STORE_CREATED,
	    [BLOB_EXISTS] = STORE_EXISTS,
	    [BLOB_UNKNOWN] = STORE_UNKNOWN,
	};
	enum blob_put put;

	if (blob_put_if_absent(client_of(s), name, data, bytes, &put, err) != 0)
		return -1;
	*result = results[put];
	return 0;
}

static int upload(struct store *s, const char *name, const char *path,
		  struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", path);
	rc = blob_upload(client_of(s), name, fd, err);
	close(fd);
	return rc;
}

static int put(struct store *s, const char *name, const void *data,
	       size_t bytes, struct err *err)
{
	return blob_put(client_of(s), name, data, bytes, err);
}

static int get(struct store *s, const char *name, size_t limit,
	       struct buf *data, struct err *err)
{
	return blob_get(client_of(s), name, NULL, limit, data, err);
}

static int fetch(struct store *s, const char *name, const char *path,
		 struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc;

	if (fd < 0)
		return err_errno(err, errno, "cannot create %s", path);
	rc = blob_fetch(client_of(s), name, fd, err);
	close(fd);
	if (rc != 0)
		unlink(path);
	return rc;
}

/* What a listing calls back with. */
struct visitor {
	bool (*file)(void *arg, const struct store_file *file);
	bool (*dir)(void *arg, const char *name);
	void *arg;
};

static bool visit_file(void *arg, const struct blob_entry *e)
{
	const struct visitor *v = arg;
	struct store_file file = {e->name, e->bytes, e->modified_at_ms};

	return !store_is_name(e->name) || v->file(v->arg, &file);
}

static int list(struct store *s, const char *prefix, const char *from,
		bool (*visit)(void *arg, const struct store_file *file),
		void *arg, struct err *err)
{
	struct blob_query query = {.prefix = prefix, .from = from};
	struct visitor v = {.file = visit, .arg = arg};

	return blob_list(client_of(s), &query, visit_file, &v, err);
}

static bool visit_dir(void *arg, const struct blob_entry *e)
{
	const struct visitor *v = arg;
	size_t bytes = strlen(e->name);
	char *name;
	bool more;

	if (!e->is_prefix || !bytes)
		return true;
	name = xmemdup0(e->name, bytes - 1); /* without its '/' */
	more = !store_is_name(name) || v->dir(v->arg, name);
	free(name);
	return more;
}

static int list_dirs(struct store *s, const char *prefix,
		     bool (*visit)(void *arg, const char *name), void *arg,
		     struct err *err)
{
	struct blob_query query = {.prefix = prefix, .delimiter = "/"};
	struct visitor v = {.dir = visit, .arg = arg};

	return blob_list(client_of(s), &query, visit_dir, &v, err);
}

static int remove_name(struct store *s, const char *name, struct err *err)
{
	return blob_delete(client_of(s), name, err);
}

static const char *no_path(struct store *s, const char *name, struct buf *path)
{
	(void)s;
	(void)name;
	(void)path;
	return NULL;
}

static void close_remote(struct store *s)
{
	struct remote *r = (struct remote *)s;

	blob_close(&r->client);
	free(r);
}

static const struct store_kind kind = {
    .put_if_absent = put_if_absent,
    .upload = upload,
    .put = put,
    .get = get,
    .fetch = fetch,
    .list = list,
    .list_dirs = list_dirs,
    .remove = remove_name,
    .local_path = no_path,
    .close = close_remote,
};

int store_open_blob(struct store **s, const char *url,
		    const struct blob_options *options, struct err *err)
{
	struct blob_client *client;
	struct remote *r;

	*s = NULL;
	if (store_check(url, options, err) != 0 ||
	    blob_open(&client, url, options, err) != 0)
		return -1;
	r = xcalloc(1, sizeof(*r));
	r->store.kind = &kind;
	r->store.url = xstrdup(url);
	r->client = client;
	*s = &r->store;
	return 0;
}

int store_open(struct store **s, const char *url,
	       const struct blob_options *options, struct err *err)
{
	*s = NULL;
	if (store_url_root(url))
		return store_open_local(s, store_url_root(url), err);
	return store_open_blob(s, url, options, err);
}
