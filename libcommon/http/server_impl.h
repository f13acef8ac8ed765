/*
 * The inside of the HTTP server, shared by its files only:
 *   server.c         time limits, life and death
 *   server_listen.c  the listening socket
 *   server_conn.c    one connection: reading, and parsing in step
 *   server_write.c   answers in their order
 *   server_parse.c   llhttp's callbacks: bytes into a request, bad ones into
 *                    an exact error
 *   server_request.c what the owner may ask of a request
 *   server_target.c  the request target
 *   server_answer.c  answers
 *   server_block.c   the memory that requests are read into
 *   server_decode.c, server_tls.c
 *
 * Bytes are read into a block and parsed in place. A request that the owner
 * has holds a reference to its block, so slices stay put; only the request
 * that is still being read may move. Answers are kept per request and leave
 * in order, as many as are ready in one call.
 */
#ifndef WEFT_HTTP_SERVER_IMPL_H
#define WEFT_HTTP_SERVER_IMPL_H

#include <llhttp.h>

#include "http/server.h"
#include "http/server_decode.h"
#include "http/server_tls.h"

#define HTTP_MAX_HEADERS      100
#define HTTP_MAX_TARGET_BYTES 8192
#define HTTP_MAX_PIPELINED    16
#define HTTP_DRAIN_BYTES      (1u << 20)
#define HTTP_LINGER_US	      5000000
#define HTTP_DRAIN_US	      500000
#define HTTP_PEER_BYTES	      64

/* ---- blocks ---- */

struct http_block {
	struct http_block *next; /* in the pool */
	uint32_t references;
	size_t size;
	size_t used;
	char data[];
};

#define HTTP_BLOCK_CLASSES 5
#define HTTP_SMALL_BLOCK   4096

struct http_blocks {
	struct http_block *free[HTTP_BLOCK_CLASSES];
	uint32_t kept[HTTP_BLOCK_CLASSES];
	uint64_t *buffered_bytes; /* counts all blocks but the smallest */
};

/* The size of the block that serves `bytes` bytes. */
size_t http_block_bytes(size_t bytes);

/* A block of at least `bytes` bytes with one reference, used = 0. */
struct http_block *http_block_take(struct http_blocks *pool, size_t bytes);
void http_block_drop(struct http_blocks *pool, struct http_block **block);
void http_blocks_free(struct http_blocks *pool);

/* ---- requests ---- */

/* Offsets count from the first byte of the request. */
struct http_field {
	uint32_t name, name_bytes;
	uint32_t value, value_bytes;
};

enum http_stage {
	HTTP_IN_HEADERS,
	HTTP_IN_BODY,
	HTTP_COMPLETE, /* the owner has it */
};

struct http_request {
	struct http_server *server;
	struct http_conn *conn;	       /* NULL once the client is gone */
	struct http_request *next;     /* in its connection, or in a list */
	struct http_request *previous; /* among those without a connection */
	void *context;

	struct http_block *block; /* with a reference once complete */
	char *data;		  /* the first byte of the request */
	uint32_t target, target_bytes;
	uint32_t path, path_bytes;
	uint8_t method;
	uint8_t header_count;
	uint64_t name_lengths; /* bit n % 64: a header's name has n bytes */
	enum http_stage stage;
	size_t body; /* offset; in `decoded` when that is set */
	size_t body_bytes;
	uint64_t declared_bytes; /* Content-Length, else 0 */
	struct http_decoder *decoder;
	struct buf decoded;

	bool chunked;
	bool close;	/* the connection ends with this answer */
	bool head;	/* answer without a body */
	bool old;	/* HTTP/1.0 */
	bool continues; /* 100 Continue is to be sent */
	bool expects;	/* the client waits for it */
	bool discard;	/* answered early: the body is dropped */
	bool seen;	/* the owner knows it */
	bool answered;

	struct buf extra; /* headers of the owner */
	struct buf out;
	size_t sent;
	struct http_field headers[HTTP_MAX_HEADERS + 1];
};

struct http_request *http_request_take(struct http_server *s);
/* Lets go of its memory, too. */
void http_request_give(struct http_request *r);

/* ---- connections ---- */

/* What a connection waits for; each has its own time limit. */
enum http_wait {
	HTTP_WAIT_IDLE,
	HTTP_WAIT_HEADERS,
	HTTP_WAIT_BODY,
	HTTP_WAIT_WRITE,
	HTTP_WAIT_LINGER,
	HTTP_WAIT_OWNER, /* no limit here: the owner has its own */
	HTTP_WAITS,
};

