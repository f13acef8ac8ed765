/* Storage accounts: URLs, credentials, signatures and answers, no network.
 * The signatures were made by azure-storage-blob for Python. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "azure/blob_inside.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "lake/store_blob.h"

/* The key of Azurite, which everybody knows. */
#define KEY                                                        \
	"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErC" \
	"z4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

static struct err err;

static struct storage_credential *credential(int type, const char *secret,
					     const char *account)
{
	struct conf_identity id = {.type = type,
				   .account = (char *)account,
				   .key = (char *)secret,
				   .token = (char *)secret,
				   .connection_string = (char *)secret};
	struct storage_credential *c;

	if (storage_credential_new(&c, "lake", &id, &err) != 0)
		return NULL;
	return c;
}

/* ---- signatures ---- */

struct vector {
	const char *account;
	struct azure_signed request;
	const char *expected;
};

static void signatures_are_those_of_the_official_client(void **state)
{
#define DATE                                                 \
	{                                                    \
		"x-ms-date", "Fri, 20 Nov 2026 12:00:00 GMT" \
	}
#define VERSION                              \
	{                                    \
		"x-ms-version", "2026-02-06" \
	}
	static const struct azure_pair put[] = {{"x-ms-blob-type", "BlockBlob"},
						{"if-none-match", "*"},
						DATE,
						VERSION};
	static const struct azure_pair plain[] = {DATE, VERSION};
	static const struct azure_pair ranged[] = {
	    {"x-ms-range", "bytes=10-19"}, DATE, VERSION};
	static const struct azure_pair list[] = {
	    {"comp", "list"},
	    {"restype", "container"},
	    {"prefix", "t/_delta_log/"},
	    {"startFrom", "t/_delta_log/0001"},
	    {"maxresults", "3"}};
	static const struct azure_pair block[] = {
	    {"blockid", "MDEyMzQ1Njc4OWFiY2RlZg=="}, {"comp", "block"}};
	const struct vector vectors[] = {
	    {"devstoreaccount1",
	     {"PUT", "/devstoreaccount1/lake/a%20b/%C3%A4.json", NULL, 0, put,
	      4, 11},
	     "SharedKey devstoreaccount1:"
	     "eh0qorS15TBzlECRWAmPM3IaNLPxVN17EzMPdIHBdgc="},
	    {"myaccount",
	     {"GET", "/lake", list, 5, plain, 2, 0},
	     "SharedKey myaccount:"
	     "wi4rrcy5NwkMkT3eA5bWiu6JebuLTaY96QbjbKwtVpQ="},
	    {"myaccount",
	     {"PUT", "/lake/t/p.parquet", block, 2, plain, 2, 8388608},
	     "SharedKey myaccount:"
	     "2oOVcQX4yeXwOfkwfXEYOokACUDQX4/OEtZ/nmOno5Q="},
	    {"myaccount",
	     {"GET", "/lake/t/p.parquet", NULL, 0, ranged, 3, 0},
	     "SharedKey myaccount:"
	     "aRyvYCq5t6NvBc1wYtaKWEoL/vPVTo6kbK61OYDbzz4="},
	};
	struct storage_credential *c =
	    credential(IDENTITY_ACCOUNT_KEY, KEY, NULL);

	(void)state;
	assert_non_null(c);
	assert_int_equal(c->key_bytes, 64);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
		struct buf out = {0};

		storage_sign(vectors[i].account, c->key, c->key_bytes,
			     &vectors[i].request, &out);
		assert_string_equal(buf_str(&out), vectors[i].expected);
		buf_free(&out);
	}
	storage_credential_free(&c);
}

static void the_string_to_sign_has_all_its_lines(void **state)
{
	static const struct azure_pair headers[] = {
	    {"x-ms-version", "2026-02-06"},
	    {"range", "bytes=0-1"},
	    {"content-type", "text/plain"},
	    {"x-ms-date", "D"}};
	static const struct azure_pair query[] = {{"restype", "container"},
						  {"Comp", "list"}};
	struct azure_signed r = {"PUT", "/c/b", query, 2, headers, 4, 7};
	struct buf out = {0};

	(void)state;
	storage_string_to_sign("acct", &r, &out);
	assert_string_equal(buf_str(&out),
			    "PUT\n\n\n7\n\ntext/plain\n\n\n\n\n\nbytes=0-1\n"
			    "x-ms-date:D\nx-ms-version:2026-02-06\n"
			    "/acct/c/b\ncomp:list\nrestype:container");
	buf_free(&out);
}

