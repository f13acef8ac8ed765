"""Logs that are damaged in earnest, repaired, and delivered: all that could be
saved arrives, once, in files and in Delta tables, and the rest is named.
"""

import json
import os
import random
import shutil
import signal
import subprocess

import pytest

from collector_helper import Collector
from conftest import PIPELINECTL, wait_for
from test_delivery import post, post_lines
from test_lake import Lake, add_writer

SEGMENT_HEADER = 4096
RECORD_PREFIX = 192


def order(number):
    return {"event_type": "order.placed", "event_id": f"order-{number}",
            "order_id": f"O-{number}", "order_total": 12.5}


def lines(first, count):
    return [json.dumps(order(n)) for n in range(first, first + count)]


class Log:
    """The log of one instance, as the tools show it and damage finds it."""

    def __init__(self, pipeline, label):
        self.pipeline = pipeline
        self.label = label
        self.folder = pipeline.state_dir / label / "log"

    def ctl(self, verb, *options):
        return self.pipeline.ctl("spool", verb, *options, self.label)

    def export(self, *options):
        done = self.ctl("export", *options)
        return [json.loads(line) for line in done.out.splitlines()]

    def ids(self):
        """The event ids of each record, by position."""
        found = {}
        for line in self.export():
            found.setdefault(line["position"], []).append(line["event_id"])
        return found

    def verify(self):
        done = self.ctl("verify", "--json")
        log, = done.json["logs"]
        assert done.code == (1 if log["problems"] else 0), done
        return log

    def segments(self):
        return sorted(self.folder.glob("*.log"))

    def place(self, position):
        """The segment that has a position, and its offset there."""
        last = [s for s in self.segments() if int(s.stem) <= position][-1]
        return last, position - int(last.stem) + SEGMENT_HEADER

    def change(self, position, change):
        """Changes one byte: change(byte) is what it becomes."""
        segment, offset = self.place(position)
        with open(segment, "r+b") as f:
            f.seek(offset)
            byte = f.read(1)[0]
            f.seek(offset)
            f.write(bytes([change(byte) & 0xff]))

    def repair(self, *options):
        done = self.ctl("repair", "--json", *options)
        assert done.out, done
        return done.json


def lost_ids(repaired, ids, saved=()):
    """The ids of the records in places that the repair could not save."""
    gone = [(p["position"], p["next"]) for p in repaired["problems"]
            if "position" in p and not p["saved"]]
    return {i for position, some in ids.items() for i in some
            if any(a <= position < b for a, b in gone)} - set(saved)


# --- kinds of damage ----------------------------------------------------------------

def flip_bits_at_many_places(log, positions, rng):
    """One bit in each of many records: none may be lost."""
    ends = positions[1:] + [log.verify()["end"]]
    for position, end in list(zip(positions, ends))[::2]:
        at = rng.randrange(position, min(end, position + 3000) - 8)
        bit = 1 << rng.randrange(8)
        log.change(at, lambda byte: byte ^ bit)


def tear_bodies(log, positions, rng):
    for position in rng.sample(positions, 3):
        for n in range(40):
            log.change(position + RECORD_PREFIX + 100 + n,
                       lambda byte: byte ^ 0x80)


def destroy_headers(log, positions, rng):
    """Whole record headers: what is behind them is found by the batch's."""
    for position in rng.sample(positions, 3):
        for n in range(64):
            log.change(position + n, lambda byte: 0)


