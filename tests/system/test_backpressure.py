"""A destination that stands still, and logs that are small: sources are told to
wait, nobody's memory grows, and all that was accepted arrives, in its order.

The client does what a real one does: it sends a batch again, with the same event
ids, until it is accepted. What it was told is held against what readers see that
nobody here wrote: Kafka's consumer and delta-rs.
"""
import json
import pathlib

import pyarrow as pa
import requests

from common import wait_for
from test_delivery import counter
from test_lake import Lake, add_writer
from test_lake_azure import BlobLake

EVENTS = 200  # a batch
PAD_BYTES = 2000
CAPS = {"log_cap": "80MiB", "segment_size": "4MiB"}
HELD_BYTES = 16 << 20 | 80 << 20  # what both logs may hold
MEMORY_BYTES = 160 << 20  # of a process: its caches, windows and queues, no log


class Client:
    """Sends numbered events in batches, one behind the other."""

    def __init__(self, pipeline):
        self.pipeline = pipeline
        self.session = requests.Session()
        self.accepted = 0  # batches
        self.refused = 0

    def try_once(self):
        """Offers the next batch; False when it was refused with a 503 that
        says when to come again."""
        first = self.accepted * EVENTS
        answer = self.session.post(
            self.pipeline.url + "/events/batch", timeout=30,
            json=[{"event_type": "order.placed", "event_id": f"e{n}",
                   "order_id": "O-1", "item_count": n,
                   "pad": "x" * PAD_BYTES}
                  for n in range(first, first + EVENTS)])
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
            self.refused += 1
            return False
        assert answer.status_code == 202, answer.text
        assert answer.json()["events_accepted"] == EVENTS
        self.accepted += 1
        return True

    def ids(self):
        return [f"e{n}" for n in range(self.accepted * EVENTS)]


def memory(pid, row="VmRSS"):
    """Bytes of memory that a process has, or (VmHWM) has had at most."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{row}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {row}")


def fill_up(pipeline, client):
    """Sends until all logs are full and stay so; tells each process's memory."""
    def full():
        before = client.accepted
        while client.try_once():
            assert (client.accepted * EVENTS * PAD_BYTES) < 2 * HELD_BYTES
        return client.accepted == before
    wait_for(full, 120, pipeline.logs)
    return {label: pipeline.pid(label)
            for label in ("collector.0", "transformer.0")}


def small_caps(pipeline, sink):
    pipeline.sections["collector"] |= {"log_cap": "16MiB",
                                       "segment_size": "1MiB"}
    pipeline.sections[sink] |= CAPS


def check_memory(pipeline, pids):
    """No process has ever had more than what is bounded, full logs or not."""
    for label, pid in pids.items():
        assert pipeline.pid(label) == pid, f"{label} died"
        most = memory(pid, "VmHWM")
        assert most < MEMORY_BYTES, f"{label} had {most >> 20} MiB"


def test_a_broker_that_stands_still(pipeline, kafka):
    topic = kafka.create_topic(kafka.unique("stalled"))
    lake = Lake(pipeline, str(pipeline.folder / "lake"))
    add_writer(pipeline, f"file://{lake.url}")
    pipeline.sections["eventhub-publisher"] = {
        "backend": "kafka", "bootstrap": kafka.bootstrap, "topic": topic,
        "retry_max": "1s"}
    small_caps(pipeline, "eventhub-publisher")
    pipeline.start()
    client = Client(pipeline)
    assert client.try_once()
    wait_for(lambda: len(kafka.consume(topic)) == EVENTS)
    kafka.pause()
    try:
        pids = fill_up(pipeline, client)
        pids["eventhub-publisher.0"] = pipeline.pid("eventhub-publisher.0")
        held = client.accepted * EVENTS * PAD_BYTES
        assert held > HELD_BYTES / 2
        # The other sink has what came before the first log was full.
        wait_for(lambda: lake.count("order_events") * PAD_BYTES > held / 2,
                 30, pipeline.logs)
        ready = requests.get(pipeline.url + "/ready", timeout=10)
        assert ready.status_code == 503 and ready.json()["code"] == "log_full"
        before = client.accepted
        for _ in range(50):
            assert not client.try_once()
        assert client.accepted == before and client.refused >= 50
        assert counter(pipeline, "weft_spool_disk_bytes",
                       "eventhub-publisher") <= 84 << 20
        check_memory(pipeline, pids)
    finally:
        kafka.resume()
    for _ in range(20):
        wait_for(client.try_once, 60, pipeline.logs)
    wanted = client.ids()

    def all_there():
        seen = [json.loads(m.value())["event_id"]
                for m in kafka.consume(topic)]
        return seen if len(set(seen)) == len(wanted) else None
    seen = wait_for(all_there, 90, pipeline.logs)
    assert list(dict.fromkeys(seen)) == wanted, "not in their order"
    lake.wait(wanted)
    check_memory(pipeline, pids)


def test_a_store_that_stands_still(pipeline, azurite):
    lake = BlobLake(pipeline, azurite)
    small_caps(pipeline, "onelake-writer")
    pipeline.sections["onelake-writer"] |= {"flush_size": "8MiB"}
    pipeline.start()
    client = Client(pipeline)
    assert client.try_once()
    lake.wait(client.ids())
    azurite.pause()
    try:
        pids = fill_up(pipeline, client)
        assert client.accepted * EVENTS * PAD_BYTES > HELD_BYTES / 2
        for _ in range(50):
            assert not client.try_once()
        assert counter(pipeline, "weft_spool_disk_bytes",
                       "onelake-writer") <= 84 << 20
        check_memory(pipeline, pids)
        wait_for(lambda: "waiting" in (lake.status() or ""), 40, lake.status)
    finally:
        azurite.resume()
    for _ in range(20):
        wait_for(client.try_once, 60, pipeline.logs)
    lake.wait(client.ids(), 90)
    # Each file of the table holds what was accepted behind the one before.
    added = pa.table(lake.delta("order_events").get_add_actions(
        flatten=True)).sort_by("min.item_count").to_pylist()
    assert len(added) > 5
    assert all(a["max.item_count"] + 1 == b["min.item_count"] and
               a["modification_time"] <= b["modification_time"]
               for a, b in zip(added, added[1:]))
    check_memory(pipeline, pids)
