"""Kafka as the destination: a real broker takes what the pipeline delivers.

A consumer that nobody here wrote judges: each acknowledged event at least once,
with its key and headers and the payload as it was sent, in order for each key.
"""
import json
import time

import pytest
import requests

from common import wait_for
from test_delivery import Load

OUTAGE_S = 15


@pytest.fixture
def load(pipeline):
    """Makes runs of the generator against the pipeline."""
    made = []

    def make(*options):
        made.append(Load(pipeline, *options))
        return made[-1]
    yield make
    for one in made:
        if one.process.poll() is None:
            one.kill()


def publish(pipeline, kafka, topic, **more):
    """Configures the publisher for a topic of the broker."""
    pipeline.sections["eventhub-publisher"] = {
        "backend": "kafka", "bootstrap": kafka.bootstrap, "topic": topic,
        "retry_max": "1s", **more}


def headers(message):
    return {name: value.decode() for name, value in message.headers() or []}


def ids(messages):
    return [json.loads(m.value())["event_id"] for m in messages]


def wait_consumed(pipeline, kafka, topic, wanted, timeout=60):
    """Waits until each event id is in the topic; returns its messages."""
    wanted = set(wanted)

    def missing():
        return wanted - set(ids(kafka.consume(topic)))

    def drained():
        one = pipeline.process("eventhub-publisher")
        return one and one.get("log_bytes", 0) == 0 and not missing()
    wait_for(drained, timeout, lambda: (
        f"{len(missing())} of {len(wanted)} are missing\n{pipeline.logs()}"))
    return kafka.consume(topic)


def post(pipeline, events):
    done = requests.post(pipeline.url + "/events/batch", json=events,
                         timeout=30)
    assert done.status_code == 202, done.text
    return done


def order(key, n):
    return {"event_type": "order.placed", "order_id": f"O-{key}",
            "order_total": n, "event_id": f"{key}-{n}"}


# --- what arrives ---------------------------------------------------------------

def test_a_run_arrives_with_keys_and_headers(pipeline, kafka, load):
    topic = kafka.create_topic(kafka.unique("events"), partitions=3)
    publish(pipeline, kafka, topic)
    pipeline.start()
    run = load("--count", 20000, "--bad-share", 0.02, "--seed", 3)
    assert run.finish()["accepted"] == len(run.acknowledged())
    messages = wait_consumed(pipeline, kafka, topic, run.acknowledged())
    assert sorted(ids(messages)) == sorted(run.acknowledged())
    partitions = {}
    for m in messages:
        event, head = json.loads(m.value()), headers(m)
        assert head["event_id"] == event["event_id"]
        assert head["event_type"] == event["event_type"]
        family, _, version = head["contract"].partition("/")
        assert family and version == "1"
        if m.key():
            assert m.key().decode() in event.values()
            assert partitions.setdefault(m.key(), m.partition()) == \
                m.partition()
    assert len({m.partition() for m in messages}) == 3
    assert len(partitions) > 100


def test_a_payload_is_as_it_was_sent(pipeline, kafka):
    topic = kafka.create_topic(kafka.unique("events"))
    publish(pipeline, kafka, topic)
    pipeline.start()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    text = ('{"event_type": "order.placed", "event_id": "E-1", '
            '"order_id": "Ö-\\u20ac \\"1\\"", "order_total": '
            '123456789012.123456, "note": "a\\nb\\u0007 ☃ 😀"}')
    done = requests.post(pipeline.url + "/events", data=text.encode(),
                         headers={"Content-Type": "application/json",
                                  "traceparent": f"00-{trace}-00f067aa0ba902b7-01"},
                         timeout=30)
    assert done.status_code == 202
    message, = wait_consumed(pipeline, kafka, topic, ["E-1"])
    event = json.loads(message.value())
    assert b"123456789012.123456" in message.value()
    assert event["order_id"] == 'Ö-€ "1"'
    assert event["custom_properties"]["note"] == "a\nb\u0007 ☃ 😀"
    assert message.key().decode() == 'Ö-€ "1"'
    assert headers(message)["trace_id"] == trace


def test_each_stream_may_have_its_topic(pipeline, kafka):
    prefix = kafka.unique("per")
    publish(pipeline, kafka, f"{prefix}-<stream>", headers=False)
    pipeline.start()
    post(pipeline, [order("a", 1), {"event_type": "product.viewed",
                                    "event_id": "p-1", "product_id": "P"}])
    first, = wait_consumed(pipeline, kafka, f"{prefix}-order", ["a-1"])
    second, = wait_consumed(pipeline, kafka, f"{prefix}-product", ["p-1"])
    assert first.headers() is None and second.headers() is None