def cut_a_segment(log, positions, rng):
    segment = log.segments()[0]
    os.truncate(segment, segment.stat().st_size // 2 + rng.randrange(100))


def lose_a_segment(log, positions, rng):
    log.segments()[0].unlink()


def lose_the_checkpoint(log, positions, rng):
    (log.folder / "checkpoint").unlink()


def flip_a_bit_of_the_checkpoint(log, positions, rng):
    path = log.folder / "checkpoint"
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def add_a_foreign_segment(log, positions, rng):
    other = log.pipeline.state_dir / "collector.0" / "log"
    shutil.copy(sorted(other.glob("*.log"))[0],
                log.folder / f"{log.verify()['end']:020}.log")


DAMAGE = [flip_bits_at_many_places, tear_bodies, destroy_headers,
          cut_a_segment, lose_a_segment, lose_the_checkpoint,
          flip_a_bit_of_the_checkpoint, add_a_foreign_segment]
NOTHING_LOST = {flip_bits_at_many_places, destroy_headers,
                lose_the_checkpoint, flip_a_bit_of_the_checkpoint,
                add_a_foreign_segment}


# --- sinks ---------------------------------------------------------------------------

@pytest.fixture
def lake(pipeline):
    folder = pipeline.folder / "lake"
    add_writer(pipeline, f"file://{folder}")
    return Lake(pipeline, str(folder))


def wait_file(pipeline, wanted):
    def all_there():
        found = [e["event_id"] for e in pipeline.delivered()]
        return found if wanted <= set(found) else None
    found = wait_for(all_there, 60, pipeline.logs)
    assert len(found) == len(set(found)), "some came twice"
    assert set(found) == wanted


def fill_sinks(pipeline, blocked):
    """Many records in the logs of both sinks, none of them delivered."""
    pipeline.sections["pipeline"]["drain_timeout"] = "1s"
    pipeline.sections["collector"]["batch_delay_max"] = "0s"
    for path in blocked:
        path.parent.mkdir(exist_ok=True)
        path.write_text("a file where the directory belongs")
    pipeline.start()
    count = 0
    publisher = Log(pipeline, "eventhub-publisher.0")
    for n in range(60):
        post_lines(pipeline, lines(count, 5 + n % 7))
        count += 5 + n % 7
        if n < 12:  # the first ones in records of their own, for certain
            wait_for(lambda: len(publisher.export()) == count)
    sinks = [Log(pipeline, "eventhub-publisher.0"),
             Log(pipeline, "onelake-writer.0")]
    wanted = {f"order-{n}" for n in range(count)}
    for log in sinks:
        wait_for(lambda: {i for some in log.ids().values() for i in some}
                 == wanted)
    # Beside the running process: nothing is wrong, and nothing is touched.
    assert pipeline.ctl("spool", "verify").code == 0
    refused = sinks[0].ctl("repair")
    assert refused.code == 1
    assert f"process {pipeline.pid('eventhub-publisher')}" in refused.err
    pipeline.stop()
    for path in blocked:
        path.unlink()
    return sinks, wanted


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda d: d.__name__)
def test_what_is_saved_arrives_once(pipeline, lake, damage):
    blocked = [pipeline.out_dir, pipeline.folder / "lake" / "Tables"]
    sinks, wanted = fill_sinks(pipeline, blocked)
    expected = []
    for seed, log in enumerate(sinks):
        ids = log.ids()
        positions = sorted(ids)
        assert len(positions) > 10
        damage(log, positions, random.Random(seed))
        assert log.verify()["problems"]
        told = log.repair("--dry-run")
        assert log.verify()["problems"], "a dry run changes nothing"
        repaired = log.repair()
        assert repaired["saved_events"] == told["saved_events"]
        copy = log.folder.parent / repaired["backup"].rpartition("/")[2]
        assert (copy / log.segments()[0].name).exists() or \
            damage is lose_a_segment
        assert not log.verify()["problems"]
        lost = lost_ids(repaired, ids)
        assert bool(lost) == (damage not in NOTHING_LOST)
        expected.append(wanted - lost)
    pipeline.start()
    post(pipeline, order(99999))
    wait_file(pipeline, expected[0] | {"order-99999"})
    lake.wait(expected[1] | {"order-99999"})


def test_a_log_that_ends_in_what_is_lost_is_empty_in_the_end(pipeline, lake):
    sinks, wanted = fill_sinks(pipeline, [
        pipeline.out_dir, pipeline.folder / "lake" / "Tables"])
    expected = []
    for log in sinks:
        ids = log.ids()
        last = max(ids)
        for n in range(40):
            log.change(last + RECORD_PREFIX + 100 + n,
                       lambda byte: byte ^ 0x80)
        assert log.repair()["saved_records"] == 0
        expected.append(wanted - set(ids[last]))
    pipeline.sections["pipeline"]["drain_timeout"] = "20s"
    cut = pipeline.logs().count("drain_cut_short")
    pipeline.start()
    wait_file(pipeline, expected[0])
    lake.wait(expected[1])
    # Nothing is left that a stop would wait for.
    pipeline.stop()
    assert pipeline.logs().count("drain_cut_short") == cut


def test_a_repair_after_half_was_delivered_repeats_nothing(pipeline, lake):
    """Freed records stay freed, and a lost checkpoint brings no row twice."""
    pipeline.start()
    for n in range(20):
        post_lines(pipeline, lines(n * 10, 10))
    wanted = {f"order-{n}" for n in range(200)}
    lake.wait(wanted)
    pipeline.stop()
    log = Log(pipeline, "onelake-writer.0")
    assert log.export() == [] and not log.verify()["problems"]
    (log.folder / "checkpoint").unlink()
    repaired = log.repair()
    assert repaired["renamed"]
    pipeline.start()
    post(pipeline, order(200))
    lake.wait(wanted | {"order-200"})


# --- a source ------------------------------------------------------------------------

