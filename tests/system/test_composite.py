"""One pipeline with three destinations: Kafka, Delta tables and a file archive.

Whatever happens to its processes, each destination keeps its own promise: Kafka
and the files have every acknowledged event, the tables have each once.
"""
import json
import pathlib

import pytest

from conftest import wait_for
from test_delivery import load  # noqa: F401 (a fixture)
from test_kafka import ids, publish
from test_lake import Lake, add_writer, contracts_of, order
from test_delivery import post


@pytest.fixture
def everywhere(pipeline, kafka):
    """The pipeline into a topic, a lake and a folder of files."""
    topic = kafka.create_topic(kafka.unique("everywhere"), partitions=3)
    publish(pipeline, kafka, topic)
    pipeline.services.append({"name": "archive", "in": "archive",
                              "service": "eventhub-publisher"})
    pipeline.sections["archive"] = {"backend": "file",
                                    "path": pipeline.out_dir}
    folder = pipeline.folder / "lake"
    add_writer(pipeline, f"file://{folder}")
    return Lake(pipeline, str(folder)), lambda: ids(kafka.consume(topic))


def filed(pipeline):
    """The ids of events in whole lines of the archive's files."""
    found = []
    for path in pathlib.Path(pipeline.out_dir).glob("*.ndjson"):
        found += [json.loads(line)["event_id"] for line in
                  path.read_text().split("\n")[:-1]]
    return found


def wait_everywhere(pipeline, everywhere, wanted, timeout=90):
    lake, consumed = everywhere
    wanted = set(wanted)
    lake.wait(wanted, timeout)
    for name, read in (("Kafka", consumed),
                       ("the files", lambda: filed(pipeline))):
        wait_for(lambda read=read: wanted <= set(read()), timeout,
                 lambda read=read, name=name: (
                     f"{len(wanted - set(read()))} of {len(wanted)} are not "
                     f"in {name}\n{pipeline.logs()}"))
        assert set(read()) == wanted, f"{name} has what nobody acknowledged"


def test_each_destination_gets_all(pipeline, everywhere, load):  # noqa: F811
    pipeline.start()
    run = load("--count", 40000, "--bad-share", 0.01, "--seed", 11)
    run.finish()
    wait_everywhere(pipeline, everywhere, run.acknowledged())
    lake, consumed = everywhere
    # Nothing went wrong, so nothing is anywhere twice.
    assert len(consumed()) == len(filed(pipeline)) == len(run.acknowledged())


def add_column(folder):
    path = folder / "order.conf"
    text = path.read_text()
    path.write_text(text.replace("version = 1;", "version = 2;", 1).replace(
        "fields = (", 'fields = (\n  { name = "gift_note"; type = "string"; },',
        1))


def test_kills_scaling_and_a_new_column_at_once(
        pipeline, everywhere, load):  # noqa: F811
    folder = contracts_of(pipeline)
    pipeline.start()
    run = load("--rate", 8000, "--count", 120000, "--bad-share", 0, "--seed", 12)

    def go_on(more=3000):
        before = len(run.acknowledged())
        wait_for(lambda: len(run.acknowledged()) > before + more, 60,
                 pipeline.logs)

    def kill(label):
        pipeline.wait_restarted(label, pipeline.kill(label))
        go_on()
    go_on()
    assert pipeline.ctl("scale", "transformer", 3).code == 0
    go_on()
    for label in ("transformer.1", "onelake-writer.0", "collector.0"):
        kill(label)
    add_column(folder)
    assert pipeline.ctl("reload").code == 0
    assert post(pipeline, order("new", gift_note="hello")).status_code == 202
    for label in ("eventhub-publisher.0", "archive.0", "transformer.0"):
        kill(label)
    assert pipeline.ctl("scale", "transformer", 1).code == 0
    kill("collector.0")
    run.finish()
    wait_everywhere(pipeline, everywhere, run.acknowledged() + ["order-new"])
    rows = everywhere[0].rows("order_events")
    assert [row["gift_note"] for row in rows if row["gift_note"]] == ["hello"]