def test_an_envelope_names_the_stream_in_the_payload(pipeline, kafka):
    topic = kafka.create_topic(kafka.unique("events"))
    publish(pipeline, kafka, topic, envelope="_stream")
    pipeline.start()
    post(pipeline, [order("a", 1), {"event_type": "product.viewed",
                                    "event_id": "p-1", "product_id": "P"}])
    messages = wait_consumed(pipeline, kafka, topic, ["a-1", "p-1"])
    events = [json.loads(m.value()) for m in messages]
    assert {e["event_id"]: e["_stream"] for e in events} == {
        "a-1": "order", "p-1": "product"}
    assert all(m.value().startswith(b'{"_stream":"') for m in messages)


# --- who we are -----------------------------------------------------------------

def as_event_hubs(pipeline, kafka, topic, connection_string):
    pipeline.sections["identities"] = {"hub": {
        "type": "connection_string", "connection_string": "${env:HUB}"}}
    pipeline.env["HUB"] = connection_string
    publish(pipeline, kafka, topic, preset="eventhubs", identity="hub",
            ca_file=kafka.ca_file)
    pipeline.sections["eventhub-publisher"]["bootstrap"] = kafka.sasl_bootstrap


def test_a_connection_string_of_event_hubs_logs_in(pipeline, kafka):
    topic = kafka.create_topic(kafka.unique("events"))
    as_event_hubs(pipeline, kafka, topic, kafka.connection_string)
    pipeline.start()
    post(pipeline, [order("a", n) for n in range(100)])
    wait_consumed(pipeline, kafka, topic, [f"a-{n}" for n in range(100)])


def test_a_wrong_password_is_said_and_waited_for(pipeline, kafka):
    topic = kafka.create_topic(kafka.unique("events"))
    wrong = kafka.connection_string[:-6] + "wrong="
    as_event_hubs(pipeline, kafka, topic, wrong)
    pipeline.start()
    post(pipeline, [order("a", 1)])

    def told():
        one = pipeline.process("eventhub-publisher")
        return one if "refuses the login" in one["status"] else None
    one = wait_for(told, what=pipeline.logs)
    assert one["status"].startswith(
        "waiting for kafka: Kafka refuses the login, correct identities.hub, "
        "which eventhub-publisher.identity names: ")
    assert one["restarts"] == 0 and one["state"] == "ready"
    said = pipeline.log("eventhub-publisher.0") + str(pipeline.status()) + \
        pipeline.ctl("config").out
    assert "refuses the login" in said
    key = wrong.partition("SharedAccessKey=")[2]
    assert key not in said
    # it is put right: what was held back arrives
    pipeline.stop()
    pipeline.env["HUB"] = kafka.connection_string
    pipeline.start()
    wait_consumed(pipeline, kafka, topic, ["a-1"])


# --- what no broker takes ---------------------------------------------------------

def test_what_is_too_large_goes_to_a_dead_letter_file(pipeline, kafka):
    topic = kafka.create_topic(kafka.unique("events"))
    publish(pipeline, kafka, topic, max_message="20000B")
    pipeline.start()
    large = order("a", 2) | {"note": "x" * 30000}
    post(pipeline, [order("a", 1), large, order("a", 3)])
    messages = wait_consumed(pipeline, kafka, topic, ["a-1", "a-3"])
    assert ids(messages) == ["a-1", "a-3"]
    file, = (pipeline.state_dir / "eventhub-publisher.0" /
             "dead_letters").glob("*.ndjson")
    letter, = map(json.loads, file.read_text().splitlines())
    assert letter["code"] == "MSG_SIZE_TOO_LARGE"
    assert letter["stream"] == "order" and letter["topic"] == topic
    assert letter["event"]["event_id"] == "a-2"
    assert letter["event"]["custom_properties"]["note"] == "x" * 30000
    log = pipeline.log("eventhub-publisher.0")
    assert "event_dead_lettered" in log and str(file.parent) in log