/* ---- URLs ---- */

static void place_is(const struct storage_credential *c, const char *url,
		     const char *endpoint, const char *account,
		     const char *container_and_folder)
{
	struct blob_place p;
	char got[200];

	if (blob_place_parse(&p, url, c, &err) != 0)
		fail_msg("%s", err.text);
	assert_string_equal(p.endpoint, endpoint);
	assert_string_equal(p.account, account);
	snprintf(got, sizeof(got), "%s|%s", p.container, p.folder);
	assert_string_equal(got, container_and_folder);
	blob_place_free(&p);
}

static void urls_of_all_forms_are_read(void **state)
{
	struct storage_credential *c =
	    credential(IDENTITY_ACCOUNT_KEY, KEY, NULL);
	struct storage_credential *named = credential(
	    IDENTITY_CONNECTION_STRING,
	    "DefaultEndpointsProtocol=https;AccountName=myacct;AccountKey=" KEY
	    ";EndpointSuffix=core.chinacloudapi.cn",
	    NULL);
	struct storage_credential *azurite = credential(
	    IDENTITY_CONNECTION_STRING, "UseDevelopmentStorage=true", NULL);
	struct storage_credential *own =
	    credential(IDENTITY_ACCOUNT_KEY, KEY, "myacct");

	(void)state;
	place_is(c, "https://acct.blob.core.windows.net/lake",
		 "https://acct.blob.core.windows.net", "acct", "lake|");
	place_is(c, "https://acct.blob.core.windows.net/lake/a/b%20c/",
		 "https://acct.blob.core.windows.net", "acct", "lake|a/b c/");
	place_is(c, "https://acct.dfs.core.windows.net/lake/a",
		 "https://acct.blob.core.windows.net", "acct", "lake|a/");
	place_is(c, "abfss://lake@acct.dfs.core.windows.net/a/%C3%A4",
		 "https://acct.blob.core.windows.net", "acct", "lake|a/ä/");
	place_is(c, "http://127.0.0.1:10000/devstoreaccount1/lake/a",
		 "http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1",
		 "lake|a/");
	place_is(c, "https://azurite.test:10000/devstoreaccount1/lake",
		 "https://azurite.test:10000/devstoreaccount1",
		 "devstoreaccount1", "lake|");
	place_is(named, "az://lake/a",
		 "https://myacct.blob.core.chinacloudapi.cn", "myacct",
		 "lake|a/");
	place_is(azurite, "az://lake/a",
		 "http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1",
		 "lake|a/");
	place_is(own, "az://lake", "https://myacct.blob.core.windows.net",
		 "myacct", "lake|");
	storage_credential_free(&c);
	storage_credential_free(&named);
	storage_credential_free(&azurite);
	storage_credential_free(&own);
}

static void urls_that_name_no_lake_are_refused(void **state)
{
	static const struct {
		const char *url, *says;
		int code;
	} cases[] = {
	    {"lake", "is no URL", EINVAL},
	    {"s3://bucket/x", "begins with", EINVAL},
	    {"https:///lake", "no host", EINVAL},
	    {"https://acct.blob.core.windows.net", "no container", EINVAL},
	    {"https://acct.blob.core.windows.net/", "no container", EINVAL},
	    {"https://acct.blob.core.windows.net/La", "no container", EINVAL},
	    {"https://acct.blob.core.windows.net/a--b", "no container", EINVAL},
	    {"http://acct.blob.core.windows.net/lake", "https", EINVAL},
	    {"https://user@acct.blob.core.windows.net/lake", "user name",
	     EINVAL},
	    {"https://acct.blob.core.windows.net/lake?sv=1&sig=hidden",
	     "has no query", EINVAL},
	    {"http://127.0.0.1:10000/lake", "no container", EINVAL},
	    {"http://127.0.0.1:10000/acct/lake/a%5cb", "backslash", EINVAL},
	    {"http://127.0.0.1:10000/", "no storage account", EINVAL},
	    {"abfss://acct.dfs.core.windows.net/lake", "CONTAINER@", EINVAL},
	    {"az://lake", "names its storage account", EINVAL},
	    {"https://other.blob.core.windows.net/lake", "", 0},
	    {"https://onelake.blob.fabric.microsoft.com/ws/item/x", "OneLake",
	     ENOTSUP},
	};
	struct storage_credential *c =
	    credential(IDENTITY_ACCOUNT_KEY, KEY, NULL);
	struct storage_credential *other =
	    credential(IDENTITY_ACCOUNT_KEY, KEY, "myacct");
	struct blob_place p;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int rc = blob_place_parse(&p, cases[i].url, c, &err);

		assert_int_equal(rc, cases[i].code ? -1 : 0);
		if (rc == 0) {
			blob_place_free(&p);
			continue;
		}
		assert_int_equal(err.code, cases[i].code);
		if (!strstr(err.text, cases[i].says))
			fail_msg("%s: %s", cases[i].url, err.text);
		assert_null(strstr(err.text, "hidden"));
		assert_null(p.endpoint);
	}
	assert_int_equal(
	    blob_place_parse(&p, "https://acct.blob.core.windows.net/lake",
			     other, &err),
	    -1);
	assert_non_null(strstr(err.text, "\"acct\""));
	assert_non_null(strstr(err.text, "\"myacct\""));
	storage_credential_free(&c);
	storage_credential_free(&other);
	/* Its signature would go over the wire for all to read. */
	c = credential(IDENTITY_CONNECTION_STRING,
		       "DefaultEndpointsProtocol=http;AccountName=myacct;"
		       "EndpointSuffix=core.windows.net;"
		       "SharedAccessSignature=sv=1&sig=hidden",
		       NULL);
	assert_int_equal(blob_place_parse(&p, "az://lake", c, &err), -1);
	assert_non_null(strstr(err.text, "https:// only"));
	assert_null(strstr(err.text, "hidden"));
	storage_credential_free(&c);
}