enum http_mode {
	HTTP_HANDSHAKE,
	HTTP_OPEN,
	HTTP_CLOSING,	/* parses no more; closes when all is answered */
	HTTP_LINGERING, /* all is sent; reads the rest away so that it arrives
			 */
};

struct http_conn {
	struct http_server *server;
	struct loop_io io;
	uint32_t watched;
	enum http_mode mode;
	struct ssl_st *ssl;
	bool ssl_wants_write;
	bool ssl_unread; /* OpenSSL may hold bytes that were not read */
	bool eof;	 /* the client sends no more */
	bool blocked;	 /* the socket takes no more */
	bool dirty;	 /* in the list of those with answers to send */
	llhttp_t parser;
	struct http_block *block;
	size_t parsed;		    /* of block->used */
	size_t usual_bytes;	    /* what its requests took lately */
	struct http_request *first; /* oldest not sent yet */
	struct http_request *last;
	struct http_request *current; /* being read, among the above */
	uint32_t outstanding;
	uint64_t serial; /* requests so far */

	enum http_wait wait;
	uint64_t wait_serial;
	int64_t wait_mono_us;
	struct http_conn *later, *sooner; /* in the list of its wait */
	struct http_conn *next_dirty;
	struct http_conn *next_free;
	char peer[HTTP_PEER_BYTES];
};

/* The head of an answer as most are, up to the length of the body. */
struct http_head {
	struct buf text;
	unsigned status;
	int64_t date_s;
	char content_type[64];
};

struct http_waits {
	struct http_conn *first, *last;
	int64_t limit_us;
};

struct http_server {
	struct loop *loop;
	struct http_options options;
	struct http_events events;
	struct http_counters counters;
	struct http_tls *tls;
	struct loop_io listener;
	bool listening;
	bool draining;
	char *unix_path;
	uint16_t port;
	struct loop_timer deadline;
	struct loop_timer flush;
	struct loop_timer reopen; /* accepting again after EMFILE */
	struct http_waits waits[HTTP_WAITS];
	struct http_conn *dirty;
	struct http_conn *free_conns;
	struct http_request *free_requests;
	uint32_t free_request_count;
	struct http_request *orphans; /* owned by the owner, client gone */
	struct http_blocks blocks;
	struct http_decoder *decoders[HTTP_CODING_UNKNOWN];
	int64_t date_s;
	char date[32];
	struct http_head head; /* of the last answer */
};

extern const llhttp_settings_t http_parse_settings;

/* server.c */
void http_wait_set(struct http_conn *c, enum http_wait wait);
void http_wait_leave(struct http_conn *c);
struct http_conn *http_conn_take(struct http_server *s);
void http_conn_give(struct http_conn *c);
/* Its answers leave at the end of this turn. */
void http_mark_dirty(struct http_conn *c);
/* It has its turn at once, but others come first. */
void http_mark_later(struct http_conn *c);

/* server_listen.c */
int http_listen(struct http_server *s, struct err *err) MUST_CHECK;
void http_listen_stop(struct http_server *s);

/* server_block.c: room for the next read; -1 when memory is used up */
int http_conn_make_room(struct http_conn *c) MUST_CHECK;

/* server_write.c: sends what is ready; false when not all of it left (the
 * socket is full, or the connection is dead now) */
bool http_conn_write(struct http_conn *c);

/* server_conn.c */
void http_conn_start(struct http_conn *c);
void http_conn_flush(struct http_conn *c);
void http_conn_expire(struct http_conn *c);
/* Ends it at once: the owner hears of each request it still has. */
void http_conn_kill(struct http_conn *c);
/* Begins a request at the byte that is parsed next. */
struct http_request *http_conn_begin(struct http_conn *c);

/* server_parse.c */
/* Answers the request being read with an error, and closes behind it. */
void http_parse_refuse(struct http_conn *c, unsigned status, const char *code,
		       const char *message);
/* 503 with Retry-After. Returns nonzero. */
int http_parse_overloaded(struct http_conn *c);
void http_parse_error(struct http_conn *c, llhttp_errno_t error);

/* server_target.c; NULL or what is wrong with it */
const char *http_target_split(struct http_request *r);

#endif
