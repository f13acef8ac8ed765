/* What a table asks of its readers and writers: PROTOCOL.md, "Protocol
 * Evolution" and "Valid Feature Names in Table Features". */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lake/delta_inside.h"

/* What a feature's own mark says about whether it is in use. */
enum feature_use {
	USE_NEVER_HINDERS, /* an append has nothing to do for it */
	USE_PROPERTY,	   /* when a property of that beginning is set */
	USE_SCHEMA,	   /* when a column has that metadata */
};

/*
 * Features that need nothing while they are not used. Whatever is not here is
 * refused by its name. `since` is the writer version that implies it.
 */
static const struct feature {
	const char *name;
	int since;
	bool read; /* also asked of readers */
	enum feature_use use;
	const char *mark;
} features[] = {
    {"appendOnly", 2, false, USE_NEVER_HINDERS, NULL},
    {"invariants", 2, false, USE_SCHEMA, "\"delta.invariants\""},
    {"checkConstraints", 3, false, USE_PROPERTY, "delta.constraints."},
    /* An append is its own change data. */
    {"changeDataFeed", 4, false, USE_NEVER_HINDERS, NULL},
    {"generatedColumns", 4, false, USE_SCHEMA,
     "\"delta.generationExpression\""},
    {"columnMapping", 5, true, USE_PROPERTY, "delta.columnMapping.mode"},
    {"identityColumns", 6, false, USE_SCHEMA, "\"delta.identity."},
    {"timestampNtz", 7, true, USE_NEVER_HINDERS, NULL},
    {"vacuumProtocolCheck", 7, true, USE_NEVER_HINDERS, NULL},
};
#define FEATURES (sizeof(features) / sizeof(features[0]))

/* The value of the first property whose name begins so, but "none". */
static const char *property_from(const struct delta_state *s, const char *begin)
{
	const cJSON *all =
	    cJSON_GetObjectItemCaseSensitive(s->metadata, "configuration");
	const cJSON *item;

	cJSON_ArrayForEach (item, all) {
		if (strncmp(item->string, begin, strlen(begin)) == 0 &&
		    cJSON_IsString(item) &&
		    strcmp(item->valuestring, "none") != 0)
			return item->string;
	}
	return NULL;
}

const char *delta_state_property(const struct delta_state *s, const char *name)
{
	return delta_json_text(
	    cJSON_GetObjectItemCaseSensitive(s->metadata, "configuration"),
	    name);
}

static bool in_use(const struct delta_state *s, const struct feature *f)
{
	const char *schema = delta_json_text(s->metadata, "schemaString");

	if (f->use == USE_PROPERTY)
		return property_from(s, f->mark) != NULL;
	if (f->use == USE_SCHEMA)
		return schema && strstr(schema, f->mark);
	return false;
}

static const struct feature *feature_find(const char *name)
{
	for (size_t i = 0; i < FEATURES; i++) {
		if (strcmp(features[i].name, name) == 0)
			return &features[i];
	}
	return NULL;
}

/* Appends what of a protocol's list of names we cannot do, by commas. */
static void lacking(const struct delta_state *s, const char *list,
		    struct buf *names)
{
	const cJSON *item;

	cJSON_ArrayForEach (
	    item, cJSON_GetObjectItemCaseSensitive(s->protocol, list)) {
		const char *name = cJSON_GetStringValue(item);
		const struct feature *f = name ? feature_find(name) : NULL;

		if (f && !in_use(s, f))
			continue;
		buf_printf(names, "%s%s", names->used ? ", " : "",
			   name ? name : "?");
	}
}

static int version_of(const struct delta_state *s, const char *name)
{
	int64_t version;

	return delta_json_int(
		   cJSON_GetObjectItemCaseSensitive(s->protocol, name),
		   &version) &&
		       version > 0 && version < 1000
		   ? (int)version
		   : 0;
}

/* Fails with the names that are in the way, if there are any. */
static int refuse(const struct delta *t, struct buf *names, const char *what,
		  struct err *err)
{
	int rc = 0;

	if (names->used)
		rc = err_set(err, ENOTSUP,
			     "table %s needs %s to have features that Weft "
			     "lacks: %s; drop them from the table, or use "
			     "another table",
			     t->path, what, buf_str(names));
	buf_free(names);
	return rc;
}

int delta_feature_check_read(const struct delta *t, const struct delta_state *s,
			     struct err *err)
{
	int reader = version_of(s, "minReaderVersion");
	const struct feature *mapping = feature_find("columnMapping");
	struct buf names = {0};

	if (reader < 1 || reader > 3)
		return err_set(err, ENOTSUP,
			       "table %s has a protocol of reader version %d; "
			       "Weft reads 1 to 3",
			       t->path, reader);
	if (reader == 2 && in_use(s, mapping))
		buf_text(&names, mapping->name);
	if (reader == 3)
		lacking(s, "readerFeatures", &names);
	return refuse(t, &names, "readers", err);
}

int delta_feature_check_write(const struct delta *t,
			      const struct delta_state *s, struct err *err)
{
	int writer = version_of(s, "minWriterVersion");
	struct buf names = {0};

	if (writer < 1 || writer > 7)
		return err_set(err, ENOTSUP,
			       "table %s has a protocol of writer version %d; "
			       "Weft writes 1 to 7",
			       t->path, writer);
	if (writer == 7) {
		lacking(s, "writerFeatures", &names);
	} else {
		for (size_t i = 0; i < FEATURES; i++) {
			if (features[i].since <= writer &&
			    in_use(s, &features[i]))
				buf_printf(&names, "%s%s",
					   names.used ? ", " : "",
					   features[i].name);
		}
	}
	if (refuse(t, &names, "writers", err) != 0)
		return -1;
	if (s->column_count)
		return err_set(err, ENOTSUP,
			       "table %s is partitioned by %s; Weft appends to "
			       "tables without partitions only",
			       t->path, s->columns[0]);
	return 0;
}
