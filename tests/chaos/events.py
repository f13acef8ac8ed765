"""What the clients send, made of numbers alone.

The event that client C sends under number N is a function of the seed, so the
checker makes it again and knows what must arrive of it: the values that were
sent, as the contracts in etc/contracts mask, complete and move them. That is
written here by hand and not read from the contracts.
"""
import datetime
import hashlib
import hmac
import json
import random
from decimal import Decimal

PROBE = 0  # a client that sends orders, and nothing bad or large
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
LARGE_BYTES = 40000  # beyond the publisher's max_message in these runs
LARGE_SHARE = 1 / 400
BAD_SHARE = 1 / 100

HASHED = {"customer_name", "customer_email", "admin_user"}
REDACTED = {"query_text", "response_text", "feedback_text"}
# Their columns hold JSON text.
DYNAMIC = {"custom_properties", "order_items"}
DEFAULTS = {"environment": "production", "service_version": "1.0.0"}
FAMILY_DEFAULTS = {"order": {"ai_assisted": False},
                   "product": {"ai_assisted": False},
                   "admin": {"ai_assisted": False}}
TABLES = ("order_events", "product_events", "customer_events", "admin_events",
          "ai_events", "agent_events")

NAMES = ("Ada Lovelace", "Björn Sørensen", "Chloé Nguyen", "Łukasz Żak",
         "Zoë O'Neill", "けいこ Tanaka")
TEXTS = ("Where is my order?\nIt was due on Tuesday.", "gift for a \"parrot\"",
         "おもちゃ 👍", "crunchy food")


def money(rng, most):
    return round(rng.uniform(0, most), rng.choice((2, 2, 2, 6)))


def customer(rng):
    number = rng.randrange(100000)
    return {"customer_id": f"{1000000000 + number}",
            "customer_name": NAMES[number % len(NAMES)],
            "customer_email": f"customer{number}@example.com"}


def order(rng):
    items = [{"productId": rng.randrange(1, 10), "quantity": rng.randrange(1, 5),
              "price": money(rng, 100)} for _ in range(rng.randrange(1, 4))]
    return {"order_id": f"O-{rng.randrange(5000):04}", **customer(rng),
            "order_items": items, "order_total": money(rng, 900),
            "item_count": len(items),
            "processing_duration_ms": rng.randrange(9000)}


def product(rng):
    return {"product_id": f"P-{rng.randrange(10):04}",
            "product_name": "Salty Sailor's Squeaky Squid",
            "product_price": money(rng, 200), "ai_assisted": rng.random() < .25}


def customer_query(rng):
    return {**customer(rng), "channel": rng.choice(("web", "mobile", "chat")),
            "query_text": rng.choice(TEXTS), "query_intent": "order_status",
            "response_text": rng.choice(TEXTS),
            "response_time_ms": rng.randrange(90, 4000)}


def admin(rng):
    return {"admin_user": "ops@example.com", "action_type": "stock",
            "product_id": f"P-{rng.randrange(10):04}",
            "previous_quantity": rng.randrange(500),
            "new_price": money(rng, 200), "change_reason": "stock taking"}


def ai(rng):
    return {"model_name": "gpt-4o", "model_provider": "azure-openai",
            "input_tokens": rng.randrange(3000), "output_tokens": 17,
            "estimated_cost_usd": money(rng, 2)}


def agent(rng):
    return {"agent_id": f"aks-store/agents/agent-{rng.randrange(6)}",
            "tool_call_id": f"call-{rng.randrange(99999)}",
            "tool_name": "get_order", "status": "ok",
            "duration_ms": rng.randrange(60000)}


KINDS = (("order.placed", order), ("order.completed", order),
         ("order.status_checked", order), ("product.viewed", product),
         ("product.viewed", product), ("customer.query", customer_query),
         ("admin.inventory_updated", admin), ("ai.recommendation", ai),
         ("agent.tool_call", agent))

