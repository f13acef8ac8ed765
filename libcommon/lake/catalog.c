#include "lake/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "lake/store_blob.h"

#define FILE_SCHEME  "file://"
#define LOG_FOLDER   "_delta_log"
#define MEMORY_BYTES ((int64_t)1 << 30) /* beyond it, DuckDB uses the disk */
#define MOST_THREADS 8
#define LISTED_BYTES 200 /* of names in an error */

/* ---- what there is ---- */

struct folders {
	char **paths;
	size_t count;
};

static bool add_folder(void *arg, const char *name)
{
	struct folders *f = arg;

	f->paths = xreallocarray(f->paths, f->count + 1, sizeof(*f->paths));
	f->paths[f->count++] = xstrdup(name);
	return true;
}

static void free_folders(struct folders *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->paths[i]);
	free(f->paths);
}

/* The folders right in `path`, whose names are relative to the root too. */
static int list_folders(struct catalog *c, const char *path, struct folders *f,
			struct err *err)
{
	char *prefix = xasprintf("%s/", path);
	int rc = store_list_dirs(c->store, prefix, add_folder, f, err);

	free(prefix);
	return rc;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void add_table(struct catalog *c, const char *schema, const char *path)
{
	bool plain = !*schema || strcasecmp(schema, c->options.schema) == 0;
	struct catalog_table *t;

	c->tables = xreallocarray(c->tables, c->count + 1, sizeof(*c->tables));
	t = &c->tables[c->count++];
	*t = (struct catalog_table){.version = -1, .plain = plain};
	t->schema = xstrdup(schema);
	t->table = xstrdup(last_part(path));
	t->path = xstrdup(path);
	t->name =
	    plain ? xstrdup(t->table) : xasprintf("%s.%s", schema, t->table);
}

static bool note_one(void *arg, const struct store_file *file)
{
	(void)file;
	*(bool *)arg = true;
	return false;
}

/* Asked by its log, since a table may have any number of data files. */
static int is_table(struct catalog *c, const char *path, bool *found,
		    struct err *err)
{
	char *log = xasprintf("%s/" LOG_FOLDER, path);
	char *inside = xasprintf("%s/", log);
	struct buf local = {0};
	int rc = 0;

	*found = false;
	if (store_local_path(c->store, log, &local))
		*found = access(buf_str(&local), F_OK) == 0;
	else
		rc = store_list(c->store, inside, NULL, note_one, found, err);
	buf_free(&local);
	free(inside);
	free(log);
	return rc;
}

/* A folder of tables: a table each, and what is none may be a schema. */
static int look_into(struct catalog *c, const char *path, const char *schema,
		     struct err *err)
{
	struct folders all = {0};
	int rc = list_folders(c, path, &all, err);

	for (size_t i = 0; i < all.count && rc == 0; i++) {
		bool found;

		rc = is_table(c, all.paths[i], &found, err);
		if (rc == 0 && found)
			add_table(c, schema, all.paths[i]);
		else if (rc == 0 && !*schema)
			rc = look_into(c, all.paths[i], last_part(all.paths[i]),
				       err);
	}
	free_folders(&all);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	const struct catalog_table *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* ---- opening ---- */

/* A folder that is not there would be made by opening it. */
static int check_folder(const char *url, struct err *err)
{
	const char *path = url;

	if (strncmp(path, FILE_SCHEME, sizeof(FILE_SCHEME) - 1) == 0)
		path += sizeof(FILE_SCHEME) - 1;
	if (*path != '/' || access(path, F_OK) == 0)
		return 0;
	if (errno != ENOENT)
		return err_errno(err, errno, "cannot look into %s", path);
	return err_set(err, ENOENT,
		       "there is no lake at %s yet; the onelake-writer makes "
		       "it when the first events arrive",
		       path);
}

static int open_duck(struct catalog *c, struct err *err)
{
	struct buf root = {0};
	const char *local =
	    store_local_path(c->store, c->options.tables, &root);
	const char *folders[] = {local ? local : c->options.cache_dir, NULL};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct duck_options options = {
	    .temp_dir = c->options.temp_dir,
	    .memory_bytes = MEMORY_BYTES,
	    .threads = cpus < 1		     ? 1
		       : cpus > MOST_THREADS ? MOST_THREADS
					     : (int)cpus,
	    .folders = folders,
	};
	int rc = duck_open(&c->duck, &options, err);

	buf_free(&root);
	return rc;
}

int catalog_open(struct catalog *c, const struct catalog_options *options,
		 struct err *err)
{
	struct blob_options blobs = {
	    .identity_name = options->identity_name,
	    .identity = options->identity,
	    .stop = options->stop,
	};

