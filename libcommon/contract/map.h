/* The mapper's parts; private to this folder. */
#ifndef WEFT_CONTRACT_MAP_H
#define WEFT_CONTRACT_MAP_H

#include "base/clock.h"
#include "contract/check.h"
#include "contract/json.h"
#include "contract/mapper.h"
#include "contract/mask.h"
#include "contract/match.h"

/* Where a value that the index names lies in the line being written. */
struct spot {
	uint32_t at; /* from the start of the line */
	uint32_t bytes;
	bool known;
};

/*
 * A line being written. Members that stay as they are form runs: one copy each,
 * commas between them included.
 */
struct line {
	char *start;
	char *at;
	const char *run; /* text that waits to be copied, up to run_end */
	const char *run_end;
	uint32_t run_at; /* where it will begin in the line */
};

/* What the index says of an event: unescaped texts, 0 bytes = none. */
struct traits {
	struct slice id, key, type;
	uint64_t key_hash;
};

struct mapper {
	struct json parser; /* of lines that nobody parsed before */
	struct mask_cache *cache;
	struct mapper_counts counts;
	struct finding finding;
	struct buf flags; /* `field:code,field:code` of the event */
	struct buf text;
	struct buf tail;       /* what last4 leaves of a value */
	struct buf masked;     /* of a dead letter: members and their masks */
	int64_t created_at_us; /* what `created` says */
	char created[CLOCK_TEXT_BYTES];

	/* The event at hand. */
	const struct contract_set *set;
	const struct model *model;
	struct json *json;	  /* its members, each with its rule */
	struct json_member *head; /* those that stand in front of them */
	uint32_t head_count;
	struct slice sent; /* its line, unmapped; at least its length */
	struct traits traits;
	uint16_t stream;	   /* number in the builder */
	uint32_t behind;	   /* events of the batch behind it */
	const struct batch *batch; /* what holds it, for dead letters alone */
	const struct batch_event *event;
	struct line line;
	uint32_t line_offset; /* of the line in the payload */
	struct spot id, key, type;
	const struct json_member *unknown_member; /* its column as sent, or NULL
						   */
	uint32_t unknown_count;			  /* members that go there */
	uint64_t seen[MODEL_SEEN_WORDS]; /* fields that have a member */
	const uint64_t *kept; /* fields that were masked before, or NULL */
};

/* Makes `created` say created_at_us. */
void map_created(struct mapper *m, int64_t created_at_us);

/*
 * Parses m->sent, finds its members in m->json and their rules in m->model,
 * which may be NULL. False with m->finding.
 */
bool map_parse(struct mapper *m) MUST_CHECK;

/*
 * Appends the event that map_parse() opened, mapped; m->stream is set. False
 * with m->finding when it cannot be mapped.
 */
bool map_line(struct mapper *m, struct batch_builder *w) MUST_CHECK;

/*
 * The parts of map_line(), for members that are known already with their rules,
 * m->seen, m->unknown_member and m->unknown_count:
 * True when the event can be passed byte by byte.
 */
bool map_is_plain(const struct mapper *m);

/* How long the line may get. */
size_t map_room(const struct mapper *m);

/*
 * Writes the members mapped at m->line.start, which has room for map_room()
 * bytes. False with m->finding when the event cannot be mapped.
 */
bool map_members(struct mapper *m) MUST_CHECK;

/*
 * Takes the line of so many bytes at m->line.start, where m->id, m->key and
 * m->type lie if they are known, into w. False with m->finding when it is too
 * large.
 */
bool map_finish(struct mapper *m, struct batch_builder *w,
		size_t bytes) MUST_CHECK;

/*
 * Whether so many payload bytes for the event at hand leave the events behind
 * it the room of a short dead letter.
 */
bool map_fits(const struct mapper *m, const struct batch_builder *w,
	      size_t bytes);

/* A value's mask at `out` (JSON text). Returns the end; NULL: leave it out. */
char *map_mask(struct mapper *m, const struct rule *r,
	       const struct json_member *member, char *out);

/* Appends the event at hand to w as a dead letter for m->finding. */
void map_dead_letter(struct mapper *m, struct batch_builder *w, bool parsed);

/* A UUID (RFC 9562, version 8) that follows from the event and a name. */
void map_uuid(const struct mapper *m, const char *name, size_t bytes,
	      char text[37]);

#endif
