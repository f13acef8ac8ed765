"""Circuits: a destination that fails again and again is left alone but for one
probe behind each cool-down; status, metrics and the log say so; nothing is lost.
"""
import contextlib
import json
import re
import socket
import threading
import time

import requests

from common import wait_for
from test_delivery import load, post  # noqa: F401
from test_kafka import publish, wait_consumed
from test_lake import order
from test_lake_azure import BlobLake


class Deaf:
    """Listens where a server was; counts who comes, and hangs up on them."""

    def __init__(self, port):
        self.calls = []
        self.socket = socket.create_server(("127.0.0.1", port))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                one, _ = self.socket.accept()
                self.calls.append(time.monotonic())
                one.close()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


def circuits(pipeline, label):
    """Destinations and the states of their circuits, as status tells them."""
    one = pipeline.process(label)
    return {c["destination"]: c["state"]
            for c in ((one or {}).get("stats") or {}).get("circuits", [])}


def wait_circuit(pipeline, label, destination, state, timeout=60):
    wait_for(lambda: circuits(pipeline, label).get(destination) == state,
             timeout, lambda: f"{circuits(pipeline, label)}\n{pipeline.logs()}")


def exported(pipeline, destination):
    """The circuit as Prometheus sees it."""
    text = requests.get(pipeline.metrics_url + "/metrics", timeout=10).text
    found = re.search(r'^weft_circuit_state\{[^}]*destination="' +
                      re.escape(destination) + r'"[^}]*\} (\d)', text, re.M)
    return found and int(found.group(1))


def told(pipeline, label, event, destination):
    """How often the log says so."""
    return len(re.findall(rf"\b{event} .*destination={destination}\b",
                          pipeline.log(label)))


def test_a_broker_that_is_gone_is_left_alone(pipeline, kafka, load):
    label = "eventhub-publisher.0"
    topic = kafka.create_topic(kafka.unique("circuit"))
    publish(pipeline, kafka, topic, retry_first="100ms", retry_max="30s",
            circuit_threshold=2, circuit_cool_down="8s")
    pipeline.start()
    run = load("--rate", 500, "--duration", "25s", "--bad-share", 0)
    wait_for(lambda: len(run.acknowledged()) > 500, 30)
    wait_circuit(pipeline, label, "kafka", "closed")
    kafka.stop()
    wait_circuit(pipeline, label, "kafka", "open")
    deaf = Deaf(kafka.port)
    try:
        # Not one call before the cool-down is over, 4 to 8 s behind the last.
        began = time.monotonic()
        wait_for(lambda: told(pipeline, label, "circuit_half_open", "kafka"),
                 30, pipeline.logs)
        wait_for(lambda: told(pipeline, label, "circuit_open", "kafka") > 1,
                 30, pipeline.logs)
        assert deaf.calls and deaf.calls[0] > began + 2
        status = pipeline.process(label)["status"]
        assert "circuit open" in status and "kafka" in status
        wait_for(lambda: f"{label}: the circuit of kafka is open" in
                 pipeline.ctl("status").out)
        wait_for(lambda: exported(pipeline, "kafka") == 2)
    finally:
        deaf.close()
    kafka.start()
    run.finish()
    messages = wait_consumed(pipeline, kafka, topic, run.acknowledged(), 90)
    assert {json.loads(m.value())["event_id"] for m in messages} == \
        set(run.acknowledged())
    wait_circuit(pipeline, label, "kafka", "closed")
    wait_for(lambda: exported(pipeline, "kafka") == 0)
    assert pipeline.process(label)["status"] == ""
    # Each change is told once.
    probes = told(pipeline, label, "circuit_half_open", "kafka")
    assert told(pipeline, label, "circuit_open", "kafka") == probes
    assert told(pipeline, label, "circuit_closed", "kafka") == 1


def test_files_that_cannot_be_written_are_left_alone(pipeline):
    label = "eventhub-publisher.0"
    pipeline.out_dir.write_text("not a folder")
    pipeline.sections["eventhub-publisher"] |= {
        "retry_first": "20ms", "retry_max": "1s", "circuit_threshold": 3,
        "circuit_cool_down": "200ms"}
    pipeline.start()
    assert post(pipeline, order(1)).status_code == 202
    wait_circuit(pipeline, label, "file", "open")
    pipeline.out_dir.unlink()
    for n in range(2, 20):
        assert post(pipeline, order(n)).status_code == 202
    wait_for(lambda: len(pipeline.delivered()) == 19, 20, pipeline.logs)
    assert [e["event_id"] for e in pipeline.delivered()] == \
        [f"order-{n}" for n in range(1, 20)]
    wait_circuit(pipeline, label, "file", "closed")


def test_a_store_in_trouble_is_left_alone(pipeline, azurite, proxy):
    label = "onelake-writer.0"
    front = proxy(azurite.port)
    lake = BlobLake(pipeline, azurite, front)
    pipeline.sections["onelake-writer"] |= {
        "retry_max": "30s", "circuit_threshold": 2, "circuit_cool_down": "6s"}
    pipeline.start()
    assert post(pipeline, order(1)).status_code == 202
    lake.wait(["order-1"])
    front.answer(503, times=None)
    sent = [{"event_type": "product.viewed", "event_id": f"p{n}",
             "product_id": "1"} for n in range(5)]
    for event in sent + [order(2)]:
        assert post(pipeline, event).status_code == 202
    wait_circuit(pipeline, label, "lake", "open")
    calls = len(front.requests)
    assert all(state == "closed"
               for name, state in circuits(pipeline, label).items()
               if name != "lake"), "a table's own circuit"
    wait_for(lambda: told(pipeline, label, "circuit_half_open", "lake"), 30)
    assert len(front.requests) <= calls + 2
    # One probe of one small question, tried again for as long as a call is.
    wait_for(lambda: told(pipeline, label, "circuit_open", "lake") > 1, 30)
    assert len({r.path for r in front.requests[calls:]}) == 1
    wait_for(lambda: exported(pipeline, "lake") == 2)
    wait_for(lambda: f"{label}: the circuit of lake is open" in
             pipeline.ctl("status").out)
    front.clear()
    lake.wait(["order-1", "order-2"] + [e["event_id"] for e in sent], 60)
    wait_circuit(pipeline, label, "lake", "closed")
    wait_for(lambda: lake.status() == "", 20, lake.status)


def test_a_store_says_how_long_to_wait(pipeline, azurite, proxy):
    """Also when that is longer than one call may take."""
    front = proxy(azurite.port)
    lake = BlobLake(pipeline, azurite, front)
    pipeline.start()
    assert post(pipeline, order(1)).status_code == 202
    lake.wait(["order-1"])
    rule = front.answer(429, headers={"Retry-After": "8"}, times=1)
    assert post(pipeline, order(2)).status_code == 202
    wait_for(lambda: rule.used, 20)
    began = time.monotonic()
    calls = len(front.requests)
    wait_for(lambda: time.monotonic() > began + 7 or
             len(front.requests) > calls, 10)
    assert len(front.requests) == calls
    lake.wait(["order-1", "order-2"])
    assert time.monotonic() - began > 7