static void text_in_urls_is_encoded(void **state)
{
	struct buf out = {0};
	char text[] = "a%20b%2Fc%zz%4";

	(void)state;
	azure_encode(&out, "a b/c+d%e~f-_.ä?&#", false);
	assert_string_equal(buf_str(&out),
			    "a%20b/c%2Bd%25e~f-_.%C3%A4%3F%26%23");
	buf_clear(&out);
	azure_encode(&out, "a/b", true);
	assert_string_equal(buf_str(&out), "a%2Fb");
	azure_decode(text);
	assert_string_equal(text, "a b/c%zz%4");
	buf_free(&out);
}

/* ---- credentials ---- */

static void credentials_come_in_three_forms(void **state)
{
	struct storage_credential *c;

	(void)state;
	c = credential(IDENTITY_SAS,
		       "?sv=2026&se=2026-11-20T12%3A00%3A00Z&"
		       "sig=a%2Fb",
		       NULL);
	assert_string_equal(c->sas,
			    "sv=2026&se=2026-11-20T12%3A00%3A00Z&sig=a%2Fb");
	assert_null(c->key);
	assert_int_equal(storage_credential_expires(c),
			 (clock_days(2026, 11, 20) * 24 + 12) * 3600000000LL);
	storage_credential_free(&c);
	c = credential(IDENTITY_CONNECTION_STRING,
		       " accountname=acct ;BlobEndpoint=https://x.test/acct/;"
		       "SharedAccessSignature=sv=1&sig=x",
		       NULL);
	assert_string_equal(c->endpoint, "https://x.test/acct");
	assert_string_equal(c->sas, "sv=1&sig=x");
	assert_int_equal(storage_credential_expires(c), 0);
	storage_credential_free(&c);
	c = credential(IDENTITY_ACCOUNT_KEY, KEY, "acct");
	assert_string_equal(c->account, "acct");
	assert_int_equal(storage_credential_expires(c), 0);
	storage_credential_free(&c);
}

