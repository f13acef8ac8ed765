"""Tables in Azure's Blob storage, in trouble: each event once, nothing deleted
that is in a table, and an exact word of what is wrong."""

import contextlib
import json
import time

import pytest

from conftest import WAIT_S, wait_for
from test_delivery import load, post, post_lines  # noqa: F401
from test_lake import Lake, add_writer, order


class BlobLake(Lake):
    """A container of its own; the pipeline reaches it through `front`."""

    def __init__(self, pipeline, azurite, front=None, key=None):
        self.azurite = azurite
        self.container = azurite.make_container(azurite.unique("lake"))
        port = front.port if front else azurite.port
        pipeline.sections["identities"] = {"store": {
            "type": "account_key", "key": key or azurite.key}}
        add_writer(pipeline, f"{azurite.url_at(port)}/{self.container}",
                   identity="store")
        super().__init__(pipeline, f"az://{self.container}",
                         azurite.storage_options())

    def check_files(self):
        """All files that tables name are there."""
        there = set(self.azurite.blobs(self.container))
        for name in self.names():
            for uri in self.delta(name).file_uris():
                assert f"Tables/{name}/{uri.rsplit('/', 1)[1]}" in there


@pytest.fixture
def lake(pipeline, azurite):
    return BlobLake(pipeline, azurite)


def test_a_run_lands_in_a_container(pipeline, lake, load):
    pipeline.start()
    run = load("--count", 20000, "--bad-share", 0.01, "--seed", 11)
    wait_for(lambda: len(run.acknowledged()) > 8000, 60)
    pipeline.wait_restarted("onelake-writer.0",
                            pipeline.kill("onelake-writer.0"))
    run.finish()
    lake.wait(run.acknowledged())
    # What a writer of a former life wrote is compared with, over the network.
    first = run.acknowledged()[0]
    lines = [json.dumps(order(1)), json.dumps(order(2))]
    assert post_lines(pipeline, lines).status_code == 202
    lake.wait(run.acknowledged() + ["order-1", "order-2"])
    pipeline.wait_restarted("onelake-writer.0",
                            pipeline.kill("onelake-writer.0"))
    assert post_lines(pipeline, lines + [json.dumps(order(3))]) \
        .status_code == 202
    lake.wait(run.acknowledged() + ["order-1", "order-2", "order-3"])
    assert first in lake.ids()
    lake.check_files()


def away(pipeline, lake, azurite, load, seconds):
    pipeline.start()
    run = load("--rate", 1000, "--duration", f"{seconds + 4}s",
               "--bad-share", 0, "--seed", 12)
    wait_for(lambda: len(run.acknowledged()) > 1000, 60)
    azurite.stop()
    end = time.monotonic() + seconds
    pid = pipeline.pid("onelake-writer.0")
    wait_for(lambda: "waiting" in (lake.status() or ""), 40,
             lambda: f"{lake.status()} {pipeline.logs()}")
    wait_for(lambda: time.monotonic() > end, seconds + 1)
    assert pipeline.pid("onelake-writer.0") == pid
    azurite.start()
    run.finish()
    lake.wait(run.acknowledged())
    lake.check_files()
    wait_for(lambda: lake.status() == "", WAIT_S, lake.status)


def test_a_store_that_is_away_for_a_while(pipeline, lake, azurite, load):
    away(pipeline, lake, azurite, load, 15)


@pytest.mark.slow
def test_a_store_that_is_away_for_long(pipeline, lake, azurite, load):
    away(pipeline, lake, azurite, load, 60)


TROUBLES = {
    "throttled": lambda f: [f.answer(429, times=5),
                            f.answer(503, times=5, method="PUT")],
    "broken": lambda f: [f.answer(500, times=8, path="_delta_log")],
    "lost_commits": lambda f: [f.lose_answer(times=4, method="PUT",
                                             path=r"_delta_log/\d+\.json")],
    "lost_uploads": lambda f: [f.lose_answer(times=4, method="PUT",
                                             path=r"parquet")],
    "reset": lambda f: [f.reset_before(times=6, method="PUT")],
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_on_the_way_doubles_and_deletes_nothing(
        pipeline, azurite, proxy, load, trouble):
    front = proxy(azurite.port)
    lake = BlobLake(pipeline, azurite, front)
    pipeline.start()
    run = load("--count", 20000, "--bad-share", 0, "--seed", 13)
    wait_for(lambda: len(run.acknowledged()) > 2000, 60)
    rules = TROUBLES[trouble](front)
    run.finish()
    wait_for(lambda: post(pipeline, order(time.monotonic_ns())) and
             all(rule.used for rule in rules), 60, lambda: str(front.requests))
    front.clear()
    known = set(run.acknowledged())
    found = wait_for(lambda: (lambda f: f if known <= set(f) else None)(
        lake.ids()), 60, pipeline.logs)
    assert len(found) == len(set(found))
    pipeline.stop()
    found = lake.ids()
    assert len(found) == len(set(found))
    lake.check_files()


def test_a_wrong_key_is_told_and_holds_back(pipeline, azurite):
    wrong = "A" * 86 + "=="
    lake = BlobLake(pipeline, azurite, key=wrong)
    pipeline.start()
    pid = pipeline.pid("onelake-writer.0")
    assert post(pipeline, order(1)).status_code == 202
    wait_for(lambda: "store" in (lake.status() or ""), 40,
             lambda: f"{lake.status()} {pipeline.logs()}")
    assert "403" in lake.status() or "AuthenticationFailed" in lake.status()
    assert wrong not in lake.status() and \
        wrong not in pipeline.log("onelake-writer.0")
    assert pipeline.pid("onelake-writer.0") == pid
    pipeline.sections["identities"]["store"]["key"] = azurite.key
    with contextlib.suppress(Exception):
        pipeline.stop()
    pipeline.start()
    lake.wait(["order-1"])
