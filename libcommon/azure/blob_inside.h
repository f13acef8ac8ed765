/* One request to the Blob service; for the files blob*.c only. */
#ifndef WEFT_AZURE_BLOB_INSIDE_H
#define WEFT_AZURE_BLOB_INSIDE_H

#include "azure/blob.h"
#include "azure/credential.h"
#include "azure/place.h"
#include "http/client.h"

/* The one that Azure and Azurite 3.37 take, and that knows startFrom. */
#define BLOB_VERSION	 "2026-02-06"
#define BLOB_PAIRS	 8
#define BLOB_ERROR_BYTES 65536

struct blob_client {
	struct blob_place place;
	struct storage_credential *credential;
	struct http_client *http;
	struct http_reply reply; /* of the last request */
	const atomic_bool *stop;
	int64_t deadline_us, block_bytes;
	uint32_t page;
};

/* Borrowed strings; header names in small letters. */
struct blob_request {
	const char *method;
	const char *name; /* relative to the folder; NULL: the container */
	struct azure_pair query[BLOB_PAIRS];
	size_t query_count;
	struct azure_pair headers[BLOB_PAIRS];
	size_t header_count;
	const void *body;
	int body_fd;
	int64_t body_at, body_bytes;
	size_t limit; /* of the answer's body */
	int reply_fd; /* above 0: emptied before each try */
	/* Set: some try may have been acted on although nobody said so. */
	bool doubtful;
};

void blob_add_query(struct blob_request *r, const char *name,
		    const char *value);
void blob_add_header(struct blob_request *r, const char *name,
		     const char *value);

/*
 * Makes the request until there is an answer that is not to be tried again,
 * in c->reply. -1 when there is none.
 */
int blob_run(struct blob_client *c, struct blob_request *r,
	     struct err *err) MUST_CHECK;

/* What the service calls the error: "BlobNotFound"; "" when it does not. */
void blob_error_code(const struct blob_client *c, char *code, size_t bytes);

/* Makes an error of an answer that the caller did not expect. Returns -1. */
int blob_refused(struct blob_client *c, const struct blob_request *r,
		 struct err *err);

/* One page of a listing, parsed. */
struct blob_page {
	struct blob_entry *entries; /* names as the service has them */
	size_t count;
	char *marker; /* of the next page; NULL: there is none */
};
int blob_page_parse(struct blob_page *page, const char *xml, size_t bytes,
		    struct err *err) MUST_CHECK;
void blob_page_free(struct blob_page *page);

/* The "Message" of an error's body, owned by the caller; NULL without one. */
char *blob_error_message(const char *xml, size_t bytes);

#endif
