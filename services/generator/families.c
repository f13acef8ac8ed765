/* The 24 types of events in their families, and the words they are made of. */
#include "services/generator/events_inside.h"

#include <string.h>

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
static const char *const tools[] = {"search_products", "get_order",
				    "place_order", "update_inventory"};
static const char *const channels[] = {"web", "mobile", "chat", "voice"};

/* ---- families ---- */

static void customer(struct events *e)
{
	uint32_t n = e->session->customer;
	const char *first = first_names[n % COUNT(first_names)];
	const char *last = last_names[n / 16 % COUNT(last_names)];

	member_prefixed(e, "customer_id", "", 1000000000 + n);
	member_key(e, "customer_name");
	buf_printf(e->out, "\"%s %s\"", first, last);
	member_key(e, "customer_email");
	buf_printf(e->out, "\"customer%u@example.com\"", n);
}

static void product(struct events *e, const char *type)
{
	uint32_t n = random_below(&e->random, COUNT(products));

	if (strcmp(type, "product.listed") == 0) {
		member_number(e, "listing_page",
			      random_between(&e->random, 1, 9));
		member_number(e, "listing_page_size", 24);
		member_key(e, "products_listed");
		buf_text(e->out, "[\"P-0001\",\"P-0004\",\"P-0007\"]");
		return;
	}
	if (strcmp(type, "product.searched") == 0) {
		member_text(e, "search_query", PICK(e, searches));
		member_number(e, "search_results_count",
			      random_between(&e->random, 0, 120));
		return;
	}
	member_prefixed(e, "product_id", "P-", n);
	member_text(e, "product_name", products[n]);
	member_text(e, "product_category", PICK(e, categories));
	member_money(e, "product_price", 200);
	member_flag(e, "ai_assisted", random_below(&e->random, 4) == 0);
}

static void order(struct events *e, const char *type)
{
	uint32_t items = random_between(&e->random, 1, 3);

	member_prefixed(e, "order_id", "O-", e->session->order);
	member_text(e, "order_status", type + strlen("order."));
	customer(e);
	member_key(e, "order_items");
	buf_char(e->out, '[');
	for (uint32_t i = 0; i < items; i++) {
		buf_text(e->out, i ? ",{\"productId\":" : "{\"productId\":");
		member_digits(e->out, random_between(&e->random, 1, 9), 1);
		buf_text(e->out, ",\"quantity\":");
		member_digits(e->out, random_between(&e->random, 1, 4), 1);
		member_money(e, "price", 100);
		buf_char(e->out, '}');
	}
	buf_char(e->out, ']');
	member_money(e, "order_total", 900);
	member_number(e, "item_count", items);
	if (random_below(&e->random, 2))
		member_number(e, "processing_duration_ms",
			      random_between(&e->random, 20, 9000));
	e->session->order += random_below(&e->random, 2);
}

static void customer_event(struct events *e, const char *type)
{
	customer(e);
	member_text(e, "channel", PICK(e, channels));
	if (strcmp(type, "customer.query") == 0) {
		member_text(e, "query_text", PICK(e, queries));
		member_text(e, "query_intent", "order_status");
		member_text(e, "response_text", PICK(e, answers));
		member_number(e, "response_time_ms",
			      random_between(&e->random, 90, 4000));
		member_number(e, "ai_tokens_used",
			      random_between(&e->random, 50, 2400));
	} else if (strcmp(type, "customer.feedback") == 0) {
		member_number(e, "feedback_rating",
			      random_between(&e->random, 1, 5));
		member_text(e, "feedback_text",
			    "Quick and friendly, thank you 👍");
	} else {
		member_number(e, "session_duration_ms",
			      random_between(&e->random, 900, 900000));
		member_number(e, "interaction_count",
			      random_between(&e->random, 1, 40));
	}
}

static void admin(struct events *e, const char *type)
{
	uint32_t before = random_between(&e->random, 0, 500),
		 after = random_between(&e->random, 0, 500);

	member_text(e, "admin_user", "ops@example.com");
	member_text(e, "action_type", type + strlen("admin."));
	member_prefixed(e, "product_id", "P-",
			random_between(&e->random, 0, 9));
	member_number(e, "previous_quantity", before);
	member_number(e, "new_quantity", after);
	member_money(e, "previous_price", 200);
	member_money(e, "new_price", 200);
	member_text(e, "change_reason", "stock taking");
}

static void ai(struct events *e, const char *type)
{
	uint32_t in = random_between(&e->random, 40, 3000),
		 out = random_between(&e->random, 10, 900);

	(void)type;
	member_text(e, "model_name", PICK(e, models));
	member_text(e, "model_provider", "azure-openai");
	member_number(e, "input_tokens", in);
	member_number(e, "output_tokens", out);
	member_number(e, "total_tokens", in + out);
	member_money(e, "estimated_cost_usd", 2);
	member_number(e, "response_latency_ms",
		      random_between(&e->random, 80, 9000));
	member_flag(e, "recommendation_accepted",
		    random_below(&e->random, 3) == 0);
}

static void agent(struct events *e, const char *type)
{
	member_prefixed(e, "agent_id", "aks-store/agents/agent-",
			random_between(&e->random, 1, 6));
	member_prefixed(e, "agent_session_id", "aks-store/agents/sessions/",
			e->session->customer);
	if (strcmp(type, "agent.tool_call") == 0) {
		member_prefixed(e, "tool_call_id", "call-",
				random_between(&e->random, 1, 99999));
		member_text(e, "tool_name", PICK(e, tools));
	} else if (strcmp(type, "agent.model_invocation") == 0) {
		member_prefixed(e, "invocation_id", "inv-",
				random_between(&e->random, 1, 99999));
		member_text(e, "model_name", PICK(e, models));
		member_number(e, "prompt_tokens",
			      random_between(&e->random, 40, 3000));
		member_number(e, "completion_tokens",
			      random_between(&e->random, 10, 900));
		member_money(e, "estimated_cost_usd", 2);
	} else if (strncmp(type, "agent.task", 10) == 0) {
		member_prefixed(e, "task_id", "task-",
				random_between(&e->random, 1, 99999));
		member_text(e, "task_type", "support");
	} else {
		member_number(e, "tool_call_count",
			      random_between(&e->random, 0, 40));
		member_money(e, "revenue_generated", 400);
	}
	member_text(e, "status", "ok");
	member_number(e, "duration_ms", random_between(&e->random, 10, 60000));
}

#define WEIGHTS 100

static const struct event_kind kinds[] = {
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

const struct event_kind *event_kind_pick(struct events *e)
{
	uint32_t at = random_below(&e->random, WEIGHTS);

	for (size_t i = 0; i < COUNT(kinds); i++) {
		if (at < kinds[i].weight)
			return &kinds[i];
		at -= kinds[i].weight;
	}
	return &kinds[0];
}