static void credentials_of_no_use_are_told(void **state)
{
	static const struct {
		int type;
		const char *secret, *says;
	} cases[] = {
	    {IDENTITY_ACCOUNT_KEY, "hidden!", "no Base64"},
	    {IDENTITY_ACCOUNT_KEY, "hiddenA=hid", "no Base64"},
	    {IDENTITY_ACCOUNT_KEY, "====", "no Base64"},
	    {IDENTITY_SAS, "sv=1&hidden", "sig="},
	    {IDENTITY_SAS, "sv=1&sig=hid den", "blanks"},
	    {IDENTITY_CONNECTION_STRING, "AccountName=a;Hidden=hidden",
	     "neither AccountKey"},
	    {IDENTITY_CONNECTION_STRING,
	     "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKey=hidden",
	     "one of Event Hubs"},
	    {IDENTITY_CONNECTION_STRING, "AccountName=a;AccountKey=hidden",
	     "no Base64"},
	    {IDENTITY_PLAIN, "hidden", "of no use"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_null(credential(cases[i].type, cases[i].secret, NULL));
		assert_int_equal(err.code, EINVAL);
		assert_non_null(strstr(err.text, "\"lake\""));
		if (!strstr(err.text, cases[i].says))
			fail_msg("%s: %s", cases[i].secret, err.text);
		assert_null(strstr(err.text, "hidden"));
	}
}

/* ---- answers ---- */

static void a_page_of_names_is_read(void **state)
{
	static const char xml[] =
	    "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>"
	    "<EnumerationResults ServiceEndpoint=\"http://x/\" "
	    "ContainerName=\"lake\"><Prefix>t/</Prefix><Blobs>"
	    "<Blob><Name>t/a &amp; b</Name><Properties><Last-Modified>Fri, 20 "
	    "Nov 2026 12:00:01 GMT</Last-Modified><Content-Length>12345678901"
	    "</Content-Length></Properties><Metadata><Name>x</Name></Metadata>"
	    "</Blob>"
	    "<Blob><Name Encoded=\"true\">t/x%01%25</Name><Properties>"
	    "<Content-Length>0</Content-Length></Properties></Blob>"
	    "<Blob><Name>t/folder</Name><Properties><ResourceType>directory"
	    "</ResourceType></Properties></Blob>"
	    "<BlobPrefix><Name>t/sub/</Name></BlobPrefix></Blobs>"
	    "<NextMarker>2!88!x</NextMarker></EnumerationResults>";
	struct blob_page page;

	(void)state;
	assert_int_equal(blob_page_parse(&page, xml, strlen(xml), &err), 0);
	assert_int_equal(page.count, 3);
	assert_string_equal(page.entries[0].name, "t/a & b");
	assert_int_equal(page.entries[0].bytes, 12345678901);
	assert_int_equal(page.entries[0].modified_at_ms,
			 (clock_days(2026, 11, 20) * 86400 + 43201) * 1000);
	assert_false(page.entries[0].is_prefix);
	assert_string_equal(page.entries[1].name, "t/x\001%");
	assert_int_equal(page.entries[1].bytes, 0);
	assert_string_equal(page.entries[2].name, "t/sub/");
	assert_true(page.entries[2].is_prefix);
	assert_string_equal(page.marker, "2!88!x");
	blob_page_free(&page);
}

static void a_last_page_has_no_marker(void **state)
{
	static const char xml[] = "<EnumerationResults><Blobs/><NextMarker/>"
				  "</EnumerationResults>";
	struct blob_page page;

	(void)state;
	assert_int_equal(blob_page_parse(&page, xml, strlen(xml), &err), 0);
	assert_int_equal(page.count, 0);
	assert_null(page.marker);
	blob_page_free(&page);
}

static void bad_pages_are_refused(void **state)
{
	static const char *const pages[] = {
	    "",
	    "<html>",
	    "<html><p>Please log in</p></html>",
	    "<a><b></a>",
	    "<EnumerationResults><Blobs><Blob><Name>t/",
	    "<!DOCTYPE x [<!ENTITY a \"aaaa\">]><x>&a;</x>",
	    "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a></a>",
	    "<a>\xff</a>",
	    /* Empty ones end although reading was stopped at their begin. */
	    "<Name/>",
	    "<Blob/>",
	    "<a/>",
	    "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><Name/>",
	};
	struct blob_page page;
	struct buf big = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
		assert_int_equal(
		    blob_page_parse(&page, pages[i], strlen(pages[i]), &err),
		    -1);
		assert_int_equal(err.code, EPROTO);
		assert_null(page.entries);
	}
	assert_int_equal(blob_page_parse(&page, NULL, 0, &err), -1);
	buf_text(&big, "<EnumerationResults><Blobs><Blob><Name>");
	for (int i = 0; i < 2000; i++)
		buf_text(&big, "0123456789");
	buf_text(&big, "</Name></Blob></Blobs></EnumerationResults>");
	assert_int_equal(blob_page_parse(&page, big.data, big.used, &err), -1);
	assert_non_null(strstr(err.text, "too long"));
	buf_free(&big);
}

