/*
 * Where blobs lie: an account, a container, and a folder in it, from the URLs
 * that people write:
 *	https://ACCOUNT.blob.core.windows.net/CONTAINER/FOLDER  (any cloud's)
 *	abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER
 *	http://127.0.0.1:10000/ACCOUNT/CONTAINER/FOLDER  (Azurite, any host)
 *	az://CONTAINER/FOLDER  (the account is the identity's)
 */
#ifndef WEFT_AZURE_PLACE_H
#define WEFT_AZURE_PLACE_H

#include <stdbool.h>

#include "azure/credential.h"
#include "base/buf.h"
#include "base/err.h"

struct blob_place {
	char *account;
	char *endpoint; /* "https://host[:port][/account]", no '/' behind it */
	char *path;	/* what of it is a path: "" or "/account" */
	char *container;
	char *folder; /* decoded; "" or ending in '/' */
};

/*
 * Parses a URL; *place is owned by the caller, and zero after an error. The
 * credential says which account, and where, when the URL does not; when both
 * do, they must agree. -1 with *err (EINVAL; ENOTSUP for OneLake) that says
 * what is wrong with which part; no network is used. Any thread.
 */
int blob_place_parse(struct blob_place *place, const char *url,
		     const struct storage_credential *credential,
		     struct err *err) MUST_CHECK;
void blob_place_free(struct blob_place *place);

/*
 * How many of the first bytes of what should be a lake's URL may be told: what
 * people write there by mistake, connection strings and passwords, is left out.
 */
int azure_shown(const char *url);

/* Appends text percent-encoded for a URL: all but unreserved characters, and
 * '/' unless it is a query's. */
void azure_encode(struct buf *out, const char *text, bool query);
/* Decodes %XX in place; other uses of '%' stay. */
void azure_decode(char *text);

#endif
