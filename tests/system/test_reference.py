"""Batches by reference: on one host their bodies stay in the log of the source
until a sink reads them, and where that cannot be they travel as ever."""

import os

import pytest

from conftest import BUILD, wait_for
from test_delivery import (counter, disk, load,  # noqa: F401 (fixtures)
                           wait_delivered)

REFERENCES = "weft_bus_references_total"
BATCHES = "weft_bus_batches_in_total"


def share(pipeline, service):
    """Batches that came to a service by reference, and all that came."""
    return (counter(pipeline, REFERENCES, service),
            counter(pipeline, BATCHES, service))


def assert_reconciles(pipeline, run, before=()):
    """Everything is there, with what was there before, and nothing twice."""
    report = run.finish()
    assert len(run.acknowledged()) == report["accepted"]
    wanted = [*before, *run.acknowledged()]
    assert sorted(wait_delivered(pipeline, wanted)) == sorted(wanted)


def hide_log(pipeline, program):
    """The collector's log cannot be read by this program."""
    pipeline.env["LD_PRELOAD"] = str(
        BUILD / "tests" / "preload" / "hidedir.so")
    pipeline.env["WEFT_HIDE_FROM"] = program
    pipeline.env["WEFT_HIDE_DIR"] = "/collector.0/log"
    pipeline.env["ASAN_OPTIONS"] = "verify_asan_link_order=0:" + \
        os.environ.get("ASAN_OPTIONS", "")


@pytest.mark.parametrize("batch", [1, 100])
def test_bodies_go_from_log_to_log(pipeline, load, batch):
    pipeline.start()
    assert_reconciles(pipeline, load("--count", 20000, "--batch", batch))
    for service in "transformer", "eventhub-publisher":
        wait_for(lambda s=service: counter(pipeline, BATCHES, s) > 0)
        by_reference, all_of_them = share(pipeline, service)
        assert by_reference == all_of_them
    assert counter(pipeline, "weft_bus_refused_total", "transformer") == 0


def test_who_maps_reads_and_sends_bodies(pipeline, load):
    pipeline.sections["collector"]["map"] = "transformer"
    pipeline.start()
    assert_reconciles(pipeline, load("--count", 20000))
    wait_for(lambda: counter(pipeline, BATCHES, "eventhub-publisher") > 0)
    assert counter(pipeline, REFERENCES, "transformer") > 0
    assert counter(pipeline, REFERENCES, "eventhub-publisher") == 0


@pytest.mark.parametrize("program, mapped_at", [
    ("eventhub-publisher", "collector"), ("transformer", "transformer")])
def test_who_cannot_read_a_log_gets_bodies(pipeline, load, program, mapped_at):
    pipeline.sections["collector"]["map"] = mapped_at
    hide_log(pipeline, program)
    pipeline.start()
    first = load("--count", 20000)
    assert_reconciles(pipeline, first)
    log = pipeline.log(f"{program}.0")
    assert log.count("batch_refused") == 1, log
    assert "cannot list" in log and "Permission denied" in log
    wait_for(lambda: counter(pipeline, BATCHES, program) > 0)
    pids = {label: pipeline.pid(label)
            for label in ("collector.0", "transformer.0",
                          "eventhub-publisher.0")}
    before, _ = share(pipeline, program)
    assert before >= 1
    assert_reconciles(pipeline, load("--count", 5000, "--seed", 2),
                      first.acknowledged())
    assert counter(pipeline, REFERENCES, program) == before
    assert pids == {label: pipeline.pid(label) for label in pids}


def test_a_log_whose_disk_failed_is_read_where_it_goes_on(pipeline, disk, load):
    pipeline.start()
    run = load("--rate", 5000, "--count", 20000)
    for _ in range(3):
        events = len(run.acknowledged())
        wait_for(lambda n=events: len(run.acknowledged()) > n + 2000)
        failures = pipeline.log("collector.0").count("spool_failed")
        disk.set("eio")
        wait_for(lambda n=failures:
                 pipeline.log("collector.0").count("spool_failed") > n)
        disk.set("ok")
    run.finish()
    found = wait_delivered(pipeline, run.acknowledged())
    assert set(found) == set(run.acknowledged())
    assert "batch_refused" not in pipeline.log("eventhub-publisher.0")
    by_reference, all_of_them = share(pipeline, "eventhub-publisher")
    assert by_reference == all_of_them > 0
