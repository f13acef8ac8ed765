"""Logs that are changed on disk behind the back of their process.

What is torn at the end must be cut and costs nothing. A durable record that
was changed, or a file that was cut before its end, cannot be delivered: it must
be reported and set aside, and only its own events may be missing, in the places
that this log feeds. Files and records as in libcommon/spool/format.md.
"""
import contextlib
import os
import re
import signal
import struct
import time
from collections import Counter

from common import alive, wait_for

from events import parse_id

HEADER_BYTES = 4096
RECORD = struct.Struct("<4sI16sQQqI")  # magic, crc, log, position, durable, …
CHECKPOINT = struct.Struct("<40xQQ")  # first, durable
EVENT_ID = re.compile(rb'"event_id": ?"(c\d+-\d+)"')
REPORT = re.compile(r"event=spool_bad_record .*position=(\d+) next=(\d+)")
HELD_S = 0.5  # how long a log is let grow before it is damaged

# What each log feeds, as session.py names these places.
EVERYWHERE = ("Kafka", "dead letters", "files", "raw archive",
              "lake in Azurite", "lake in a folder")
FEEDS = {"collector.0": EVERYWHERE,
         "eventhub-publisher.0": ("Kafka", "dead letters"),
         "archive.0": ("files",),
         "onelake-writer.0": ("lake in Azurite",),
         "lake-local.0": ("lake in a folder", "raw archive")}


class Record:
    """One record where it lies."""

    def __init__(self, path, offset, data):
        self.path = path
        self.offset = offset
        (_, _, _, self.position, self.durable, _,
         self.bytes) = RECORD.unpack_from(data, offset)
        self.data = data[offset:offset + self.bytes]

    @property
    def end(self):
        return self.position + self.bytes

    def events(self):
        """(client, number) of each event in it."""
        return {parse_id(text.decode()) for text in
                EVENT_ID.findall(self.data)} - {None}


def records_of(path):
    """The records of one segment, as far as they are whole."""
    base, data, offset = int(path.stem), path.read_bytes(), HEADER_BYTES
    found = []
    while offset + RECORD.size <= len(data) and \
            data[offset:offset + 4] == b"WREC":
        record = Record(path, offset, data)
        if record.position != base + offset - HEADER_BYTES or \
                record.bytes < 192 or offset + record.bytes > len(data):
            break
        found.append(record)
        offset += record.bytes
    return found


class Log:
    """What lies in the log of a process that is dead."""

    def __init__(self, folder):
        self.segments = sorted(folder.glob("[0-9]*.log"))
        self.records = [r for path in self.segments for r in records_of(path)]
        self.first, self.proven = 0, 0
        with contextlib.suppress(OSError, struct.error):
            self.first, self.proven = CHECKPOINT.unpack_from(
                (folder / "checkpoint").read_bytes())
        for path in self.segments:
            self.proven = max(self.proven, int(path.stem))
        for record in self.records:
            self.proven = max(self.proven, record.durable)

    def durable(self):
        """Those that are known to be on disk, and not freed."""
        return [r for r in self.records
                if self.first <= r.position and r.end <= self.proven]


class Damage:
    """Damages logs, and keeps account of what may be missing for it."""

    def __init__(self, world, kills, rng):
        self.world = world
        self.kills = kills
        self.rng = rng
        self.count = Counter()
        self.excused = {place: set() for place in EVERYWHERE}
        self.lost = []  # (label, record)

    def begin(self):
        """One process dies, and finds its log changed when it comes back."""
        if not self.kills.quiet():
            return
        label = self.rng.choice(sorted(FEEDS))
        world, before = self.world, self.kills.flow.marks(label)
        held = self._hold(label)
        until = time.monotonic() + HELD_S
        while time.monotonic() < until:
            time.sleep(0.02)  # pause between polls
        # It must not bring the process back before this is done.
        world.signal("weftd", signal.SIGSTOP)
        since, pid = time.monotonic(), world.signal(label, signal.SIGKILL)
        try:
            if pid:
                wait_for(lambda: not alive(pid))
                self._damage(label)
        finally:
            world.signal("weftd", signal.SIGCONT)
            held()
        if pid:
            self.kills.by_process[label] += 1
            self.kills.recover(label, "a damaged log", since, before)

    def _hold(self, label):
        """Keeps what the log holds from going on; how to let it go."""
        world = self.world
        server = {"eventhub-publisher.0": world.kafka,
                  "onelake-writer.0": world.azurite}.get(label)
        if server:
            server.pause()
            return server.resume
        relays = ("transformer.0", "transformer.1") \
            if label == "collector.0" else ()
        for relay in relays:
            world.signal(relay, signal.SIGSTOP)
        return lambda: [world.signal(r, signal.SIGCONT) for r in relays]

    def _damage(self, label):
        log = Log(self.world.pipeline.state_dir / label / "log")
        acts = [self._tear]
        if log.durable():
            acts += [self._flip, self._flip]
        if len(log.segments) > 1 and \
                [r for r in log.durable() if r.path != log.segments[-1]]:
            acts.append(self._cut)
        act = self.rng.choice(acts)
        lost = act(log)
        self.count[f"log{act.__name__}"] += 1
        self.lost += [(label, record) for record in lost]
        events = set().union(*(r.events() for r in lost)) if lost else set()
        for place in FEEDS[label]:
            self.excused[place] |= events
        self.world.note(f"{label}{act.__name__}: {len(lost)} records of "
                        f"{len(events)} events")

    def _tear(self, log):
        """As a write that a crash cut short: behind all that is durable."""
        if log.segments:
            with open(log.segments[-1], "ab") as f:
                f.write(self.rng.randbytes(self.rng.randint(1, 20000)))
        return []

    def _flip(self, log):
        """A bit of one record, one of the newest: they wait longest."""
        record = self.rng.choice(log.durable()[-5:])
        at = record.offset + self.rng.randrange(192, record.bytes - 8)
        with open(record.path, "r+b") as f:
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 1 << self.rng.randrange(8)]))
        return [record]

    def _cut(self, log):
        """A file that has one behind it ends in the middle of a record."""
        record = self.rng.choice([r for r in log.durable()
                                  if r.path != log.segments[-1]][-5:])
        os.truncate(record.path, record.offset + record.bytes // 2)
        return [r for r in log.records if r.path == record.path and
                r.offset >= record.offset]

    # -- the verdict --

    def reported(self, label):
        """The positions, from and to, of what a process said is bad."""
        return [tuple(map(int, found)) for found in
                REPORT.findall(self.world.pipeline.log(label))]

    def unreported(self, findings):
        """What is missing for a record that nobody reported."""
        reports = {label: self.reported(label) for label in FEEDS}
        told = {place: set() for place in EVERYWHERE}
        for label, record in self.lost:
            if any(first <= record.position < end
                   for first, end in reports[label]):
                for place in FEEDS[label]:
                    told[place] |= record.events()
        for place in findings:
            for client, number in place.excused:
                if (client, number) not in told[place.name]:
                    yield (f"{place.name}: c{client}-{number} is missing for a "
                           "damaged record that was not reported")
