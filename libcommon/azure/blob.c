#include "azure/blob.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/evp.h>

#include "azure/blob_inside.h"
#include "base/alloc.h"
#include "base/uuid.h"

#define SECOND	    INT64_C(1000000)
#define DEADLINE_US (60 * SECOND)
#define STALL_US    (20 * SECOND)
#define BLOCK_BYTES (INT64_C(8) << 20)
#define MAX_BLOCKS  50000
#define LIST_BYTES  (64u << 20)
#define ID_BYTES    25 /* Base64 of 16 bytes, and a NUL */

int blob_open(struct blob_client **c, const char *url,
	      const struct blob_options *o, struct err *err)
{
	struct http_client_options http = {
	    .ca_file = o->ca_file,
	    .stall_us = o->stall_us ? o->stall_us : STALL_US,
	    .stop = o->stop,
	};
	struct blob_client *b = xcalloc(1, sizeof(*b));

	*c = NULL;
	if (storage_credential_new(&b->credential, o->identity_name,
				   o->identity, err) != 0 ||
	    blob_place_parse(&b->place, url, b->credential, err) != 0) {
		blob_close(&b);
		return -1;
	}
	b->http = http_client_new(&http);
	b->stop = o->stop;
	b->deadline_us = o->deadline_us ? o->deadline_us : DEADLINE_US;
	b->block_bytes = o->block_bytes ? o->block_bytes : BLOCK_BYTES;
	b->page = o->page;
	*c = b;
	return 0;
}

void blob_close(struct blob_client **c)
{
	if (!*c)
		return;
	http_client_free(&(*c)->http);
	http_reply_free(&(*c)->reply);
	blob_place_free(&(*c)->place);
	storage_credential_free(&(*c)->credential);
	free(*c);
	*c = NULL;
}

const char *blob_folder(const struct blob_client *c)
{
	return c->place.folder;
}

/* ---- writing ---- */

/* Names that a condition failed because the blob is there. */
static bool says_exists(const struct blob_client *c)
{
	char code[80];

	if (c->reply.status == 412)
		return true;
	blob_error_code(c, code, sizeof(code));
	return c->reply.status == 409 &&
	       (strcmp(code, "BlobAlreadyExists") == 0 ||
		strcmp(code, "PathAlreadyExists") == 0 ||
		strcmp(code, "ResourceAlreadyExists") == 0);
}

static struct blob_request put_request(const char *name, const void *data,
				       size_t bytes)
{
	struct blob_request r = {.method = "PUT",
				 .name = name,
				 .body = data ? data : "",
				 .body_bytes = (int64_t)bytes};

	blob_add_header(&r, "x-ms-blob-type", "BlockBlob");
	return r;
}

int blob_put_if_absent(struct blob_client *c, const char *name,
		       const void *data, size_t bytes, enum blob_put *result,
		       struct err *err)
{
	struct blob_request r = put_request(name, data, bytes);
	int rc;

	blob_add_header(&r, "if-none-match", "*");
	rc = blob_run(c, &r, err);
	if (rc == 0 && c->reply.status == 201) {
		*result = BLOB_CREATED;
		return 0;
	}
	if (rc == 0 && says_exists(c) && !r.doubtful) {
		*result = BLOB_EXISTS;
		return 0;
	}
	/* What only something in between says, as 200 or 524, is no refusal. */
	if (rc == 0 && (c->reply.status < 300 || c->reply.status >= 500))
		r.doubtful = true;
	if (rc == 0)
		blob_refused(c, &r, err);
	if (!r.doubtful)
		return -1;
	/* This try or an earlier one may have made what is there now. */
	*result = BLOB_UNKNOWN;
	return 0;
}

int blob_put(struct blob_client *c, const char *name, const void *data,
	     size_t bytes, struct err *err)
{
	struct blob_request r = put_request(name, data, bytes);

	if (blob_run(c, &r, err) != 0)
		return -1;
	return c->reply.status == 201 ? 0 : blob_refused(c, &r, err);
}

static int put_file(struct blob_client *c, const char *name, int fd,
		    int64_t bytes, struct err *err)
{
	struct blob_request r = put_request(name, NULL, 0);

	r.body = bytes ? NULL : "";
	r.body_fd = fd;
	r.body_bytes = bytes;
	if (blob_run(c, &r, err) != 0)
		return -1;
	return c->reply.status == 201 ? 0 : blob_refused(c, &r, err);
}