static void the_message_of_an_error_is_found(void **state)
{
	static const char xml[] =
	    "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?><Error>"
	    "<Code>AuthenticationFailed</Code><Message>Server failed.\n"
	    "RequestId:1</Message><AuthenticationErrorDetail>hidden"
	    "</AuthenticationErrorDetail></Error>";
	char *message = blob_error_message(xml, strlen(xml));

	(void)state;
	assert_string_equal(message, "Server failed.\nRequestId:1");
	free(message);
	assert_null(blob_error_message("<html><p>502</html>", 19));
	assert_null(blob_error_message(NULL, 0));
}

/* ---- the store of a URL ---- */

static void a_lake_is_checked_without_asking_anybody(void **state)
{
	struct conf_identity id = {.type = IDENTITY_ACCOUNT_KEY, .key = KEY};
	struct blob_options with = {.identity_name = "lake", .identity = &id};
	struct blob_options without = {0};
	struct store *s;

	(void)state;
	assert_int_equal(store_check("file:///nonexistent/x", &without, &err),
			 0);
	assert_int_equal(store_check("/nonexistent/x", &without, &err), 0);
	assert_int_equal(store_check("file://host/x", &without, &err), -1);
	assert_int_equal(store_check("lake", &without, &err), -1);
	assert_non_null(strstr(err.text, "file:///FOLDER"));
	assert_int_equal(
	    store_check("http://127.0.0.1:1/acct/lake/a", &with, &err), 0);
	assert_int_equal(
	    store_check("http://127.0.0.1:1/acct/lake/a", &without, &err), -1);
	assert_non_null(strstr(err.text, "needs an identity"));
	assert_int_equal(
	    store_check("http://127.0.0.1:1/acct/lake/a/../b", &with, &err),
	    -1);
	assert_int_equal(
	    store_check("http://127.0.0.1:1/acct/lake/a//b", &with, &err), -1);
	assert_int_equal(
	    store_open(&s, "http://127.0.0.1:1/acct/lake/a", &with, &err), 0);
	assert_string_equal(s->url, "http://127.0.0.1:1/acct/lake/a");
	assert_null(store_local_path(s, "x", NULL));
	store_close(&s);
}

/* People take a secret for a URL, or put one into it. */
static void secrets_in_urls_are_not_told(void **state)
{
	static const char *const urls[] = {
	    "DefaultEndpointsProtocol=https;AccountName=acct;"
	    "AccountKey=hunter2==;EndpointSuffix=core.windows.net",
	    "BlobEndpoint=https://acct.blob.core.windows.net;"
	    "SharedAccessSignature=sv=1&sig=hunter2",
	    "AccountKey=hunter2;BlobEndpoint=https://"
	    "acct.blob.core.windows.net",
	    "https://me:hunter2@acct.blob.core.windows.net/lake/x",
	    "http://me:hunter2@127.0.0.1:10000/acct/lake/x",
	    "abfss://me:hunter2@acct.dfs.core.windows.net/lake",
	    "https://acct.blob.core.windows.net/lake/x?sv=1&sig=hunter2",
	    "https://acct.blob.core.windows.net/lake/x#hunter2",
	    "me:hunter2@acct.blob.core.windows.net/lake",
	    "sv=2024&sig=hunter2",
	};
	struct conf_identity id = {.type = IDENTITY_ACCOUNT_KEY, .key = KEY};
	struct blob_options with = {.identity_name = "lake", .identity = &id};
	struct blob_options without = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		assert_int_equal(store_check(urls[i], &with, &err), -1);
		if (strstr(err.text, "hunter2"))
			fail_msg("%s", err.text);
		assert_int_equal(store_check(urls[i], &without, &err), -1);
		if (strstr(err.text, "hunter2"))
			fail_msg("%s", err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(signatures_are_those_of_the_official_client),
	    cmocka_unit_test(the_string_to_sign_has_all_its_lines),
	    cmocka_unit_test(urls_of_all_forms_are_read),
	    cmocka_unit_test(urls_that_name_no_lake_are_refused),
	    cmocka_unit_test(text_in_urls_is_encoded),
	    cmocka_unit_test(credentials_come_in_three_forms),
	    cmocka_unit_test(credentials_of_no_use_are_told),
	    cmocka_unit_test(a_page_of_names_is_read),
	    cmocka_unit_test(a_last_page_has_no_marker),
	    cmocka_unit_test(bad_pages_are_refused),
	    cmocka_unit_test(the_message_of_an_error_is_found),
	    cmocka_unit_test(a_lake_is_checked_without_asking_anybody),
	    cmocka_unit_test(secrets_in_urls_are_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
