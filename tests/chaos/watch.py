"""Looks on while a run goes on: what flows, and what processes take."""
import contextlib
import os
import re
import threading
import time
import urllib.request

from confluent_kafka import Consumer, TopicPartition

from client import Client
from events import PROBE, TABLES

EVERY_S = 0.1
USAGE_EVERY_S = 1.0
TAIL_BYTES = 1 << 17
PROBE_ID = re.compile(rb'"event_id": ?"c%d-(\d+)"' % PROBE)
COMMIT = re.compile(r"/_delta_log/\d{20}\.json")


class Usage:
    """The most memory and descriptors that each process ever had."""

    def __init__(self):
        self.most = {}  # label: [bytes, descriptors]

    def look(self, processes):
        for label, pid in processes.items():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{pid}/statm") as f:
                    rss = int(f.read().split()[1]) * 4096
                fds = len(os.listdir(f"/proc/{pid}/fd"))
                most = self.most.setdefault(label, [0, 0])
                most[0], most[1] = max(most[0], rss), max(most[1], fds)


class Flow:
    """Sends a probe, an event of a client of its own, ten times a second, and
    notes when it arrives where. Lakes are watched for commits instead."""

    def __init__(self, world, options):
        self.world = world
        self.client = Client(options)
        self.sent = []  # when probe N left for the first time
        self.seen = {"answers": {}, "kafka": {}, "files": {}}  # {N: when}
        self.commits = {"onelake-writer.0": 0, "lake-local.0": 0}
        self.landing = {}  # label of a dead writer: since when
        self.landed = []  # (seconds from a death to the next commit, label)
        self.acks = {label: row for label in self.commits
                     for row in world.points.of(label)
                     if row.point == "sink_before_ack"}
        self.usage = Usage()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._guard, args=(work,),
                                         daemon=True)
                        for work in (self._send, self._consume, self._look)]
        self.failure = None
        self.read = 0  # requests of the proxy that were looked at
        self.versions = dict.fromkeys(TABLES, 0)

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        """Also waits until the last probe has its answer."""
        self.ended.set()
        for thread in self.threads:
            thread.join(120)
        self.client.ledger.close()
        if self.failure:
            raise self.failure

    def _guard(self, work):
        try:
            work()
        except Exception as e:  # told by stop(): a thread has no caller
            self.failure = e

    # -- the threads --

    def _send(self):
        while not self.ended.wait(EVERY_S):
            number = len(self.sent)
            self.client.ledger.sent(number + 1)
            self.sent.append(time.monotonic())
            if self.client.settle([number]):
                self.seen["answers"][number] = time.monotonic()

    def _note(self, place, data):
        now = time.monotonic()
        for number in PROBE_ID.findall(data):
            self.seen[place].setdefault(int(number), now)

    def _consume(self):
        consumer = Consumer(self.world.kafka.client(
            group_id="flow", enable_auto_commit=False))
        topic = self.world.topic
        with contextlib.closing(consumer):
            consumer.assign([TopicPartition(topic, p, 0) for p in range(3)])
            while not self.ended.is_set():
                for message in consumer.consume(1000, timeout=EVERY_S):
                    if not message.error():
                        self._note("kafka", message.value()[:400])

    def _look(self):
        due = 0.0
        while not self.ended.wait(EVERY_S):
            self._look_at_files()
            self._look_at_commits()
            if time.monotonic() >= due:
                self.usage.look(self.world.processes())
                due = time.monotonic() + USAGE_EVERY_S

    def _look_at_files(self):
        for path in self.world.pipeline.out_dir.glob("order-*.ndjson"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > 5:
                    continue
                with open(path, "rb") as f:
                    size = f.seek(0, os.SEEK_END)
                    f.seek(max(0, size - TAIL_BYTES))
                    self._note("files", f.read())

    def _look_at_commits(self):
        requests = self.world.front.requests
        now, made, end = time.monotonic(), 0, len(requests)
        for request in requests[self.read:end]:
            made += request.method == "PUT" and request.forwarded == 201 and \
                bool(COMMIT.search(request.path))
        self.read = end
        self._count("onelake-writer.0", made, now)
        made = 0
        for table, version in self.versions.items():
            log = self.world.local_lake / "Tables" / table / "_delta_log"
            while (log / f"{version:020}.json").exists():
                version, made = version + 1, made + 1
            self.versions[table] = version
        self._count("lake-local.0", made, now)

    def _count(self, label, made, now):
        self.commits[label] += made
        if made and self.landing.get(label, now) < now - EVERY_S:
            self.landed.append((now - self.landing.pop(label), label))

    # -- answers --

    def _first_after(self, place, since):
        """When the first probe that left after `since` arrived there."""
        for number in range(len(self.sent) - 1, -1, -1):
            if self.sent[number] < since:
                break
        else:
            number = -1
        times = [self.seen[place][n] for n in range(number + 1, len(self.sent))
                 if n in self.seen[place]]
        return min(times, default=None)

    def _metrics(self):
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(
                    self.world.pipeline.metrics_url + "/metrics",
                    timeout=2) as answer:
                answer.read()
                return time.monotonic()
        return None

    def marks(self, label):
        """What flows() has to know of the time of a death. Writers of tables
        flow when they take and acknowledge events; that these land in tables
        is watched on the side."""
        if label not in self.acks:
            return 0
        self.landing[label] = time.monotonic()
        return self.acks[label].passes

    def flows(self, label, since, before):
        """When it flowed again through the process that died at `since`, None
        when not yet; `before` is what marks(label) was then."""
        if label in self.acks:
            return time.monotonic() if self.acks[label].passes > before \
                else None
        if label == "metrics.0":
            return self._metrics()
        if label == "collector.0":
            return self._first_after("answers", since)
        if label == "archive.0":
            return self._first_after("files", since)
        return self._first_after("kafka", since)
