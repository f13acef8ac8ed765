/* The calls of store.h: names are checked, then the kind of store acts. */
#include "lake/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static bool is_part(const char *part, size_t bytes)
{
	return bytes && !(bytes == 1 && part[0] == '.') &&
	       !(bytes == 2 && memcmp(part, "..", 2) == 0);
}

static bool is_text(const char *name, size_t bytes)
{
	for (size_t i = 0, n; i < bytes; i += n) {
		n = text_utf8_bytes(name + i, bytes - i);
		if (!n || (unsigned char)name[i] < ' ' || name[i] == 0x7f)
			return false;
	}
	return true;
}

/* Whether the first `bytes` bytes are parts as names have them. */
static bool is_name(const char *name, size_t bytes)
{
	const char *end = name + bytes, *slash;

	if (!bytes || bytes > STORE_NAME_BYTES || !is_text(name, bytes))
		return false;
	while ((slash = memchr(name, '/', (size_t)(end - name)))) {
		if (!is_part(name, (size_t)(slash - name)))
			return false;
		name = slash + 1;
	}
	return is_part(name, (size_t)(end - name));
}

bool store_is_name(const char *name)
{
	return is_name(name, strlen(name));
}

static int check_name(const char *name, struct err *err)
{
	if (store_is_name(name))
		return 0;
	return err_set(
	    err, EINVAL,
	    "\"%.200s\" names no file of a lake: a name is relative, "
	    "has 1 to %d bytes of UTF-8 without control characters, "
	    "and no part of it is empty, \".\" or \"..\"",
	    name, STORE_NAME_BYTES);
}

/* Of a prefix only the folders must be whole names. */
static int check_prefix(const char *prefix, struct err *err)
{
	const char *slash = strrchr(prefix, '/');

	if (strlen(prefix) <= STORE_NAME_BYTES &&
	    (!slash || is_name(prefix, (size_t)(slash - prefix))))
		return 0;
	return err_set(err, EINVAL, "\"%.200s\" begins no name of a lake",
		       prefix);
}

void store_close(struct store **s)
{
	if (!*s)
		return;
	free((*s)->url);
	(*s)->kind->close(*s);
	*s = NULL;
}

int store_put_if_absent(struct store *s, const char *name, const void *data,
			size_t bytes, enum store_put *result, struct err *err)
{
	if (check_name(name, err) != 0)
		return -1;
	return s->kind->put_if_absent(s, name, data, bytes, result, err);
}

int store_upload(struct store *s, const char *name, const char *path,
		 struct err *err)
{
	if (check_name(name, err) != 0)
		return -1;
	return s->kind->upload(s, name, path, err);
}

int store_put(struct store *s, const char *name, const void *data, size_t bytes,
	      struct err *err)
{
	if (check_name(name, err) != 0)
		return -1;
	return s->kind->put(s, name, data, bytes, err);
}

int store_get(struct store *s, const char *name, size_t limit, struct buf *data,
	      struct err *err)
{
	if (check_name(name, err) != 0)
		return -1;
	return s->kind->get(s, name, limit, data, err);
}

int store_fetch(struct store *s, const char *name, const char *path,
		struct err *err)
{
	if (check_name(name, err) != 0)
		return -1;
	return s->kind->fetch(s, name, path, err);
}

int store_list(struct store *s, const char *prefix, const char *from,
	       bool (*visit)(void *arg, const struct store_file *file),
	       void *arg, struct err *err)
{
	if (check_prefix(prefix, err) != 0)
		return -1;
	return s->kind->list(s, prefix, from, visit, arg, err);
}

int store_list_dirs(struct store *s, const char *prefix,
		    bool (*visit)(void *arg, const char *name), void *arg,
		    struct err *err)
{
	size_t bytes = strlen(prefix);

	if (check_prefix(prefix, err) != 0)
		return -1;
	if (bytes && prefix[bytes - 1] != '/')
		return err_set(err, EINVAL,
			       "\"%.200s\" is no folder of a lake: it does not "
			       "end in '/'",
			       prefix);
	return s->kind->list_dirs(s, prefix, visit, arg, err);
}

int store_remove(struct store *s, const char *name, struct err *err)
{
	if (check_name(name, err) != 0)
		return -1;
	return s->kind->remove(s, name, err);
}

const char *store_local_path(struct store *s, const char *name,
			     struct buf *path)
{
	if (!store_is_name(name))
		return NULL;
	return s->kind->local_path(s, name, path);
}
