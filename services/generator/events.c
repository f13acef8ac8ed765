#include "services/generator/events.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "services/generator/random.h"

#define SESSIONS 512
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* One visitor: what the events of a session have in common. */
struct session {
	char session_id[UUID_TEXT_BYTES];
	char correlation_id[UUID_TEXT_BYTES];
	uint32_t customer;
	uint32_t order;
};

struct events {
	struct random random;
	uint64_t bad_below; /* of 2^32 */
	int64_t at_us;
	int64_t second; /* that `time` shows */
	char time[CLOCK_TEXT_BYTES];
	struct session sessions[SESSIONS];
	struct buf *out;
	struct session *session;
};

/* ---- words ---- */

static const char *const first_names[] = {
    "Ada",  "Björn", "Chloé", "Dmitri", "Elif",	  "Fatima", "Grace", "Håkon",
    "Inés", "José",  "Keiko", "Łukasz", "Miriam", "Noor",   "Olu",   "Zoë",
};
static const char *const last_names[] = {
    "Lovelace", "Müller",   "Nguyen", "O'Neill", "Petrović", "Quispe",
    "Rossi",	"Sørensen", "Tanaka", "Öztürk",	 "Van Dyk",  "Żak",
};
static const char *const products[] = {
    "Contoso Catnip's Friend", "Salty Sailor's Squeaky Squid",
    "Mermaid's Mouse Trap",    "Ocean Explorer's Puzzle Ball",
    "Pirate Parrot Teaser",    "Seafarer's Tug Rope",
    "Captain Cat's Crunchies", "Deckhand Dog Jacket",
    "Sea Dog Life Vest",       "Plank Walker's Scratching Post",
};
static const char *const categories[] = {"toys", "food", "apparel", "furniture",
					 "grooming"};
static const char *const searches[] = {
    "squeaky toy",  "dog life vest size m", "katzenspielzeug",
    "crunchy food", "gift for a parrot",    "おもちゃ",
};
static const char *const queries[] = {
    "Where is my order? It was due on Tuesday.",
    "Do you have the life vest in a \\\"large\\\"?",
    "I would like to return the scratching post, please.",
    "Which of the toys is safe for a puppy of ten weeks?",
};
static const char *const answers[] = {
    "Your order left the warehouse this morning and should arrive tomorrow.",
    "Yes, three are left. Shall I put one into your basket?",
    "Certainly: the label is on its way to your inbox.",
};
static const char *const models[] = {"gpt-4o", "gpt-4o-mini", "o3-mini"};
static const char *const regions[] = {"westeurope", "northeurope", "eastus2",
				      "japaneast"};
static const char *const tools[] = {"search_products", "get_order",
				    "place_order", "update_inventory"};
static const char *const channels[] = {"web", "mobile", "chat", "voice"};

#define PICK(e, words) (words)[random_below(&(e)->random, COUNT(words))]

/* ---- members ---- */

static void key(struct events *e, const char *name)
{
	struct buf *out = e->out;

	buf_append(out, ",\"", 2);
	buf_text(out, name);
	buf_append(out, "\":", 2);
}

static void text(struct events *e, const char *name, const char *value)
{
	key(e, name);
	buf_char(e->out, '"');
	buf_text(e->out, value);
	buf_char(e->out, '"');
}