static int put_block(struct blob_client *c, const char *name,
		     const struct blob_request *piece, struct buf *list,
		     struct err *err)
{
	struct blob_request r = *piece;
	struct uuid id = uuid_new();
	char text[ID_BYTES];

	EVP_EncodeBlock((unsigned char *)text, id.bytes, UUID_BYTES);
	r.method = "PUT";
	r.name = name;
	blob_add_query(&r, "blockid", text);
	blob_add_query(&r, "comp", "block");
	if (blob_run(c, &r, err) != 0)
		return -1;
	if (c->reply.status != 201)
		return blob_refused(c, &r, err);
	buf_printf(list, "<Latest>%s</Latest>", text);
	return 0;
}

static int put_block_list(struct blob_client *c, const char *name,
			  const struct buf *list, struct err *err)
{
	struct blob_request r = {.method = "PUT",
				 .name = name,
				 .body = list->data,
				 .body_bytes = (int64_t)list->used};

	blob_add_query(&r, "comp", "blocklist");
	if (blob_run(c, &r, err) != 0)
		return -1;
	return c->reply.status == 201 ? 0 : blob_refused(c, &r, err);
}

static int put_blocks(struct blob_client *c, const char *name, int fd,
		      int64_t bytes, struct err *err)
{
	struct buf list = {0};
	int64_t size = c->block_bytes;
	int rc = 0;

	if (size < (bytes + MAX_BLOCKS - 1) / MAX_BLOCKS)
		size = (bytes + MAX_BLOCKS - 1) / MAX_BLOCKS;
	buf_text(&list, "<?xml version=\"1.0\" encoding=\"utf-8\"?>"
			"<BlockList>");
	for (int64_t at = 0; rc == 0 && at < bytes; at += size) {
		struct blob_request piece = {
		    .body_fd = fd,
		    .body_at = at,
		    .body_bytes = bytes - at < size ? bytes - at : size};

		rc = put_block(c, name, &piece, &list, err);
	}
	buf_text(&list, "</BlockList>");
	if (rc == 0)
		rc = put_block_list(c, name, &list, err);
	buf_free(&list);
	return rc;
}

int blob_upload(struct blob_client *c, const char *name, int fd,
		struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return err_errno(err, errno, "cannot stat what goes to %s",
				 name);
	return st.st_size > c->block_bytes
		   ? put_blocks(c, name, fd, st.st_size, err)
		   : put_file(c, name, fd, st.st_size, err);
}

/* ---- reading ---- */

/* ENOENT reads as that of a local file. */
static int not_read(struct blob_client *c, const struct blob_request *r,
		    struct err *err)
{
	char code[80];

	blob_error_code(c, code, sizeof(code));
	/* An answer to HEAD has no body, and some have no code either. */
	if (c->reply.status == 404 && strcmp(code, "ContainerNotFound") != 0)
		return err_set(err, ENOENT, "there is no %s%s in %s/%s",
			       c->place.folder, r->name, c->place.endpoint,
			       c->place.container);
	return blob_refused(c, r, err);
}

/*
 * An answer that ends when its connection does may have been cut off, and half
 * a commit reads like a whole one. Neither Azure nor Azurite answers so.
 */
static int check_whole(const struct blob_client *c, const char *name,
		       struct err *err)
{
	char value[2];

	if (http_reply_header(&c->reply, "content-length", value,
			      sizeof(value)) ||
	    http_reply_header(&c->reply, "transfer-encoding", value,
			      sizeof(value)))
		return 0;
	return err_set(err, EPROTO,
		       "%s: the answer does not tell its length, as those of "
		       "the service do; see what lies in between",
		       name);
}

int blob_get(struct blob_client *c, const char *name,
	     const struct blob_range *range, size_t limit, struct buf *data,
	     struct err *err)
{
	struct blob_request r = {.method = "GET", .name = name, .limit = limit};
	char text[60];

	if (range) {
		int n = snprintf(text, sizeof(text), "bytes=%" PRId64 "-",
				 range->at);

		if (range->bytes > 0)
			snprintf(text + n, sizeof(text) - (size_t)n, "%" PRId64,
				 range->at + range->bytes - 1);
		blob_add_header(&r, "x-ms-range", text);
	}
	if (blob_run(c, &r, err) != 0)
		return -1;
	if (c->reply.status != 200 && c->reply.status != 206)
		return not_read(c, &r, err);
	if (check_whole(c, name, err) != 0)
		return -1;
	if (c->reply.body.used > limit)
		return err_set(err, EFBIG,
			       "%s has %zu bytes, more than the limit %zu",
			       name, c->reply.body.used, limit);
	buf_append(data, c->reply.body.data, c->reply.body.used);
	return 0;
}

