"""Events over HTTP: what is accepted, what is refused, and how it is said."""

import gzip
import json
import signal
import struct
import threading
import time
import uuid

import pytest
import requests
from cloudevents.conversion import to_binary, to_json, to_structured
from cloudevents.http import CloudEvent

from collector_helper import FAULTY_DISK, Collector, order
from conftest import wait_for


@pytest.fixture
def collectors(folder):
    made = []

    def make(**settings):
        place = folder / str(len(made))
        place.mkdir()
        one = Collector(place, **settings)
        made.append(one)
        return one
    yield make
    for one in made:
        one.clean_up()


@pytest.fixture
def collector(collectors):
    return collectors().start()


# ---- events ----

def test_an_accepted_event_is_in_the_log_with_an_id(collector):
    answer = collector.post("/events", order(1, order_total=12.340))
    assert answer.status_code == 202, answer.text
    said = answer.json()
    assert said["success"] is True
    assert (said["events_accepted"], said["events_failed"]) == (1, 0)
    uuid.UUID(said["event_id"])
    stored = collector.stored()
    assert said["event_id"].encode() in stored
    assert b'"order_id":"o-1"' in stored or b'"order_id": "o-1"' in stored


def test_values_and_ids_are_stored_as_sent(collector):
    body = (b'{"event_type":"order.placed","event_source":"store-front",'
            b'"event_id":"7d1f2a52-6a52-4d8c-9d1b-2d6a8b8a1c11",'
            b'"order_id":"o-\\u00fc\xc3\xbc","order_total":12.340000}')
    answer = collector.session.post(
        collector.url + "/events", data=body,
        headers={"Content-Type": "application/json; charset=UTF-8"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["event_id"] == "7d1f2a52-6a52-4d8c-9d1b-2d6a8b8a1c11"
    stored = collector.stored()
    assert b'"order_total":12.340000' in stored
    assert b'o-\\u00fc\xc3\xbc' in stored


@pytest.mark.parametrize("path, body, kind", [
    ("/events", json.dumps([order(1), order(2)]), "application/json"),
    ("/events/batch", json.dumps([order(1), order(2)]), "application/json"),
    ("/events/batch", json.dumps({"events": [order(1), order(2)]}),
     "application/json"),
    ("/events/batch", json.dumps(order(1)) + "\n\n" + json.dumps(order(2)),
     "application/x-ndjson"),
    ("/events", json.dumps(order(1)) + "\r\n" + json.dumps(order(2)) + "\n",
     "application/x-ndjson"),
])
def test_batches_come_in_every_form(collector, path, body, kind):
    answer = collector.session.post(collector.url + path, data=body,
                                    headers={"Content-Type": kind})
    assert answer.status_code == 202, answer.text
    assert answer.json()["events_accepted"] == 2
    stored = collector.stored()
    assert b"o-1" in stored and b"o-2" in stored


def test_a_partly_bad_batch_says_which_and_why(collector):
    answer = collector.post("/events/batch", {"events": [
        order(1), {"event_type": "no.such.type"}, order(3, order_total="x"),
        7, order(5)]})
    assert answer.status_code == 202, answer.text
    said = answer.json()
    assert said["success"] is False
    assert (said["events_accepted"], said["events_failed"]) == (2, 3)
    assert [e["index"] for e in said["errors"]] == [1, 2, 3]
    assert said["errors"][0]["code"] == "no_contract"
    assert said["errors"][1]["field"] == "order_total"
    assert said["errors"][2]["code"] == "not_an_object"
    assert all(e["message"] for e in said["errors"])
    stored = collector.stored()
    assert b"o-5" in stored and b"o-3" not in stored


def test_a_batch_of_bad_events_only_is_422(collector):
    before = collector.stored()
    answer = collector.post("/events", {"event_type": "no.such.type"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["code"] == "no_contract"
    answer = collector.post("/events/batch", [{"a": 1}, {"b": 2}])
    assert answer.status_code == 422
    assert answer.json()["events_failed"] == 2
    assert collector.stored() == before


def test_the_clients_of_the_old_service_go_on(collector):
    """The requests and fields of the business telemetry service."""
    event = {"event_type": "product.viewed", "event_source": "store-front",
             "session_id": "s-1", "user_id": "u-1", "correlation_id": "c-1",
             "data": {"product_id": "p-9", "product_price": 9.99},
             "custom_properties": {"campaign": "autumn"}}
    said = collector.post("/events", event).json()
    assert said["success"] is True and said["event_id"] and said["message"]
    assert b"p-9" in collector.stored()
    said = collector.post("/events/batch", {"events": [event] * 3}).json()
    assert said["success"] is True and said["message"]
    assert (said["events_accepted"], said["events_failed"]) == (3, 0)
    assert collector.get("/health").json()["status"] == "healthy"
    assert collector.get("/ready").status_code == 200
    assert "business_telemetry_events_received_total{" in \
        collector.get("/metrics").text


# ---- bad bodies ----

@pytest.mark.parametrize("body, code", [
    (b"", "malformed_json"),
    (b"   ", "malformed_json"),
    (b"hello", "malformed_json"),
    (b'{"event_type": "order.placed"', "malformed_json"),
    (b'{"event_type": "order.placed"} x', "malformed_json"),
    (b'{"event_type": "order.placed", "order_total": NaN}', "malformed_json"),
    (b'{"event_type": "order.placed", "order_id": "\\ud800"}',
     "malformed_json"),
    (b'{"event_type": "order.placed", "order_id": "\xff\xfe"}',
     "malformed_json"),
    (b'{"event_type": "order.placed", "order_id": "a\nb"}', "malformed_json"),
    (b"[" * 200000, "malformed_json"),
])
def test_what_is_no_json_is_400_with_the_byte(collector, body, code):
    answer = collector.session.post(
        collector.url + "/events", data=body,
        headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == code
    if body.strip():
        assert 0 <= answer.json()["error"]["offset"] <= len(body)
    assert collector.post("/events", order(1)).status_code == 202


@pytest.mark.parametrize("body, code", [
    (b'{"event_type":"order.placed","event_source":"a","order_id":"b",'
     b'"order_id":"c"}', "duplicate_key"),
    (b'{"event_type":"order.placed","event_source":"a","order_id":"a\\u0000"}',
     "bad_character"),
    (b'{"event_type":"order.placed","event_source":"a","custom_properties":'
     + b'{"a":' * 100 + b"1" + b"}" * 101, "too_deep"),
    (b'[{"event_type":"order.placed","event_source":"a","order_id":"'
     + b"x" * 1_000_001 + b'"}]', "event_too_large"),
    (b"7", "not_an_object"),
])
def test_bad_events_are_422_with_a_code(collector, body, code):
    answer = collector.session.post(
        collector.url + "/events", data=body,
        headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["code"] == code
    assert collector.metric("business_telemetry_events_failed_total",
                            sink_type="collector", error_type=code) == 1
    assert collector.post("/events", order(1)).status_code == 202


def test_limits_of_events_and_bodies(collectors):
    collector = collectors(max_events=10, max_body="100KiB").start()
    answer = collector.post("/events/batch", [order(i) for i in range(10)])
    assert answer.status_code == 202
    answer = collector.post("/events/batch", [order(i) for i in range(11)])
    assert answer.json()["errors"][0]["code"] == "too_many_events"
    answer = collector.post("/events", order(1, custom_properties={
        "pad": "x" * 102400}))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"


def test_100_megabytes_get_their_413(collector):
    answer = collector.session.post(
        collector.url + "/events", data=b" " * 100_000_000,
        headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert collector.post("/events", order(1)).status_code == 202


# ---- encodings and types ----

def zstd_frame(data):
    """RFC 8878: a frame of one raw block."""
    return (struct.pack("<IBI", 0xFD2FB528, 0xA0, len(data)) +
            struct.pack("<I", len(data) << 3 | 1)[:3] + data)


def test_compressed_bodies(collector):
    body = json.dumps([order(i) for i in range(100)]).encode()
    for coding, packed in (("gzip", gzip.compress(body)),
                           ("zstd", zstd_frame(body))):
        answer = collector.session.post(
            collector.url + "/events/batch", data=packed,
            headers={"Content-Type": "application/json",
                     "Content-Encoding": coding})
        assert answer.status_code == 202, answer.text
        assert answer.json()["events_accepted"] == 100
        answer = collector.session.post(
            collector.url + "/events/batch", data=packed[:-9],
            headers={"Content-Type": "application/json",
                     "Content-Encoding": coding})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["code"] == "bad_encoding"
    bomb = gzip.compress(b" " * 200_000_000)
    answer = collector.session.post(
        collector.url + "/events/batch", data=bomb,
        headers={"Content-Type": "application/json",
                 "Content-Encoding": "gzip"})
    assert answer.status_code == 413
    assert collector.metric("weft_process_resident_memory_bytes") < 150e6


@pytest.mark.parametrize("headers", [
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "application/json; charset=latin-1"},
    {"Content-Type": "application/json", "Content-Encoding": "br"},
])
def test_other_types_are_415(collector, headers):
    answer = collector.session.post(collector.url + "/events",
                                    data=json.dumps(order(1)), headers=headers)
    assert answer.status_code == 415, answer.text


# ---- CloudEvents, as the official SDK sends them ----

def cloud_event(number):
    return CloudEvent({"type": "order.placed", "source": "store-front"},
                      {"order_id": f"o-{number}", "order_total": 5.5})


def test_cloudevents_binary(collector):
    headers, body = to_binary(cloud_event(1))
    answer = collector.session.post(collector.url + "/events", data=body,
                                    headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.json()["event_id"] == headers["ce-id"]
    assert b"o-1" in collector.stored()
    assert collector.metric("business_telemetry_events_received_total",
                            source="store-front",
                            event_type="order.placed") == 1


def test_cloudevents_structured(collector):
    event = cloud_event(2)
    headers, body = to_structured(event)
    answer = collector.session.post(collector.url + "/events", data=body,
                                    headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.json()["event_id"] == event["id"]
    assert b"o-2" in collector.stored()


def test_cloudevents_batched(collector):
    body = b"[" + b",".join(to_json(cloud_event(i)) for i in range(3)) + b"]"
    answer = collector.session.post(
        collector.url + "/events/batch", data=body,
        headers={"Content-Type": "application/cloudevents-batch+json"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["events_accepted"] == 3


def test_a_cloudevent_without_type_is_refused(collector):
    headers, body = to_structured(cloud_event(1))
    body = json.dumps({k: v for k, v in json.loads(body).items()
                       if k != "type"})
    answer = collector.session.post(collector.url + "/events", data=body,
                                    headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["code"] == "bad_envelope"


# ---- keys ----

SHOP = "shop:" + "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_keys_are_asked_for_and_name_the_source(collectors):
    collector = collectors(api_keys=SHOP).start()
    anonymous = {"event_type": "order.placed", "order_id": "o-7"}
    answer = collector.post("/events", anonymous)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    answer = collector.post("/events", anonymous,
                            headers={"X-API-Key": "abd"})
    assert answer.status_code == 401
    for headers in ({"X-API-Key": "abc"}, {"Authorization": "Bearer abc"}):
        answer = collector.post("/events", anonymous, headers=headers)
        assert answer.status_code == 202, answer.text
    assert collector.metric("business_telemetry_events_received_total",
                            source="shop") == 2
    assert collector.get("/ready").status_code == 200
    assert "abc" not in collector.log() and "abd" not in collector.log()


def test_keys_are_reloaded(collectors):
    collector = collectors(api_keys=SHOP).start()
    headers = {"X-API-Key": "abc"}
    assert collector.post("/events", order(1), headers=headers).ok
    collector.reload(api_keys=SHOP.replace("ba78", "ba79"))
    assert collector.post("/events", order(1),
                          headers=headers).status_code == 401
    collector.reload(api_keys=SHOP.replace("ba78", "xx"))
    collector.reload(api_keys=SHOP)
    assert collector.post("/events", order(1), headers=headers).ok


def test_a_bad_key_file_starts_nothing(collectors):
    collector = collectors(api_keys="shop:this-is-a-plain-key")
    collector.start(wait=False)
    assert collector.process.wait(30) == 78
    assert "api_keys line 1" in collector.log()
    assert "this-is-a-plain-key" not in collector.log()


def test_a_key_that_is_too_fast_gets_429(collectors):
    collector = collectors(api_keys=SHOP + ":50").start()
    headers = {"X-API-Key": "abc"}
    batch = [order(i) for i in range(200)]
    assert collector.post("/events", batch, headers=headers).ok
    answer = collector.post("/events", order(1), headers=headers)
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "rate_limited"
    assert 1 <= int(answer.headers["Retry-After"]) <= 4
    wait_for(lambda: collector.post("/events", order(1), headers=headers).ok)


# ---- everything around ----

def test_unknown_paths_and_methods(collector):
    answer = collector.get("/nope")
    assert answer.status_code == 404
    assert "POST /events" in answer.json()["routes"]
    answer = collector.get("/events")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST, OPTIONS"
    answer = collector.session.options(collector.url + "/events")
    assert answer.status_code == 204
    answer = collector.session.head(collector.url + "/health")
    assert answer.status_code == 200 and not answer.content


def test_browsers_of_allowed_origins_may_post(collectors):
    collector = collectors(cors_origins="https://a.example https://b.example")
    collector.start()
    ask = {"Origin": "https://b.example",
           "Access-Control-Request-Method": "POST"}
    answer = collector.session.options(collector.url + "/events", headers=ask)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == ask["Origin"]
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "Content-Type" in answer.headers["Access-Control-Allow-Headers"]
    answer = collector.post("/events", order(1), headers=ask)
    assert answer.headers["Access-Control-Allow-Origin"] == ask["Origin"]
    answer = collector.post("/events", order(1),
                            headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_openapi_document_holds_together(collector):
    document = collector.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]

    def references(node):
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    for reference in references(document):
        assert reference.rpartition("/")[2] in schemas, reference
    names = [operation["operationId"] for path in document["paths"].values()
             for operation in path.values()]
    assert len(names) == len(set(names)) == 8
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            for response in operation["responses"].values():
                assert response["description"]
    routes = collector.get("/nope").json()["routes"]
    assert sorted(r.split()[1] for r in routes) == sorted(document["paths"])


# ---- durability ----

def test_what_was_acknowledged_survives_a_kill(collector):
    stop = threading.Event()
    acknowledged = []

    def client(number):
        session = requests.Session()
        while not stop.is_set():
            name = f"k-{number}-{len(acknowledged)}-{uuid.uuid4()}"
            try:
                answer = session.post(collector.url + "/events",
                                      json=dict(order(0), order_id=name))
            except requests.ConnectionError:
                return
            if answer.ok:
                acknowledged.append(name)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(acknowledged) > 300)
    collector.stop(signal.SIGKILL)
    stop.set()
    for thread in threads:
        thread.join()
    stored = collector.stored()
    assert all(name.encode() in stored for name in acknowledged)
    collector.start()
    assert collector.post("/events", order(1)).status_code == 202
    assert all(name.encode() in collector.stored() for name in acknowledged)


@pytest.fixture
def faulty(collectors, folder):
    """A collector whose disk fails on demand: faulty.disk(word)."""
    one = collectors(ack_timeout="500ms", segment_size="1MiB")
    word = folder / "fault"

    def disk(what):
        (folder / "next").write_text(what)
        (folder / "next").rename(word)

    disk("ok")
    one.disk = disk
    one.env["LD_PRELOAD"] = str(FAULTY_DISK)
    one.env["WEFT_FAULT_FILE"] = str(word)
    # The sanitizers' runtime wants to come first, and is linked anyway.
    one.env["ASAN_OPTIONS"] = one.env.get("ASAN_OPTIONS", "") + \
        ":verify_asan_link_order=0"
    yield one.start()
    disk("ok")


def posts_until(collector, done):
    """Posts 200 KB at a time until done(answer); returns all answers."""
    batch = [order(i, custom_properties={"pad": "x" * 1000})
             for i in range(200)]
    said = []

    def one_more():
        said.append(collector.post("/events", batch))
        return done(said[-1])

    wait_for(one_more)
    return said


@pytest.mark.parametrize("fault", ["eio", "hang"])
def test_no_2xx_while_the_disk_cannot_sync(faulty, fault):
    assert faulty.post("/events", order(1)).status_code == 202
    faulty.disk(fault)
    for i in range(4):
        answer = faulty.post("/events", order(i))
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"]["code"] in ("not_durable", "log_failed")
        assert answer.headers["Retry-After"]
    faulty.disk("ok")
    wait_for(lambda: faulty.post("/events", order(9)).status_code == 202)
    assert faulty.get("/ready").status_code == 200
    assert faulty.stop() == 0


@pytest.mark.parametrize("fault", ["dir-eio", "dir-hang"])
def test_no_2xx_from_a_segment_that_has_no_name_on_disk(faulty, fault):
    assert faulty.post("/events", order(1)).status_code == 202
    faulty.disk(fault)
    # The segment at hand still takes some; the next one cannot begin.
    posts_until(faulty, lambda answer: answer.status_code == 503)
    for i in range(3):
        assert faulty.post("/events", order(i)).status_code == 503
    faulty.disk("ok")
    wait_for(lambda: faulty.post("/events", order(9)).status_code == 202)


def test_a_restart_refuses_nobody(pipeline):
    """Clients with open connections notice nothing, and lose nothing."""
    pipeline.start()
    stop = threading.Event()
    sent, failed = [], []

    def client(number):
        session = requests.Session()
        session.trust_env = False
        while not stop.is_set():
            name = f"r-{number}-{len(sent)}-{uuid.uuid4()}"
            try:
                answer = session.post(pipeline.url + "/events", timeout=30,
                                      json=dict(order(0), order_id=name))
                (sent if answer.status_code == 202 else failed).append(name)
            except requests.RequestException as e:
                failed.append(repr(e))

    threads = [threading.Thread(target=client, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        before = len(sent)
        assert pipeline.ctl("restart", "collector").code == 0
        wait_for(lambda: len(sent) > before + 50)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed
    pipeline.stop()
    delivered = {event["order_id"] for event in pipeline.delivered()}
    assert set(sent) == delivered


def test_a_full_log_refuses_with_503(collectors):
    collector = collectors(log_cap="8MiB", segment_size="1MiB").start()
    answer = posts_until(collector, lambda one: not one.ok)[-1]
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "log_full"
    assert answer.headers["Retry-After"]
    ready = collector.get("/ready")
    assert ready.status_code == 503 and ready.json()["code"] == "log_full"
    assert collector.get("/health/live").status_code == 200


def test_stopping_takes_what_is_under_way(collector):
    body = json.dumps(order(77)).encode()
    head = (b"POST /events HTTP/1.1\r\nHost: a\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body))
    with collector.connect() as s, collector.connect() as idle:
        idle.sendall(head + body)
        assert idle.recv(65536).startswith(b"HTTP/1.1 202 ")
        s.sendall(head + body[:10])
        wait_for(lambda: collector.metric("weft_http_open_connections") == 3)
        collector.session.close()
        collector.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "event=draining" in collector.log())
        idle.sendall(head + body)
        s.sendall(body[10:])
        for one in (idle, s):
            said = one.recv(65536)
            assert said.startswith(b"HTTP/1.1 202 ")
            assert b"Connection: close" in said
            assert one.recv(65536) == b""
    assert collector.process.wait(30) == 0
    assert b"o-77" in collector.stored()


def test_answers_are_quick_without_load(collector):
    """No timer delays a lone request: only the disk does."""
    collector.post("/events", order(0))
    began = time.monotonic()
    for i in range(20):
        assert collector.post("/events", order(i)).ok
    assert time.monotonic() - began < 2
