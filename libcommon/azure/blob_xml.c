/* The XML that the Blob service answers with: listings and errors. */
#include "azure/blob_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <expat.h>

#include "base/alloc.h"

#define TEXT_BYTES  16384 /* of one element that we read */
#define MAX_ENTRIES 20000 /* of one page; the service gives 5,000 */
#define MAX_DEPTH   16

/* A document being read: element names on a stack, text of the innermost. */
struct reading {
	XML_Parser parser;
	const char *path[MAX_DEPTH];
	size_t depth;
	struct buf text;
	bool encoded; /* the name has %XX for what XML cannot hold */
	const char *why;
	/* Elements end here. */
	void (*end)(struct reading *r, const char *name);
	struct blob_page *page;
	struct blob_entry entry;
	bool is_folder;
	char *message;
};

static void stop(struct reading *r, const char *why)
{
	r->why = why;
	XML_StopParser(r->parser, XML_FALSE);
}

/* Names are interned: only those that matter are told apart. */
static const char *known(const char *name)
{
	static const char *const names[] = {
	    "Blobs",	  "Blob",	"BlobPrefix", "Name",
	    "Properties", "NextMarker", "Error",      "EnumerationResults",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(names[i], name) == 0)
			return names[i];
	return "";
}

static bool inside(const struct reading *r, const char *parent)
{
	return r->depth >= 1 && strcmp(r->path[r->depth - 1], parent) == 0;
}

static void XMLCALL on_start(void *arg, const char *name, const char **attrs)
{
	struct reading *r = arg;

	if (r->depth == MAX_DEPTH) {
		stop(r, "is nested too deeply");
		return;
	}
	/* A page of something in between is not an empty container. */
	if (r->page && !r->depth && strcmp(name, "EnumerationResults") != 0) {
		stop(r, "is none");
		return;
	}
	r->path[r->depth++] = known(name);
	buf_clear(&r->text);
	r->encoded = attrs[0] && strcmp(attrs[0], "Encoded") == 0 &&
		     strcmp(attrs[1], "true") == 0;
	if (strcmp(name, "Blob") == 0 || strcmp(name, "BlobPrefix") == 0) {
		free((char *)r->entry.name);
		r->entry = (struct blob_entry){0};
		r->is_folder = false;
	}
}

static void XMLCALL on_text(void *arg, const char *text, int bytes)
{
	struct reading *r = arg;

	if (r->text.used + (size_t)bytes > TEXT_BYTES)
		stop(r, "has an element that is too long");
	else
		buf_append(&r->text, text, (size_t)bytes);
}

static void XMLCALL on_end(void *arg, const char *name)
{
	struct reading *r = arg;

	/* An empty element ends even if reading was stopped at its begin. */
	if (r->why)
		return;
	r->depth--;
	r->end(r, name);
	buf_clear(&r->text);
}

/* No answer needs one, and entities could grow without bound. */
static void XMLCALL on_doctype(void *arg, const char *name, const char *system,
			       const char *public, int internal)
{
	(void)name;
	(void)system;
	(void)public;
	(void)internal;
	stop(arg, "has a document type");
}

/* 0, or -1 with r->why. */
static int read_xml(struct reading *r, const char *xml, size_t bytes)
{
	int rc = -1;

	r->parser = XML_ParserCreate(NULL);
	if (!r->parser)
		abort();
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	if (XML_Parse(r->parser, xml ? xml : "", (int)bytes, 1) ==
	    XML_STATUS_OK)
		rc = 0;
	else if (!r->why)
		r->why = XML_ErrorString(XML_GetErrorCode(r->parser));
	XML_ParserFree(r->parser);
	buf_free(&r->text);
	return rc;
}

/* ---- listings ---- */

static void add_entry(struct reading *r, bool is_prefix)
{
	struct blob_page *page = r->page;

	/* In accounts with real folders these are listed as empty blobs. */
	if (!r->entry.name || (r->is_folder && !is_prefix))
		return;
	if (page->count == MAX_ENTRIES) {
		stop(r, "has too many names");
		return;
	}
	if ((page->count & (page->count - 1)) == 0)
		page->entries = xreallocarray(page->entries,
					      page->count ? page->count * 2 : 1,
					      sizeof(*page->entries));
	r->entry.is_prefix = is_prefix;
	page->entries[page->count++] = r->entry;
	r->entry.name = NULL;
}

static int64_t parse_date(const char *text)
{
	struct tm tm = {0};

	return strptime(text, "%a, %d %b %Y %H:%M:%S", &tm)
		   ? (int64_t)timegm(&tm) * 1000
		   : 0;
}

static void take_name(struct reading *r)
{
	char *name = xmemdup0(r->text.data ? r->text.data : "", r->text.used);

	if (r->encoded)
		azure_decode(name);
	free((char *)r->entry.name);
	r->entry.name = name;
}

static void end_of_list(struct reading *r, const char *name)
{
	const char *text = buf_str(&r->text);

	if (strcmp(name, "Blob") == 0 && inside(r, "Blobs"))
		add_entry(r, false);
	else if (strcmp(name, "BlobPrefix") == 0 && inside(r, "Blobs"))
		add_entry(r, true);
	else if (strcmp(name, "Name") == 0 &&
		 (inside(r, "Blob") || inside(r, "BlobPrefix")))
		take_name(r);
	else if (strcmp(name, "Content-Length") == 0 && inside(r, "Properties"))
		r->entry.bytes = strtoll(text, NULL, 10);
	else if (strcmp(name, "Last-Modified") == 0 && inside(r, "Properties"))
		r->entry.modified_at_ms = parse_date(text);
	else if (strcmp(name, "ResourceType") == 0 && inside(r, "Properties"))
		r->is_folder = strcmp(text, "directory") == 0;
	else if (strcmp(name, "NextMarker") == 0 && r->text.used &&
		 !r->page->marker)
		r->page->marker = xmemdup0(text, r->text.used);
}

int blob_page_parse(struct blob_page *page, const char *xml, size_t bytes,
		    struct err *err)
{
	struct reading r = {.end = end_of_list, .page = page};
	int rc;

	*page = (struct blob_page){0};
	rc = read_xml(&r, xml, bytes);
	free((char *)r.entry.name);
	if (rc == 0)
		return 0;
	blob_page_free(page);
	return err_set(err, EPROTO, "the listing that the service sent %s",
		       r.why);
}

void blob_page_free(struct blob_page *page)
{
	for (size_t i = 0; i < page->count; i++)
		free((char *)page->entries[i].name);
	free(page->entries);
	free(page->marker);
	*page = (struct blob_page){0};
}

/* ---- errors ---- */

static void end_of_error(struct reading *r, const char *name)
{
	if (strcmp(name, "Message") == 0 && !r->message)
		r->message = xmemdup0(buf_str(&r->text), r->text.used);
}

char *blob_error_message(const char *xml, size_t bytes)
{
	struct reading r = {.end = end_of_error};

	/* A proxy's page of HTML is no XML: then there is no message. */
	(void)!read_xml(&r, xml, bytes);
	free((char *)r.entry.name);
	return r.message;
}
