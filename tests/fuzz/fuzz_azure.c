/*
 * Answers of Azure, and what opens an account. The first byte: 0 a page of a
 * listing, 1 an error's body, 2 a connection string, 3 a shared access
 * signature, 4 an account key.
 */
#include "tests/fuzz/fuzz.h"

#include "azure/blob_inside.h"
#include "azure/credential.h"

static void run_page(const char *xml, size_t bytes)
{
	struct blob_page page = {0};
	struct err err;

	if (blob_page_parse(&page, xml, bytes, &err) == 0)
		for (size_t i = 0; i < page.count; i++)
			FUZZ_CHECK(page.entries[i].name);
	blob_page_free(&page);
}

static void run_credential(uint64_t how, char *text)
{
	struct conf_identity identity = {
	    .type = how == 2   ? IDENTITY_CONNECTION_STRING
		    : how == 3 ? IDENTITY_SAS
			       : IDENTITY_ACCOUNT_KEY};
	struct storage_credential *c = NULL;
	struct err err = {0};

	if (how == 2)
		identity.connection_string = text;
	else if (how == 3)
		identity.token = text;
	else
		identity.key = text;
	if (storage_credential_new(&c, "hub", &identity, &err) == 0) {
		FUZZ_CHECK(c->key || c->sas);
		storage_credential_expires(c);
	} else {
		FUZZ_CHECK(strlen(err.text) > 0);
	}
	storage_credential_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_bytes input = {data, bytes};
	uint64_t how = fuzz_take(&input, 1) % 5;
	char *text = xmemdup0((const char *)input.at, input.left);

	if (how == 0)
		run_page(text, input.left);
	else if (how == 1)
		free(blob_error_message(text, input.left));
	else
		run_credential(how, text);
	free(text);
	return 0;
}
