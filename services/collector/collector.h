/* What the files of the collector share. */
#ifndef WEFT_SERVICES_COLLECTOR_COLLECTOR_H
#define WEFT_SERVICES_COLLECTOR_COLLECTOR_H

#include "base/buf.h"
#include "base/loop.h"
#include "contract/intake.h"
#include "http/server.h"
#include "run/run.h"
#include "run/source.h"
#include "services/collector/group.h"
#include "services/collector/keys.h"
#include "services/collector/tables.h"

/* What is free in the log before a request is looked at. */
#define COLLECTOR_ROOM_BYTES (1u << 20)
#define COLLECTOR_CELL_BYTES 44
#define COLLECTOR_CELLS	     256

/* A series of `received` that was counted before: its labels, and where. */
struct known_cell {
	int64_t *cell; /* NULL: none */
	uint32_t type_bytes, source_bytes;
	char type[COLLECTOR_CELL_BYTES];
	char source[COLLECTOR_CELL_BYTES];
};

/* What is looked up once for all requests between two waits. */
struct collector_turn {
	bool begun;
	bool has_room;	/* the log, COLLECTOR_ROOM_BYTES of it */
	int64_t now_us; /* wall clock */
};

struct collector {
	struct run *run;
	struct source *source;
	struct http_server *http;
	struct group *group;
	struct keys *keys;
	struct intake *intake;
	struct loop_hook hook;
	struct collector_turn turn;
	struct loop_timer gather; /* another turn, though nothing came */
	bool disk_fails;
	struct buf openapi; /* made for the contracts of openapi_set */
	uint64_t openapi_set;
	struct buf reply;			  /* scratch */
	struct known_cell cells[COLLECTOR_CELLS]; /* by a hash of the type */
	struct intake_result result;
};

static inline const struct collector_conf *collector_conf(struct collector *c)
{
	return run_conf(c->run);
}

static inline struct collector_counters *collector_counters(struct collector *c)
{
	return run_counters(c->run);
}

const struct collector_turn *collector_turn(struct collector *c);

/* Why nothing can be accepted now, or NULL; code is for programs. */
const char *collector_unready(struct collector *c, const char **code);

/* Brings the counters that others keep up to date. */
void collector_count(struct collector *c);

/* api.c: the routes; callbacks of the server, arg is the collector. */
void api_headers(void *arg, struct http_request *r);
void api_request(void *arg, struct http_request *r);

/* One line a route, for 404 and the OpenAPI document. */
struct api_route {
	const char *path;
	const char *methods; /* as in Allow, without OPTIONS */
	void (*fn)(struct collector *c, struct http_request *r);
	bool posts; /* needs a key, takes events */
	const char *doc;
};
extern const struct api_route api_routes[];
extern const size_t api_route_count;

/* post.c */
/* What is wrong with how the events come, answered; false when answered. */
bool post_check(struct collector *c, struct http_request *r);
void post_one(struct collector *c, struct http_request *r);
void post_batch(struct collector *c, struct http_request *r);

/* pages.c */
void page_health(struct collector *c, struct http_request *r);
void page_live(struct collector *c, struct http_request *r);
void page_ready(struct collector *c, struct http_request *r);
void page_metrics(struct collector *c, struct http_request *r);
void page_openapi(struct collector *c, struct http_request *r);

/* openapi.c: the document (OpenAPI 3.1) of the routes and the contracts. */
void openapi_write(const struct contract_set *set, struct buf *out);

#endif