int blob_fetch(struct blob_client *c, const char *name, int fd, struct err *err)
{
	struct blob_request r = {.method = "GET", .name = name, .reply_fd = fd};

	if (blob_run(c, &r, err) != 0)
		return -1;
	if (c->reply.status != 200)
		return not_read(c, &r, err);
	return check_whole(c, name, err);
}

int blob_head(struct blob_client *c, const char *name, int64_t *bytes,
	      struct err *err)
{
	struct blob_request r = {.method = "HEAD", .name = name};
	char length[30] = "";

	if (blob_run(c, &r, err) != 0)
		return -1;
	if (c->reply.status != 200)
		return not_read(c, &r, err);
	if (!http_reply_header(&c->reply, "content-length", length,
			       sizeof(length)))
		return err_set(err, EPROTO, "%s: the service tells no length",
			       name);
	*bytes = strtoll(length, NULL, 10);
	return 0;
}

int blob_delete(struct blob_client *c, const char *name, struct err *err)
{
	struct blob_request r = {.method = "DELETE", .name = name};

	if (blob_run(c, &r, err) != 0)
		return -1;
	if (c->reply.status == 202 || c->reply.status == 404)
		return 0;
	return blob_refused(c, &r, err);
}

/* ---- listing ---- */

struct listing {
	struct blob_client *c;
	char *prefix, *from; /* in the container */
	const char *delimiter;
	bool (*visit)(void *arg, const struct blob_entry *entry);
	void *arg;
};

static int get_page(const struct listing *l, const char *marker,
		    struct blob_page *page, struct err *err)
{
	struct blob_client *c = l->c;
	struct blob_request r = {.method = "GET", .limit = LIST_BYTES};
	char count[20];

	snprintf(count, sizeof(count), "%u", c->page);
	blob_add_query(&r, "comp", "list");
	blob_add_query(&r, "restype", "container");
	blob_add_query(&r, "prefix", l->prefix);
	if (l->delimiter)
		blob_add_query(&r, "delimiter", l->delimiter);
	if (marker)
		blob_add_query(&r, "marker", marker);
	else if (l->from)
		blob_add_query(&r, "startFrom", l->from);
	if (c->page)
		blob_add_query(&r, "maxresults", count);
	if (blob_run(c, &r, err) != 0)
		return -1;
	if (c->reply.status != 200)
		return blob_refused(c, &r, err);
	if (blob_page_parse(page, c->reply.body.data, c->reply.body.used,
			    err) != 0)
		return -1;
	/* It would be read for ever. */
	if (marker && page->marker && strcmp(marker, page->marker) == 0)
		return err_set(err, EPROTO,
			       "the listing of %s/%s that the service sent "
			       "does not go on",
			       c->place.endpoint, c->place.container);
	return 0;
}

/* false when the visitor has seen enough. */
static bool visit_page(const struct listing *l, const struct blob_page *page)
{
	size_t folder = strlen(l->c->place.folder);

	for (size_t i = 0; i < page->count; i++) {
		struct blob_entry e = page->entries[i];

		/* A service that does not know startFrom sends them all. */
		if (strncmp(e.name, l->prefix, strlen(l->prefix)) != 0 ||
		    (l->from && strcmp(e.name, l->from) < 0))
			continue;
		e.name += folder;
		if (!l->visit(l->arg, &e))
			return false;
	}
	return true;
}

int blob_list(struct blob_client *c, const struct blob_query *query,
	      bool (*visit)(void *arg, const struct blob_entry *entry),
	      void *arg, struct err *err)
{
	const char *folder = c->place.folder;
	struct listing l = {
	    .c = c,
	    .prefix = xasprintf("%s%s", folder, query->prefix),
	    .from = query->from ? xasprintf("%s%s", folder, query->from) : NULL,
	    .delimiter = query->delimiter,
	    .visit = visit,
	    .arg = arg};
	char *marker = NULL;
	int rc;

	do {
		struct blob_page page = {0};

		rc = get_page(&l, marker, &page, err);
		free(marker);
		marker = NULL;
		if (rc == 0 && visit_page(&l, &page)) {
			marker = page.marker;
			page.marker = NULL;
		}
		blob_page_free(&page);
	} while (marker);
	free(l.prefix);
	free(l.from);
	return rc;
}