def test_a_collectors_log_is_repaired(pipeline):
    """kill -9 with events that nobody took yet, then damage of each kind."""
    collector = Collector(pipeline.folder)
    collector.start()
    try:
        for n in range(80):
            answer = collector.post(
                "/events/batch", [order(n * 3 + k) for k in range(3)])
            assert answer.status_code == 202
    finally:
        collector.stop(signal.SIGKILL)
    collector.clean_up()
    pipeline.write_config()
    log = Log(pipeline, "collector.0")
    rng = random.Random(5)
    ids = log.ids()
    wanted = {f"order-{n}" for n in range(240)}
    assert {i for some in ids.values() for i in some} == wanted
    positions = sorted(ids)
    flip_bits_at_many_places(log, positions[:40], rng)
    destroy_headers(log, positions[41:60], rng)
    tear_bodies(log, positions[60:75], rng)
    aside = log.export("--set-aside")
    repaired = log.repair()
    assert {line["event_id"] for line in aside} == {
        i for p in repaired["problems"] if p.get("saved")
        for i in ids[p["position"]]}
    lost = lost_ids(repaired, ids)
    assert 0 < len(lost) <= 9
    # Those whose ids lie before the damage can be read.
    assert any("order-" in p.get("ids", "") for p in repaired["problems"])
    pipeline.start()
    wait_file(pipeline, wanted - lost)


def test_one_bad_record_never_stops_the_rest_and_is_kept(pipeline):
    """Without a repair all but the bad record is delivered; what could not be
    read is kept beside the log, and a repair brings it later."""
    collector = Collector(pipeline.folder)
    collector.start()
    try:
        for n in range(20):
            assert collector.post("/events", order(n)).status_code == 202
    finally:
        collector.stop()
    collector.clean_up()
    pipeline.write_config()
    log = Log(pipeline, "collector.0")
    ids = log.ids()
    position = sorted(ids)[7]
    log.change(position + RECORD_PREFIX + 150, lambda byte: byte ^ 4)
    pipeline.start()
    wanted = {f"order-{n}" for n in range(20)}
    wait_file(pipeline, wanted - set(ids[position]))
    # One that runs tells of it, and goes on.
    found = log.verify()
    assert [p["kind"] for p in found["problems"]].count("set aside") >= 1
    pipeline.stop()
    repaired = log.repair()
    assert repaired["saved_events"] == len(ids[position])
    pipeline.start()
    wait_file(pipeline, wanted)
    assert not log.verify()["problems"]


# --- the commands --------------------------------------------------------------------

def test_export_gives_events_as_they_are(pipeline):
    pipeline.out_dir.write_text("a file where the directory belongs")
    pipeline.sections["collector"]["batch_delay_max"] = "0s"
    pipeline.start()
    post_lines(pipeline, lines(0, 30))
    log = Log(pipeline, "eventhub-publisher.0")
    wait_for(lambda: len(log.export()) == 30)
    post(pipeline, {"event_type": "product.viewed", "product_id": "P-1"})
    wait_for(lambda: len(log.export()) == 31)
    events = log.export()
    assert {e["stream"] for e in events} == {"order", "product"}
    first = events[0]
    assert first["event"]["order_total"] == 12.5
    assert first["event"]["event_id"] == first["event_id"] == "order-0"
    assert first["lane"] and first["sequence"] == 1 and not first["replay"]
    assert len(log.export("--stream", "product")) == 1
    last = events[-1]["position"]
    assert len(log.export("--to", last)) == 30
    assert len(log.export("--from", last)) == 1
    assert log.export("--set-aside") == []
    target = pipeline.folder / "events.ndjson"
    done = log.ctl("export", "--output", target)
    assert done.code == 0 and not done.out
    assert "31 events of" in done.err
    assert [json.loads(x) for x in target.read_text().splitlines()] == events
    assert target.stat().st_mode & 0o777 == 0o600
    # Each event's bytes are those that the sinks deliver.
    pipeline.out_dir.unlink()
    wait_file(pipeline, {e["event_id"] for e in events})
    delivered = b"".join(sorted(p.read_bytes() for p in
                                pipeline.out_dir.glob("order-*")))
    exported = b"".join(
        line.partition(b'"event":')[2][:-1] + b"\n"
        for line in target.read_bytes().splitlines() if b"order-" in line)
    assert exported == delivered


def test_wrong_command_lines_are_refused(pipeline):
    pipeline.write_config()
    for arguments, said in (
            (["export"], "needs one log"),
            (["repair", "a.0", "b.0"], "needs one log"),
            (["mend"], "there is no 'spool mend'"),
            (["export", "--to", "x", "a.0"], "must be a number"),
            (["verify", "--set-aside"], "unrecognized option")):
        done = pipeline.ctl("spool", *arguments)
        assert done.code == 2 and said in done.err, done
    for verb in ("verify", "export", "repair"):
        done = pipeline.ctl("spool", verb, "nobody.0")
        assert done.code == 1 and 'no log "nobody.0"' in done.err
    empty = pipeline.folder / "empty"
    empty.mkdir()
    done = subprocess.run([PIPELINECTL, "spool", "repair", f"{empty}/"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "holds no log" in done.stderr
    assert list(empty.iterdir()) == [], "it makes nothing where no log is"
