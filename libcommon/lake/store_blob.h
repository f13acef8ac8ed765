/*
 * Opening the store of a lake's URL, be it a folder or a container of Azure
 * Blob Storage.
 */
#ifndef WEFT_LAKE_STORE_BLOB_H
#define WEFT_LAKE_STORE_BLOB_H

#include "azure/blob.h"
#include "lake/store.h"

/*
 * A container or a folder in it; `options` as for blob_open(). No network is
 * used: a wrong key is told by the first call. Files come in the order in
 * which the service sorts names.
 */
int store_open_blob(struct store **s, const char *url,
		    const struct blob_options *options,
		    struct err *err) MUST_CHECK;

/*
 * By what the URL is: file:///FOLDER or an absolute path is a local folder,
 * anything else a container; options->identity NULL: there is no identity,
 * which a container needs.
 */
int store_open(struct store **s, const char *url,
	       const struct blob_options *options, struct err *err) MUST_CHECK;

/* The path of the folder that a URL names, or NULL when it names a container.
 */
const char *store_url_root(const char *url);

/* What store_open() would refuse of the URL and the identity; makes and asks
 * nothing. */
int store_check(const char *url, const struct blob_options *options,
		struct err *err) MUST_CHECK;

#endif