def test_a_topic_that_takes_less_gets_smaller_requests(pipeline, kafka, load):
    topic = kafka.create_topic(kafka.unique("events"), max_message_bytes=40000)
    publish(pipeline, kafka, topic)
    pipeline.start()
    run = load("--count", 5000, "--batch", 100)
    run.finish()
    large = order("a", 1) | {"note": "x" * 60000}
    post(pipeline, [large, order("a", 2)])
    wait_consumed(pipeline, kafka, topic, run.acknowledged() + ["a-2"])
    files = (pipeline.state_dir / "eventhub-publisher.0" /
             "dead_letters").glob("*.ndjson")
    letters = [json.loads(line) for file in files
               for line in file.read_text().splitlines()]
    assert {one["event"]["event_id"] for one in letters} == {"a-1"}
    print(len(letters), pipeline.log("eventhub-publisher.0"))


# --- when things die --------------------------------------------------------------

def assert_in_order(messages):
    """No event of a key comes before one that was sent before it; what is
    repeated is repeated with all that follows."""
    by_key = {}
    for m in messages:
        event = json.loads(m.value())
        if m.key() and event["event_id"].count("-") == 1:
            by_key.setdefault(m.key(), []).append(int(event["order_total"]))
    assert by_key
    for key, numbers in by_key.items():
        highest = -1
        for n in numbers:
            assert n <= highest + 1, f"{key}: {n} comes after {highest}"
            highest = max(highest, n)
        last = {n: i for i, n in enumerate(numbers)}
        assert sorted(last, key=last.get) == sorted(last), key


def post_orders(pipeline, numbers):
    """Posts orders of 10 keys, in order; ids of those that were accepted."""
    sent = []
    for n in numbers:
        for key in range(10):
            def posted(key=key, n=n):
                try:
                    return requests.post(
                        pipeline.url + "/events", json=order(key, n),
                        timeout=30).status_code == 202
                except requests.ConnectionError:
                    return False
            wait_for(posted, 60)
            sent.append(f"{key}-{n}")
    return sent


@pytest.mark.parametrize("victim", [
    "eventhub-publisher", "transformer", "collector", "weftd"])
def test_kill_9_under_load_loses_nothing(pipeline, kafka, load, victim):
    topic = kafka.create_topic(kafka.unique("events"), partitions=3)
    publish(pipeline, kafka, topic)
    pipeline.start()
    run = load("--count", 60000, "--rate", 12000, "--batch", 20)
    wait_for(lambda: len(run.acknowledged()) > 5000)
    sent = post_orders(pipeline, range(3))
    for _ in range(2):
        before = pipeline.kill(victim)
        if victim == "weftd":
            wait_for(lambda: pipeline.status() is None)
            pipeline.start()
        else:
            pipeline.wait_restarted(victim, before)
    sent += post_orders(pipeline, range(3, 6))
    run.finish()
    messages = wait_consumed(pipeline, kafka, topic,
                             run.acknowledged() + sent, timeout=90)
    assert_in_order(messages)


def outage(pipeline, kafka, load, seconds, begin, end):
    """The broker is away for so long, under load; nothing is lost."""
    topic = kafka.create_topic(kafka.unique("events"), partitions=3)
    publish(pipeline, kafka, topic)
    pipeline.start()
    run = load("--count", 500 * (seconds + 5), "--rate", 500, "--batch", 10)
    wait_for(lambda: len(run.acknowledged()) > 500)
    sent = post_orders(pipeline, range(2))
    pid = pipeline.pid("eventhub-publisher")
    begin()
    until = time.monotonic() + seconds
    sent += post_orders(pipeline, range(2, 4))
    wait_for(lambda: time.monotonic() > until, seconds + 5)
    status = pipeline.process("eventhub-publisher")["status"]
    end()
    sent += post_orders(pipeline, range(4, 6))
    run.finish()
    messages = wait_consumed(pipeline, kafka, topic,
                             run.acknowledged() + sent, timeout=90)
    assert_in_order(messages)
    assert pipeline.pid("eventhub-publisher") == pid
    wait_for(lambda: not pipeline.process("eventhub-publisher")["status"])
    return status


def test_a_broker_away_for_a_while(pipeline, kafka, load):
    status = outage(pipeline, kafka, load, OUTAGE_S, kafka.kill, kafka.start)
    assert "waiting for kafka" in status and "bootstrap" in status


@pytest.mark.slow
def test_a_broker_that_hangs_for_a_minute(pipeline, kafka, load):
    outage(pipeline, kafka, load, 60, kafka.pause, kafka.resume)


@pytest.mark.slow
def test_a_broker_away_for_a_minute(pipeline, kafka, load):
    outage(pipeline, kafka, load, 60, kafka.stop, kafka.start)