static void digits(struct buf *out, uint64_t value, int least)
{
	char reversed[20];
	int n = 0;

	do {
		reversed[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value || n < least);
	while (n)
		buf_char(out, reversed[--n]);
}

static void number(struct events *e, const char *name, uint32_t value)
{
	key(e, name);
	digits(e->out, value, 1);
}

static uint32_t some(struct events *e, uint32_t least, uint32_t most)
{
	return least + random_below(&e->random, most - least + 1);
}

/* Money with two to six decimals, as shops and meters write it. */
static void money(struct events *e, const char *name, uint32_t most)
{
	int decimals = random_below(&e->random, 8) ? 2 : (int)some(e, 3, 6);
	uint32_t scale = 1;

	for (int i = 0; i < decimals; i++)
		scale *= 10;
	key(e, name);
	digits(e->out, random_below(&e->random, most), 1);
	buf_char(e->out, '.');
	digits(e->out, random_below(&e->random, scale), decimals);
}

static void flag(struct events *e, const char *name, bool value)
{
	key(e, name);
	buf_text(e->out, value ? "true" : "false");
}

static void prefixed(struct events *e, const char *name, const char *prefix,
		     uint32_t value)
{
	key(e, name);
	buf_char(e->out, '"');
	buf_text(e->out, prefix);
	digits(e->out, value, 4);
	buf_char(e->out, '"');
}

static void make_uuid(struct random *r, char out[UUID_TEXT_BYTES])
{
	uint64_t words[2] = {random_next(r), random_next(r)};
	struct uuid id;

	memcpy(id.bytes, words, sizeof(id.bytes));
	id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
	id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
	uuid_format(&id, out);
}

static void put_time(struct events *e)
{
	int64_t second = e->at_us / 1000000;

	if (second != e->second) {
		clock_format(second * 1000000, e->time);
		e->second = second;
	}
	key(e, "event_time");
	buf_char(e->out, '"');
	buf_append(e->out, e->time, strlen("2026-01-01T00:00:00"));
	buf_char(e->out, '.');
	digits(e->out, (uint64_t)(e->at_us % 1000000), 6);
	buf_text(e->out, "+00:00\"");
}

static void customer(struct events *e)
{
	uint32_t n = e->session->customer;
	const char *first = first_names[n % COUNT(first_names)];
	const char *last = last_names[n / 16 % COUNT(last_names)];

	prefixed(e, "customer_id", "", 1000000000 + n);
	key(e, "customer_name");
	buf_printf(e->out, "\"%s %s\"", first, last);
	key(e, "customer_email");
	buf_printf(e->out, "\"customer%u@example.com\"", n);
}

/* ---- families ---- */

static void product(struct events *e, const char *type)
{
	uint32_t n = random_below(&e->random, COUNT(products));

	if (strcmp(type, "product.listed") == 0) {
		number(e, "listing_page", some(e, 1, 9));
		number(e, "listing_page_size", 24);
		key(e, "products_listed");
		buf_text(e->out, "[\"P-0001\",\"P-0004\",\"P-0007\"]");
		return;
	}
	if (strcmp(type, "product.searched") == 0) {
		text(e, "search_query", PICK(e, searches));
		number(e, "search_results_count", some(e, 0, 120));
		return;
	}
	prefixed(e, "product_id", "P-", n);
	text(e, "product_name", products[n]);
	text(e, "product_category", PICK(e, categories));
	money(e, "product_price", 200);
	flag(e, "ai_assisted", random_below(&e->random, 4) == 0);
}

static void order(struct events *e, const char *type)
{
	uint32_t items = some(e, 1, 3);

	prefixed(e, "order_id", "O-", e->session->order);
	text(e, "order_status", type + strlen("order."));
	customer(e);
	key(e, "order_items");
	buf_char(e->out, '[');
	for (uint32_t i = 0; i < items; i++) {
		buf_text(e->out, i ? ",{\"productId\":" : "{\"productId\":");
		digits(e->out, some(e, 1, 9), 1);
		buf_text(e->out, ",\"quantity\":");
		digits(e->out, some(e, 1, 4), 1);
		money(e, "price", 100);
		buf_char(e->out, '}');
	}
	buf_char(e->out, ']');
	money(e, "order_total", 900);
	number(e, "item_count", items);
	if (random_below(&e->random, 2))
		number(e, "processing_duration_ms", some(e, 20, 9000));
	e->session->order += random_below(&e->random, 2);
}

static void customer_event(struct events *e, const char *type)
{
	customer(e);
	text(e, "channel", PICK(e, channels));
	if (strcmp(type, "customer.query") == 0) {
		text(e, "query_text", PICK(e, queries));
		text(e, "query_intent", "order_status");
		text(e, "response_text", PICK(e, answers));
		number(e, "response_time_ms", some(e, 90, 4000));
		number(e, "ai_tokens_used", some(e, 50, 2400));
	} else if (strcmp(type, "customer.feedback") == 0) {
		number(e, "feedback_rating", some(e, 1, 5));
		text(e, "feedback_text", "Quick and friendly, thank you 👍");
	} else {
		number(e, "session_duration_ms", some(e, 900, 900000));
		number(e, "interaction_count", some(e, 1, 40));
	}
}

static void admin(struct events *e, const char *type)
{
	uint32_t before = some(e, 0, 500), after = some(e, 0, 500);

	text(e, "admin_user", "ops@example.com");
	text(e, "action_type", type + strlen("admin."));
	prefixed(e, "product_id", "P-", some(e, 0, 9));
	number(e, "previous_quantity", before);
	number(e, "new_quantity", after);
	money(e, "previous_price", 200);
	money(e, "new_price", 200);
	text(e, "change_reason", "stock taking");
}

static void ai(struct events *e, const char *type)
{
	uint32_t in = some(e, 40, 3000), out = some(e, 10, 900);

	(void)type;
	text(e, "model_name", PICK(e, models));
	text(e, "model_provider", "azure-openai");
	number(e, "input_tokens", in);
	number(e, "output_tokens", out);
	number(e, "total_tokens", in + out);
	money(e, "estimated_cost_usd", 2);
	number(e, "response_latency_ms", some(e, 80, 9000));
	flag(e, "recommendation_accepted", random_below(&e->random, 3) == 0);
}

static void agent(struct events *e, const char *type)
{
	prefixed(e, "agent_id", "aks-store/agents/agent-", some(e, 1, 6));
	prefixed(e, "agent_session_id", "aks-store/agents/sessions/",
		 e->session->customer);
	if (strcmp(type, "agent.tool_call") == 0) {
		prefixed(e, "tool_call_id", "call-", some(e, 1, 99999));
		text(e, "tool_name", PICK(e, tools));
	} else if (strcmp(type, "agent.model_invocation") == 0) {
		prefixed(e, "invocation_id", "inv-", some(e, 1, 99999));
		text(e, "model_name", PICK(e, models));
		number(e, "prompt_tokens", some(e, 40, 3000));
		number(e, "completion_tokens", some(e, 10, 900));
		money(e, "estimated_cost_usd", 2);
	} else if (strncmp(type, "agent.task", 10) == 0) {
		prefixed(e, "task_id", "task-", some(e, 1, 99999));
		text(e, "task_type", "support");
	} else {
		number(e, "tool_call_count", some(e, 0, 40));
		money(e, "revenue_generated", 400);
	}
	text(e, "status", "ok");
	number(e, "duration_ms", some(e, 10, 60000));
}

struct kind {
	const char *type;
	const char *source;
	void (*fill)(struct events *e, const char *type);
	uint32_t weight; /* of WEIGHTS */
};

#define WEIGHTS 100

static const struct kind kinds[] = {
    {"product.viewed", "store-front", product, 22},
    {"product.searched", "store-front", product, 7},
    {"product.listed", "store-front", product, 6},
    {"order.placed", "order-service", order, 9},
    {"order.status_checked", "customer-agent", order, 4},
    {"order.completed", "makeline-service", order, 6},
    {"order.failed", "makeline-service", order, 1},
    {"customer.session_started", "store-front", customer_event, 6},
    {"customer.session_ended", "store-front", customer_event, 5},
    {"customer.query", "customer-agent", customer_event, 5},
    {"customer.feedback", "customer-agent", customer_event, 2},
    {"admin.inventory_updated", "store-admin", admin, 3},
    {"admin.product_created", "admin-agent", admin, 1},
    {"admin.product_creation_failed", "admin-agent", admin, 1},
    {"admin.product_updated", "store-admin", admin, 1},
    {"admin.product_deleted", "store-admin", admin, 1},
    {"ai.recommendation", "customer-agent", ai, 4},
    {"ai.description_generated", "admin-agent", ai, 2},
    {"agent.session_started", "customer-agent", agent, 2},
    {"agent.session_ended", "customer-agent", agent, 2},
    {"agent.task_started", "customer-agent", agent, 2},
    {"agent.task_completed", "customer-agent", agent, 2},
    {"agent.model_invocation", "customer-agent", agent, 3},
    {"agent.tool_call", "customer-agent", agent, 3},
};

static const struct kind *pick_kind(struct events *e)
{
	uint32_t at = random_below(&e->random, WEIGHTS);

	for (size_t i = 0; i < COUNT(kinds); i++) {
		if (at < kinds[i].weight)
			return &kinds[i];
		at -= kinds[i].weight;
	}
	return &kinds[0];
}

/* ---- faults ---- */

const char *event_fault_code(enum event_fault fault)
{
	static const char *const codes[] = {
	    [FAULT_NONE] = "",
	    [FAULT_WRONG_TYPE] = "wrong_type",
	    [FAULT_OUT_OF_RANGE] = "out_of_range",
	    [FAULT_TOO_LONG] = "too_long",
	    [FAULT_NO_CONTRACT] = "no_contract",
	    [FAULT_DUPLICATE_KEY] = "duplicate_key",
	    [FAULT_BAD_CHARACTER] = "bad_character",
	    [FAULT_NOT_OBJECT] = "not_an_object",
	    [FAULT_TOO_DEEP] = "too_deep",
	};

	return codes[fault];
}

/* Adds a member that alone makes the event bad. Members used here are of the
 * base contract, and no family above writes them. */
static void spoil(struct events *e, enum event_fault fault)
{
	switch (fault) {
	case FAULT_WRONG_TYPE:
		key(e, "workload_id");
		buf_text(e->out, "17");
		break;
	case FAULT_OUT_OF_RANGE:
		/* event_time is written last for all but this one */
		key(e, "event_time");
		buf_text(e->out, "\"1492-10-12T00:00:00Z\"");
		break;
	case FAULT_TOO_LONG:
		key(e, "workload_id");
		buf_char(e->out, '"');
		for (int i = 0; i < 2000; i++)
			buf_char(e->out, 'w');
		buf_char(e->out, '"');
		break;
	case FAULT_DUPLICATE_KEY:
		text(e, "environment", "staging");
		text(e, "environment", "production");
		break;
	case FAULT_BAD_CHARACTER:
		text(e, "namespace", "sto\\u0000re");
		break;
	case FAULT_TOO_DEEP:
		key(e, "custom_properties");
		for (int i = 0; i < 80; i++)
			buf_text(e->out, "{\"in\":");
		buf_char(e->out, '1');
		for (int i = 0; i < 80; i++)
			buf_char(e->out, '}');
		break;
	default:
		break;
	}
}

/* ---- the stream ---- */

struct events *events_new(uint64_t seed, int64_t start_us, double bad_share)
{
	struct events *e = xcalloc(1, sizeof(*e));

	random_seed(&e->random, seed);
	e->bad_below = (uint64_t)(bad_share * 4294967296.0);
	e->at_us = start_us;
	e->second = INT64_MIN;
	for (size_t i = 0; i < SESSIONS; i++) {
		struct session *s = &e->sessions[i];

		make_uuid(&e->random, s->session_id);
		make_uuid(&e->random, s->correlation_id);
		s->customer = random_below(&e->random, 1146483646);
		s->order = random_below(&e->random, 90000000);
	}
	return e;
}

void events_free(struct events **events)
{
	free(*events);
	*events = NULL;
}

static enum event_fault pick_fault(struct events *e)
{
	if ((random_next(&e->random) >> 32) >= e->bad_below)
		return FAULT_NONE;
	return (enum event_fault)some(e, FAULT_NONE + 1, FAULT_COUNT - 1);
}

static void properties(struct events *e)
{
	key(e, "custom_properties");
	buf_text(e->out, "{\"region\":\"");
	buf_text(e->out, PICK(e, regions));
	buf_text(e->out, "\",\"experiment\":\"checkout-");
	buf_char(e->out, (char)('A' + random_below(&e->random, 4)));
	buf_text(e->out, "\"}");
}

enum event_fault events_next(struct events *e, struct buf *out,
			     char id[UUID_TEXT_BYTES])
{
	enum event_fault fault = pick_fault(e);
	const struct kind *kind = pick_kind(e);

	e->out = out;
	e->session = &e->sessions[random_below(&e->random, SESSIONS)];
	e->at_us += some(e, 500, 1500);
	if (fault == FAULT_NOT_OBJECT) {
		id[0] = '\0';
		buf_text(out, "\"event\"");
		return fault;
	}
	make_uuid(&e->random, id);
	buf_text(out, "{\"event_id\":\"");
	buf_append(out, id, UUID_TEXT_BYTES - 1);
	buf_char(out, '"');
	text(e, "event_type",
	     fault == FAULT_NO_CONTRACT ? "warehouse.flooded" : kind->type);
	text(e, "event_source", kind->source);
	if (fault != FAULT_OUT_OF_RANGE)
		put_time(e);
	text(e, "session_id", e->session->session_id);
	if (random_below(&e->random, 3) == 0)
		text(e, "correlation_id", e->session->correlation_id);
	kind->fill(e, kind->type);
	if (fault != FAULT_TOO_DEEP && random_below(&e->random, 2))
		properties(e);
	spoil(e, fault);
	buf_char(out, '}');
	return fault;
}
