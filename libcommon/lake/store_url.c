/* What a lake's URL says. In a file of its own, so that it can be judged by
 * programs that never call a server. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "azure/place.h"
#include "base/alloc.h"
#include "lake/store_blob.h"

#define FILE_SCHEME "file://"

const char *store_url_root(const char *url)
{
	if (*url == '/')
		return url;
	return strncmp(url, FILE_SCHEME "/", sizeof(FILE_SCHEME)) == 0
		   ? url + sizeof(FILE_SCHEME) - 1
		   : NULL;
}

static int check_identity(const char *url, const struct blob_options *options,
			  struct err *err)
{
	if (options->identity)
		return 0;
	if (!strstr(url, "://") ||
	    strncmp(url, FILE_SCHEME, sizeof(FILE_SCHEME) - 1) == 0)
		return err_set(err, EINVAL,
			       "\"%.*s\" is no lake; write file:///FOLDER, or "
			       "https://ACCOUNT.blob.core.windows.net/CONTAINER"
			       "/FOLDER with an identity",
			       azure_shown(url), url);
	return err_set(err, EINVAL,
		       "%.*s needs an identity: the account's key, a shared "
		       "access signature or a connection string",
		       azure_shown(url), url);
}

/* The folder of a lake becomes a part of each name. */
static int check_folder(const char *folder, const char *url, struct err *err)
{
	char *name = xmemdup0(folder, strlen(folder) ? strlen(folder) - 1 : 0);
	bool good = !*name || store_is_name(name);

	free(name);
	if (good)
		return 0;
	return err_set(err, EINVAL,
		       "%s: its folder has an empty part, \".\" or \"..\", or "
		       "is no UTF-8",
		       url);
}

int store_check(const char *url, const struct blob_options *options,
		struct err *err)
{
	struct storage_credential *credential = NULL;
	struct blob_place place = {0};
	int rc = -1;

	if (store_url_root(url))
		return 0;
	if (check_identity(url, options, err) == 0 &&
	    storage_credential_new(&credential, options->identity_name,
				   options->identity, err) == 0)
		rc = blob_place_parse(&place, url, credential, err);
	if (rc == 0)
		rc = check_folder(place.folder, url, err);
	blob_place_free(&place);
	storage_credential_free(&credential);
	return rc;
}