	*c = (struct catalog){.options = *options};
	if (check_folder(options->url, err) != 0 ||
	    store_open(&c->store, options->url, &blobs, err) != 0 ||
	    open_duck(c, err) != 0 ||
	    look_into(c, options->tables, "", err) != 0) {
		catalog_close(c);
		return -1;
	}
	if (c->count)
		qsort(c->tables, c->count, sizeof(*c->tables), by_name);
	return 0;
}

void catalog_close(struct catalog *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		free(c->tables[i].name);
		free(c->tables[i].schema);
		free(c->tables[i].table);
		free(c->tables[i].path);
	}
	free(c->tables);
	duck_close(&c->duck);
	store_close(&c->store);
	*c = (struct catalog){0};
}

/* ---- finding ---- */

/* The name of the table that was meant, perhaps; or NULL. */
static const char *nearest(const struct catalog *c, const char *name)
{
	const char **names = xcalloc(c->count + 1, sizeof(*names));
	const char *near;

	for (uint32_t i = 0; i < c->count; i++)
		names[i] = c->tables[i].name;
	near = text_nearest(name, names, c->count);
	/* Or one whose schema was left out. */
	for (uint32_t i = 0; i < c->count && !near; i++)
		names[i] = c->tables[i].table;
	if (!near)
		near = text_nearest(name, names, c->count);
	for (uint32_t i = 0; i < c->count && near; i++)
		if (names[i] == near)
			near = c->tables[i].name;
	free(names);
	return near;
}

void catalog_unknown(const struct catalog *c, const char *name, struct err *err)
{
	const char *near = nearest(c, name);
	struct buf list = {0};
	uint32_t shown = 0;

	for (; shown < c->count && list.used < LISTED_BYTES; shown++)
		buf_printf(&list, "%s%.100s", shown ? ", " : "",
			   c->tables[shown].name);
	if (shown < c->count)
		buf_text(&list, ", …");
	if (!c->count)
		err_set(err, ENOENT,
			"there is no table \"%.100s\": the lake has none yet "
			"in %s",
			name, c->options.tables);
	else if (near && strcasecmp(near, name) == 0)
		err_set(err, ENOENT,
			"there is no table \"%.100s\" in that schema; there "
			"are %s",
			name, buf_str(&list));
	else
		err_set(err, ENOENT,
			"there is no table \"%.100s\"%s%.100s%s there are %s",
			name, near ? "; did you mean \"" : "", near ? near : "",
			near ? "\"?" : ";", buf_str(&list));
	buf_free(&list);
}

struct catalog_table *catalog_find(struct catalog *c, const char *name,
				   struct err *err)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (strcasecmp(c->tables[i].name, name) == 0)
			return &c->tables[i];
	catalog_unknown(c, name, err);
	return NULL;
}

int catalog_load(struct catalog *c, const struct catalog_table *table,
		 struct delta **delta, struct err *err)
{
	int rc;

	*delta = NULL;
	if (c->options.stop && atomic_load(c->options.stop))
		return err_set(err, ECANCELED, "stopped");
	rc = table->version < 0
		 ? delta_open(delta, c->store, c->duck, table->path, err)
		 : delta_open_at(delta, c->store, c->duck, table->path,
				 table->version, err);
	if (rc == 0 && delta_version(*delta) < 0) {
		delta_close(delta);
		rc = err_set(err, ENOENT, "table %s has no commit yet",
			     table->name);
	}
	return rc;
}
