"""A table that cannot be written is set aside: its events wait in a log of their
own, the other tables go on and the main log is freed; when it works again all
lands from there, in order and each event once, whatever was killed meanwhile.
"""
import time

import pyarrow as pa
import pytest
import requests

from common import wait_for
from test_breaker import circuits, told, wait_circuit
from test_delivery import load, post  # noqa: F401
from test_lake import order
from test_lake_azure import BlobLake

LABEL = "onelake-writer.0"
TABLE = "Tables/order_events/"


@pytest.fixture
def front(proxy, azurite):
    return proxy(azurite.port)


@pytest.fixture
def lake(pipeline, azurite, front):
    one = BlobLake(pipeline, azurite, front)
    pipeline.sections["onelake-writer"] |= {
        "circuit_threshold": 2, "circuit_cool_down": "200ms"}
    return one


def numbers(pipeline):
    return (pipeline.process(LABEL) or {}).get("stats") or {}


def side_logs(pipeline):
    return {one["table"]: one["bytes"]
            for one in numbers(pipeline).get("side_logs", [])}


def product(n):
    return {"event_type": "product.viewed", "event_id": f"product-{n}",
            "product_id": "1"}


def send(pipeline, first, last):
    """Orders and products with these numbers; returns their ids."""
    for n in range(first, last):
        assert post(pipeline, order(n, item_count=n)).status_code == 202
        assert post(pipeline, product(n)).status_code == 202
    return [f"{kind}-{n}" for n in range(first, last)
            for kind in ("order", "product")]


def in_order(lake):
    """Whether each file of the table holds what came behind the one before."""
    added = pa.table(lake.delta("order_events").get_add_actions(
        flatten=True)).sort_by("min.item_count").to_pylist()
    return all(a["max.item_count"] < b["min.item_count"] and
               a["modification_time"] <= b["modification_time"]
               for a, b in zip(added, added[1:]))


def wait_freed(pipeline):
    """Until nothing is in the main log that is not delivered."""
    wait_for(lambda: numbers(pipeline).get("log_bytes") == 0, 30,
             lambda: f"{numbers(pipeline)} {pipeline.logs()}")


def test_the_other_tables_go_on(pipeline, lake, front):
    pipeline.start()
    sent = send(pipeline, 0, 5)
    lake.wait(sent)
    trouble = front.answer(503, times=None, path=TABLE)
    sent += send(pipeline, 5, 20)
    wait_circuit(pipeline, LABEL, "lake/order_events", "open")
    assert circuits(pipeline, LABEL)["lake"] == "closed"
    # What comes now is not held up, and the log is freed of both.
    sent += send(pipeline, 20, 40)
    wait_for(lambda: lake.count("product_events") == 40, 30, pipeline.logs)
    wait_freed(pipeline)
    assert lake.count("order_events") == 5
    wait_for(lambda: side_logs(pipeline).get("order_events", 0) > 1000)
    wait_for(lambda: "table order_events is set aside" in
             pipeline.ctl("status").out)
    assert "order_events" in lake.status()
    assert told(pipeline, LABEL, "circuit_closed", "lake/order_events") == 0
    # It is probed, seldom.
    probes = trouble.used
    wait_for(lambda: trouble.used > probes, 30)
    front.clear()
    lake.wait(sent, 60)
    assert in_order(lake)
    wait_for(lambda: side_logs(pipeline) == {} and lake.status() == "", 20)
    wait_circuit(pipeline, LABEL, "lake/order_events", "closed")
    # From then on it goes the ordinary way.
    sent += send(pipeline, 40, 50)
    lake.wait(sent)
    assert side_logs(pipeline) == {} and in_order(lake)


def test_what_waits_survives_kills(pipeline, lake, front):
    pipeline.start()
    sent = send(pipeline, 0, 3)
    lake.wait(sent)
    front.answer(503, times=None, path=TABLE)
    for first in (3, 10, 20):
        sent += send(pipeline, first, first + 5)
        wait_for(lambda: side_logs(pipeline).get("order_events"), 60,
                 pipeline.logs)
        sent += send(pipeline, first + 5, first + 7)
        pipeline.wait_restarted(LABEL, pipeline.kill(LABEL))
    assert lake.count("order_events") == 3
    front.clear()
    # Also while it is written from there.
    pipeline.wait_restarted(LABEL, pipeline.kill(LABEL))
    lake.wait(sent, 60)
    assert in_order(lake)