# What alone makes an event bad, by the code that it must be refused with.
FAULTS = {
    "wrong_type": lambda e: e.update(workload_id=17),
    "out_of_range": lambda e: e.update(event_time="1492-10-12T00:00:00Z"),
    "too_long": lambda e: e.update(workload_id="w" * 2000),
    "no_contract": lambda e: e.update(event_type="warehouse.flooded"),
    "bad_character": lambda e: e.update(namespace="sto\0re"),
    "not_an_object": None,
}


class Event:
    """One event: `line` is its JSON, `code` what it must be refused with (""
    when it is good), `large` whether Kafka takes no message of its size."""

    __slots__ = ("id", "members", "line", "code", "large")

    def __init__(self, event_id, members, code, large):
        self.id = event_id
        self.members = members
        self.code = code
        self.large = large
        self.line = json.dumps(members if code != "not_an_object" else "event",
                               ensure_ascii=False)

    @property
    def table(self):
        return self.members["event_type"].partition(".")[0] + "_events"


class Maker:
    """Makes the events of a run. `start_us` is when the first happened."""

    def __init__(self, seed, start_us, bad_share=BAD_SHARE,
                 large_share=LARGE_SHARE):
        self.seed = seed
        self.start_us = start_us
        self.bad_share = bad_share
        self.large_share = large_share

    def event(self, client, number):
        rng = random.Random(f"{self.seed}/{client}/{number}")
        kind, fill = KINDS[0] if client == PROBE else rng.choice(KINDS)
        at = EPOCH + datetime.timedelta(
            microseconds=self.start_us + number * 1000 + client)
        members = {"event_id": event_id(client, number), "event_type": kind,
                   "event_source": "chaos",
                   "event_time": at.isoformat(timespec="microseconds"),
                   **fill(rng)}
        plain, code = client == PROBE, ""
        if not plain and rng.random() < self.bad_share:
            code = rng.choice(sorted(FAULTS))
            if FAULTS[code]:
                FAULTS[code](members)
        elif rng.random() < 0.5:
            members["custom_properties"] = {"region": "westeurope"}
        if not code and rng.random() < 0.1:
            members["shoe_size"] = rng.randrange(36, 47)
        large = not plain and not code and rng.random() < self.large_share
        if large:
            members["filler"] = f"{rng.getrandbits(64):016x}" * (
                LARGE_BYTES // 16)
        return Event(event_id(client, number), members, code, large)


def event_id(client, number):
    return f"c{client}-{number}"


def parse_id(text):
    """(client, number) of an event id; None when no client sent it."""
    client, dash, number = text[1:].partition("-")
    if text[:1] == "c" and dash and client.isdigit() and number.isdigit() and \
            event_id(int(client), int(number)) == text:
        return int(client), int(number)
    return None


# --- what must arrive ------------------------------------------------------------

KNOWN = {"event_id", "event_type", "event_source", "event_time",
         "custom_properties"}


def expected(event, secret):
    """The members that a sink must get of a good event."""
    members = dict(event.members)
    more = {name: members.pop(name) for name in ("shoe_size", "filler")
            if name in members}
    if more:
        members["custom_properties"] = {
            **members.get("custom_properties", {}), **more}
    for name in HASHED & members.keys():
        members[name] = hmac.new(secret, members[name].encode(),
                                 hashlib.sha256).hexdigest()
    for name in REDACTED & members.keys():
        members[name] = "***"
    family = members["event_type"].partition(".")[0]
    return {**DEFAULTS, **FAMILY_DEFAULTS.get(family, {}), **members}


def _plain(value):
    """A value in the one form that equal values have, wherever they were."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return format(Decimal(str(value)).normalize(), "f")
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value


def _time_us(value):
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value)
    return str((value - EPOCH) // datetime.timedelta(microseconds=1))


def digest(members):
    """64 bits that are the same for the same members, be they of JSON, of a
    row of a table (None: it has none) or as they were made here."""
    plain = {}
    for name, value in members.items():
        if value is None:
            continue
        if name == "event_time":
            value = _time_us(value)
        elif name in DYNAMIC and isinstance(value, str):
            value = parse(value)
        plain[name] = _plain(value)
    text = json.dumps(plain, sort_keys=True)
    return int.from_bytes(
        hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def parse(text):
    """JSON with its numbers to the last digit."""
    return json.loads(text, parse_float=Decimal)
