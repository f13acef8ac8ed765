"""`pipelinectl tap`: events as they pass, masked, for as long as one looks."""

import json
import subprocess

import pytest
import requests

from conftest import PIPELINECTL, wait_for
from test_delivery import (load,  # noqa: F401 (a fixture)
                           post, wait_delivered)

NAME = "Ada Lovelace"


class Tap:
    """A tap beside the test; what it showed lies in a file."""

    def __init__(self, pipeline, *arguments):
        self.path = pipeline.folder / "tapped"
        self.said = pipeline.folder / "tapped.err"
        with open(self.path, "wb") as out, open(self.said, "wb") as err:
            self.process = subprocess.Popen(
                [PIPELINECTL, "tap", *map(str, arguments), "--config",
                 pipeline.config], env=pipeline.env, stdout=out, stderr=err,
                stdin=subprocess.DEVNULL)

    def events(self):
        return [json.loads(line)
                for line in self.path.read_text().splitlines(keepends=True)
                if line.endswith("\n")]

    def end(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def tap(pipeline):
    made = []

    def make(*arguments):
        made.append(Tap(pipeline, *arguments))
        return made[-1]
    yield make
    for one in made:
        one.end()


def order(n):
    return {"event_type": "order.placed", "order_id": f"O-{n}",
            "customer_name": NAME}


def see_one(pipeline, tap_of, make=order):
    """Posts until the tap shows something: it takes a moment to listen."""
    numbers = iter(range(100000))

    def seen():
        assert post(pipeline, make(next(numbers))).status_code == 202
        return tap_of.events()
    return wait_for(seen, what=pipeline.logs)


@pytest.mark.parametrize("mapper", ["collector", "transformer"])
@pytest.mark.parametrize("link", ["raw", "eventhub"])
def test_events_are_shown_masked(pipeline, tap, link, mapper):
    pipeline.sections["collector"]["map"] = mapper
    pipeline.start()
    shown = see_one(pipeline, tap("--link", link))
    assert shown[0]["event_type"] == "order.placed"
    assert shown[0]["order_id"].startswith("O-")
    assert len(shown[0]["customer_name"]) == 64
    assert NAME not in json.dumps(shown)
    # It is what is delivered, to the byte.
    event_id = shown[0]["event_id"]
    assert wait_for(lambda: [e for e in pipeline.delivered()
                             if e["event_id"] == event_id]) == [shown[0]]


def test_a_stream_alone_and_a_number_of_events(pipeline, tap):
    pipeline.start()
    watch = tap("-n", 5, "product")

    def done():
        post(pipeline, order(0))
        post(pipeline, {"event_type": "product.viewed", "product_id": "P"})
        return watch.process.poll() is not None
    wait_for(done)
    assert watch.process.returncode == 0
    assert [e["event_type"] for e in watch.events()] == ["product.viewed"] * 5


def test_instances_that_come_later_are_tapped_too(pipeline, tap):
    pipeline.services[1]["instances"] = 2
    pipeline.sections["collector"]["order"] = "key"
    pipeline.start()
    assert pipeline.ctl("scale", "transformer", 1).code == 0
    watch = tap()
    see_one(pipeline, watch)
    assert pipeline.ctl("scale", "transformer", 3).code == 0

    def all_keys():
        done = requests.post(pipeline.url + "/events/batch", timeout=10,
                             json=[order(f"K{n}") for n in range(12)])
        assert done.status_code == 202
        seen = {e["order_id"] for e in watch.events()}
        return seen >= {f"O-K{n}" for n in range(12)}
    wait_for(all_keys)


def test_under_load_a_part_is_shown_and_nothing_slowed(
        pipeline, tap, load):  # noqa: F811
    pipeline.start()
    watch = tap("--link", "raw")
    see_one(pipeline, watch)
    run = load("--count", 40000)
    report = run.finish()
    assert report["accepted"] == 40000
    wait_delivered(pipeline, run.acknowledged())
    # A second for which only a thousand are shown, or a few of them.
    seconds = report["elapsed_ms"] / 1000 if "elapsed_ms" in report else 10
    assert 0 < len(watch.events()) < 1000 * (seconds + 5)

    # The next event brings along how many were left out before it.

    def told():
        post(pipeline, order(1))
        return "more passed, and are not shown" in watch.said.read_text()
    wait_for(told)


@pytest.mark.parametrize("arguments, words", [
    (("--link", "lake"), 'no service feeds link "lake"; there is raw, eventhub'),
    (("ordr",), 'did you mean "order"'),
])
def test_what_would_never_show_anything_is_refused(pipeline, arguments, words):
    pipeline.start()
    done = pipeline.ctl("tap", *arguments)
    assert done.code == 1 and words in done.err, done


def test_it_says_when_nothing_runs(pipeline):
    pipeline.write_config()
    assert pipeline.ctl("tap").code == 3
    assert pipeline.ctl("tap", "-n", "x").code == 2
    assert pipeline.ctl("tap", "a", "b").code == 2


def test_a_place_too_deep_for_a_tap_serves_without(pipeline):
    pipeline.services[1]["name"] = "a-transformer-with-a-very-long-name-ab"
    pipeline.services[1]["service"] = "transformer"
    deep = pipeline.folder / ("d" * (107 - len(str(pipeline.folder)) - 25))
    pipeline.sections["pipeline"]["run_dir"] = pipeline.run_dir = deep
    pipeline.start()
    assert post(pipeline, order(1)).status_code == 202
    wait_for(pipeline.delivered)
    assert "event=tap_unavailable" in pipeline.log(
        "a-transformer-with-a-very-long-name-ab.0")