def test_events_sent_again_land_once(pipeline, lake, front):
    """A client's retries, on both sides of the move."""
    pipeline.start()
    sent = send(pipeline, 0, 3)
    lake.wait(sent)
    front.answer(503, times=None, path=TABLE)
    sent += send(pipeline, 3, 6)
    wait_for(lambda: side_logs(pipeline).get("order_events"), 60)
    send(pipeline, 0, 6)
    sent += send(pipeline, 6, 8)
    wait_freed(pipeline)
    front.clear()
    lake.wait(sent, 60)
    send(pipeline, 0, 8)
    wait_freed(pipeline)
    lake.wait(sent)


def test_trouble_that_comes_and_goes_under_load(pipeline, lake, front, load):
    pipeline.start()
    run = load("--rate", 2000, "--duration", "20s", "--bad-share", 0,
               "--seed", 31)
    wait_for(lambda: len(run.acknowledged()) > 2000, 60)
    for number in range(4):
        front.answer(400, times=None, path=TABLE)
        wait_for(lambda: side_logs(pipeline).get("order_events"), 60,
                 pipeline.logs)
        if number % 2:
            pipeline.wait_restarted(LABEL, pipeline.kill(LABEL))
        front.clear()
        began = time.monotonic()
        wait_for(lambda: time.monotonic() > began + 0.5 * number, 5)
    run.finish()
    lake.wait(run.acknowledged(), 90)
    wait_for(lambda: side_logs(pipeline) == {}, 20)
    pipeline.stop()
    found = lake.ids()
    assert len(found) == len(set(found)) == len(run.acknowledged())


def test_a_full_side_log_refuses_its_stream_alone(pipeline, lake, front):
    pipeline.sections["onelake-writer"] |= {"side_log_cap": "80MiB",
                                            "flush_size": "16MiB"}
    pipeline.start()
    sent = send(pipeline, 0, 3)
    lake.wait(sent)
    front.answer(400, times=None, path=TABLE)
    url = pipeline.url + "/events/batch"

    def orders(first, count):
        return [order(n, item_count=n, pad="x" * 2000)
                for n in range(first, first + count)]

    def fill(first):
        """Sends orders until they are refused; the number of the next."""
        while True:
            answer = requests.post(url, json=orders(first, 200), timeout=30)
            if answer.status_code == 503:
                break
            assert answer.status_code == 202, answer.text
            sent.extend(f"order-{n}" for n in range(first, first + 200))
            first += 200
            assert first < 80000, "never refused"
        assert int(answer.headers["Retry-After"])
        assert answer.json()["error"]["code"] == "stream_full"
        return first
    first = fill(3)
    # It is so alone: others are taken, also beside it, and land.
    single = post(pipeline, order(first, item_count=first))
    assert single.status_code == 503 and single.headers["Retry-After"]
    answer = requests.post(url, json=orders(first, 1) + [product(100)],
                           timeout=30)
    assert answer.status_code == 202, answer.text
    assert answer.json()["events_accepted"] == 1
    assert [(e["index"], e["code"]) for e in answer.json()["errors"]] == \
        [(0, "stream_full")]
    assert post(pipeline, product(101)).status_code == 202
    sent += ["product-100", "product-101"]
    wait_for(lambda: lake.count("product_events") == 5, 60, pipeline.logs)
    wait_freed(pipeline)
    assert requests.get(pipeline.url + "/ready", timeout=10).ok
    # What fills it is still there when all on the way were started again.
    for label in (LABEL, "transformer.0", "collector.0"):
        pipeline.wait_restarted(label, pipeline.kill(label))
    first = fill(first)
    front.clear()
    wait_for(lambda: post(pipeline, order(first, item_count=first))
             .status_code == 202, 90, pipeline.logs)
    sent.append(f"order-{first}")
    lake.wait(sent, 90)
    assert in_order(lake)
