/*
 * Block blobs under one folder of one container, over the Blob service's REST
 * API. One thread at a time per client; calls block. What may be tried again
 * is: 408, 429, 500, 502, 503, 504, refused and broken connections and
 * time-outs, with full jitter and as Retry-After says, until the deadline.
 * Names are relative to the folder, any UTF-8 without control characters.
 *
 * Errors, beside those of each call: EACCES, refused (401, 403: the text tells
 * account, identity, what the service said and what to do); ENXIO, no such
 * container; ECANCELED, stopped; retriable ones when the deadline has passed.
 */
#ifndef WEFT_AZURE_BLOB_H
#define WEFT_AZURE_BLOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"

struct blob_client;

struct blob_options {
	const char *identity_name; /* for messages */
	const struct conf_identity *identity;
	const char *ca_file;	 /* NULL: those that the system trusts */
	const atomic_bool *stop; /* borrowed, or NULL: ends calls */
	int64_t deadline_us;	 /* of a request's tries; 0: 60 s */
	int64_t stall_us;	 /* without a byte moving; 0: 20 s */
	int64_t block_bytes;	 /* longer files go in blocks; 0: 8 MiB */
	uint32_t page;		 /* names a listing asks for; 0: 5,000 */
};

/* No network is used. EINVAL, ENOTSUP: the url or the identity is wrong. */
int blob_open(struct blob_client **c, const char *url,
	      const struct blob_options *options, struct err *err) MUST_CHECK;
void blob_close(struct blob_client **c);

/* The folder that names are relative to, "" or ending in '/'. */
const char *blob_folder(const struct blob_client *c);

enum blob_put {
	BLOB_CREATED,
	BLOB_EXISTS,
	BLOB_UNKNOWN, /* an answer was lost: it may or may not be ours */
};

/*
 * Put Blob with If-None-Match: *. 409 and 412 say that it exists, unless an
 * earlier try may have been what made it: that is BLOB_UNKNOWN, with *err. -1
 * when it is certain that nothing was made.
 */
int blob_put_if_absent(struct blob_client *c, const char *name,
		       const void *data, size_t bytes, enum blob_put *result,
		       struct err *err) MUST_CHECK;

/* Put Blob, over what is there. */
int blob_put(struct blob_client *c, const char *name, const void *data,
	     size_t bytes, struct err *err) MUST_CHECK;

/*
 * All of an open file, over what is there: Put Blob, or Put Block of random
 * 128-bit ids and Put Block List. Memory does not grow with the file, but for
 * 40 bytes a block.
 */
int blob_upload(struct blob_client *c, const char *name, int fd,
		struct err *err) MUST_CHECK;

/* A part of a blob: `bytes` bytes from `at` on; -1: all to the end. */
struct blob_range {
	int64_t at, bytes;
};

/*
 * Appends all of it, or a range (else NULL), to *data. ENOENT; EFBIG beyond
 * limit; ERANGE when the range begins behind the end.
 */
int blob_get(struct blob_client *c, const char *name,
	     const struct blob_range *range, size_t limit, struct buf *data,
	     struct err *err) MUST_CHECK;

/* All of it into an empty file. ENOENT. */
int blob_fetch(struct blob_client *c, const char *name, int fd,
	       struct err *err) MUST_CHECK;

/* ENOENT. */
int blob_head(struct blob_client *c, const char *name, int64_t *bytes,
	      struct err *err) MUST_CHECK;

/* One that is not there is success. */
int blob_delete(struct blob_client *c, const char *name,
		struct err *err) MUST_CHECK;

struct blob_entry {
	const char *name; /* relative to the folder */
	int64_t bytes;
	int64_t modified_at_ms;
	bool is_prefix; /* with a delimiter: what lies below it was left out */
};

struct blob_query {
	const char *prefix;    /* that names begin with; "" is all */
	const char *from;      /* names >= this, or NULL */
	const char *delimiter; /* or NULL: names are cut behind it, once each */
};

/*
 * Visits names in the service's order until visit returns false. visit may use
 * the client.
 */
int blob_list(struct blob_client *c, const struct blob_query *query,
	      bool (*visit)(void *arg, const struct blob_entry *entry),
	      void *arg, struct err *err) MUST_CHECK;

#endif
