/*
 * What opens an Azure storage account: a key or a shared access signature.
 * Nothing here writes a secret into a message.
 */
#ifndef WEFT_AZURE_CREDENTIAL_H
#define WEFT_AZURE_CREDENTIAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"

/* Immutable once made; any thread. */
struct storage_credential {
	char *name;	/* of the identity, for messages */
	char *account;	/* or NULL: whatever the URL says */
	char *endpoint; /* of the account, or NULL: Azure's own */
	/* Either of the two: */
	uint8_t *key;
	size_t key_bytes;
	char *sas; /* "sv=…&sig=…", without '?' */
};

/*
 * From an identity of type account_key, sas or connection_string. -1 with *err
 * (EINVAL) naming the identity and what is wrong with it, never its secret.
 */
int storage_credential_new(struct storage_credential **c, const char *name,
			   const struct conf_identity *identity,
			   struct err *err) MUST_CHECK;
void storage_credential_free(struct storage_credential **c);

/* The time at which a shared access signature ends ("se="), as wall time in
 * µs; 0 when it does not say. */
int64_t storage_credential_expires(const struct storage_credential *c);

/* A name and a value, of a header or of a query (decoded). */
struct azure_pair {
	const char *name;
	const char *value;
};

/* What a signature covers. Header names are in small letters. */
struct azure_signed {
	const char *method;
	const char *path; /* as in the request line, encoded */
	const struct azure_pair *query;
	size_t query_count;
	const struct azure_pair *headers; /* x-ms-* and those of HTTP */
	size_t header_count;
	int64_t body_bytes;
};

/*
 * Appends the string to sign of Shared Key ("Authorize with Shared Key", Blob
 * service, version 2015-02-21 and later).
 */
void storage_string_to_sign(const char *account, const struct azure_signed *r,
			    struct buf *out);

/* Appends "SharedKey ACCOUNT:SIGNATURE" for such a request. */
void storage_sign(const char *account, const uint8_t *key, size_t key_bytes,
		  const struct azure_signed *r, struct buf *out);

#endif
