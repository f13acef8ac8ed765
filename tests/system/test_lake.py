"""Events in Delta tables, each once: judged by delta-rs and pyarrow.

Nothing of what was acknowledged may be missing from the tables, nothing else may
be in them, and nothing twice: whatever is killed, sent again or written by others.
"""

import contextlib
import datetime
import json
import os
import pathlib
import shutil
from decimal import Decimal

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from conftest import ROOT, WAIT_S, wait_for
from test_delivery import load, post, post_lines  # noqa: F401


class Lake:
    """What lies in the lake, as others read it."""

    def __init__(self, pipeline, url, storage=None):
        self.pipeline = pipeline
        self.url = url
        self.storage = storage

    def delta(self, table, version=None):
        return DeltaTable(f"{self.url}/Tables/{table}", version=version,
                          storage_options=self.storage)

    def table(self, name):
        return self.delta(name).to_pyarrow_table()

    def rows(self, name):
        return self.table(name).to_pylist()

    def count(self, name):
        """Its rows, 0 when there is no such table yet."""
        with contextlib.suppress(Exception):
            return self.table(name).num_rows
        return 0

    def names(self):
        """The tables that contracts name, as far as they are there."""
        found = []
        for table in ("order_events", "product_events", "customer_events",
                      "admin_events", "ai_events", "agent_events",
                      "dead_letter"):
            with contextlib.suppress(Exception):
                self.delta(table)
                found.append(table)
        return found

    def ids(self):
        """The event ids in all tables."""
        return [i for name in self.names() for i in self.delta(name)
                .to_pyarrow_table(columns=["event_id"])["event_id"].to_pylist()]

    def wait(self, ids, timeout=60):
        """Waits until all ids are in; then there is nothing else, nor twice."""
        wanted = set(ids)

        def all_there():
            found = self.ids()
            return found if wanted <= set(found) else None
        found = wait_for(all_there, timeout, lambda: (
            f"{len(wanted - set(self.ids()))} of {len(wanted)} missing\n"
            f"{self.status()}\n{self.pipeline.logs()}"))
        assert len(found) == len(set(found)), "some came twice"
        assert set(found) == wanted, "some were never acknowledged"
        return found

    def status(self):
        """What the writer says beside its state."""
        one = self.pipeline.process("onelake-writer.0")
        return one and one["status"]


def add_writer(pipeline, url, **more):
    pipeline.services.insert(3, {"name": "onelake-writer"})
    pipeline.sections["onelake-writer"] = {
        "lake": url, "flush": "300ms", "retry_first": "50ms",
        "retry_max": "500ms", **more}


@pytest.fixture
def lake(pipeline):
    """The pipeline with a writer into a folder, that flushes soon."""
    folder = pipeline.folder / "lake"
    add_writer(pipeline, f"file://{folder}")
    return Lake(pipeline, str(folder))


def contracts_of(pipeline):
    """A copy of the contracts that the pipeline uses, to be changed."""
    folder = pipeline.folder / "contracts"
    shutil.copytree(ROOT / "etc" / "contracts", folder)
    pipeline.sections["pipeline"]["contracts"] = folder
    return folder


def order(number, **more):
    return {"event_type": "order.placed", "event_id": f"order-{number}",
            "order_id": f"O-{number}", "order_total": 12.5, **more}


# --- what lands ------------------------------------------------------------------

def test_a_run_lands_in_delta_tables(pipeline, lake, load):
    pipeline.start()
    run = load("--count", 30000, "--bad-share", 0.02, "--seed", 7)
    run.finish()
    lake.wait(run.acknowledged())
    pipeline.stop()
    assert sorted(lake.ids()) == sorted(run.acknowledged())


TYPED = """name = "typed"; version = 1; doc = "All types.";
identity = ["event_id"]; unknown_fields = "drop";
match = { event_type = "typed.thing"; };
fields = (
  { name = "event_id"; type = "string"; required = true; },
  { name = "event_type"; type = "string"; },
  { name = "text"; type = "string"; },
  { name = "small"; type = "int"; },
  { name = "big"; type = "long"; },
  { name = "ratio"; type = "double"; },
  { name = "money"; type = "decimal(18,6)"; },
  { name = "huge"; type = "decimal(38,18)"; },
  { name = "flag"; type = "boolean"; },
  { name = "at"; type = "datetime"; },
  { name = "day"; type = "date"; },
  { name = "anything"; type = "dynamic"; },
  { name = "list"; type = "array(long)"; },
  { name = "nested"; type = "struct"; fields = (
    { name = "x"; type = "string"; }, { name = "y"; type = "decimal(9,2)"; }); }
);
lake = { table = "typed"; };
"""


def test_values_land_to_the_last_digit(pipeline, lake):
    (contracts_of(pipeline) / "typed.conf").write_text(TYPED)
    pipeline.start()
    lines = [
        '{"event_type":"typed.thing","event_id":"a","text":"gr\\u00fc\\ud83d\\ude00'
        '\\"\\n","small":-2147483648,"big":9223372036854775807,"ratio":0.1,'
        '"money":123456789012.123456,"huge":'
        '"12345678901234567890.123456789012345678","flag":true,'
        '"at":"2026-02-28T23:59:59.999999+02:00","day":"1999-12-31",'
        '"anything":{"n":1.10,"s":[null,"\\u00e9"]},"list":[1,null,-3],'
        '"nested":{"x":"","y":-0.05}}',
        '{"event_type":"typed.thing","event_id":"b"}',
        '{"event_type":"typed.thing","event_id":"c","text":"","anything":2.50,'
        '"list":[],"nested":{},"money":-0.000001,"big":-9223372036854775808}']
    assert post_lines(pipeline, lines).status_code == 202
    wait_for(lambda: lake.count("typed") == 3, WAIT_S, pipeline.logs)
    a, b, c = sorted(lake.rows("typed"), key=lambda row: row["event_id"])
    utc = datetime.timezone.utc
    assert a == {
        "event_id": "a", "event_type": "typed.thing", "text": "grü😀\"\n",
        "small": -2147483648, "big": 9223372036854775807, "ratio": 0.1,
        "money": Decimal("123456789012.123456"),
        "huge": Decimal("12345678901234567890.123456789012345678"),
        "flag": True, "day": datetime.date(1999, 12, 31),
        "at": datetime.datetime(2026, 2, 28, 21, 59, 59, 999999, tzinfo=utc),
        "anything": '{"n":1.10,"s":[null,"\\u00e9"]}', "list": [1, None, -3],
        "nested": {"x": "", "y": Decimal("-0.05")}}
    assert all(b[name] is None for name in b
               if name not in ("event_id", "event_type"))
    assert (c["text"], c["anything"], c["list"], c["money"], c["big"]) == \
        ("", "2.50", [], Decimal("-0.000001"), -9223372036854775808)
    assert c["nested"] == {"x": None, "y": None}


def test_statistics_find_what_a_scan_finds_and_versions_stay(pipeline, lake,
                                                             load):
    pipeline.start()
    first = load("--count", 2000, "--seed", 1, "--bad-share", 0)
    first.finish()
    lake.wait(first.acknowledged())
    version = lake.delta("order_events").version()
    before = lake.table("order_events").num_rows
    second = load("--count", 2000, "--seed", 2, "--bad-share", 0)
    second.finish()
    lake.wait(first.acknowledged() + second.acknowledged())
    assert lake.delta("order_events").version() > version
    assert lake.delta("order_events", version).to_pyarrow_table().num_rows == \
        before
    table = lake.delta("order_events")
    dataset = table.to_pyarrow_dataset()
    for row in lake.rows("order_events")[::97]:
        found = dataset.to_table(filter=pa.dataset.field("event_id")
                                 == row["event_id"])
        assert found.num_rows == 1
    assert None not in pa.table(
        table.get_add_actions(flatten=True))["num_records"].to_pylist()


def archived(folder):
    """All events of the archive, with the type and day of their folders."""
    found = []
    for path in (folder / "Files/bronze/raw_events").glob(
            "event_type=*/date=*/*.ndjson.zst"):
        day = path.parent.name.removeprefix("date=")
        kind = path.parent.parent.name.removeprefix("event_type=")
        with pa.input_stream(path, compression="zstd") as f:
            text = f.read()
        found += [(json.loads(line), kind, day) for line in text.splitlines()]
    return found


def test_the_raw_archive_has_all_that_the_tables_have(pipeline, lake, load):
    pipeline.sections["onelake-writer"]["archive"] = True
    pipeline.start()
    run = load("--count", 20000, "--bad-share", 0, "--seed", 21)
    wait_for(lambda: len(run.acknowledged()) > 5000, 60)
    pipeline.wait_restarted("onelake-writer.0",
                            pipeline.kill("onelake-writer.0"))
    run.finish()
    lake.wait(run.acknowledged())
    pipeline.stop()
    found = archived(pathlib.Path(lake.url))
    assert {event["event_id"] for event, _, _ in found} == \
        set(run.acknowledged())
    assert all(event["event_type"] == kind for event, kind, _ in found)
    days = {datetime.datetime.now(datetime.timezone.utc).date() -
            datetime.timedelta(days=n) for n in (0, 1)}
    assert {day for _, _, day in found} <= {str(day) for day in days}


# --- each once --------------------------------------------------------------------

def test_a_client_that_sends_again_lands_once(pipeline, lake):
    pipeline.start()
    lines = [json.dumps(order(i)) for i in range(500)]
    # Twice in one request, again at once, and again when it is in the table.
    assert post_lines(pipeline, lines + lines).status_code == 202
    assert post_lines(pipeline, lines).status_code == 202
    ids = [f"order-{i}" for i in range(500)]
    lake.wait(ids)
    assert post_lines(pipeline, lines).status_code == 202
    assert post(pipeline, order("last")).status_code == 202
    lake.wait(ids + ["order-last"])
    # A writer that knows of them from the table alone.
    old = pipeline.kill("onelake-writer.0")
    pipeline.wait_restarted("onelake-writer.0", old)
    assert post_lines(pipeline, lines).status_code == 202
    assert post(pipeline, order("end")).status_code == 202
    lake.wait(ids + ["order-last", "order-end"])


@pytest.mark.parametrize("label", ["onelake-writer.0", "transformer.0",
                                   "collector.0"])
def test_a_kill_under_load_loses_and_doubles_nothing(pipeline, lake, load,
                                                     label):
    pipeline.start()
    run = load("--count", 60000, "--bad-share", 0, "--seed", 3)
    for share in (5000, 20000, 40000):
        wait_for(lambda n=share: len(run.acknowledged()) > n, 60)
        pipeline.wait_restarted(label, pipeline.kill(label))
    run.finish()
    lake.wait(run.acknowledged())


def test_all_killed_with_the_supervisor_lose_nothing(pipeline, lake, load):
    pipeline.start()
    run = load("--count", 40000, "--bad-share", 0, "--seed", 4)
    wait_for(lambda: len(run.acknowledged()) > 15000, 60)
    for pid in pipeline.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
    run.kill()
    known = run.acknowledged()
    pipeline.start()
    found = wait_for(lambda: (lambda f: f if set(known) <= set(f) else None)(
        lake.ids()), 60, pipeline.logs)
    assert len(found) == len(set(found))
    # What the client did not hear of may be there, once.
    pipeline.stop()
    assert len(lake.ids()) == len(set(lake.ids()))


# --- with others -------------------------------------------------------------------

def test_a_table_that_others_touch_goes_on_working(pipeline, lake, load):
    pipeline.start()
    assert post(pipeline, order(1)).status_code == 202
    lake.wait(["order-1"])
    mine = lake.table("order_events")
    ids = ["order-1"]
    for n in range(2, 9):
        theirs = mine.slice(0, 1).set_column(
            mine.schema.get_field_index("event_id"), "event_id",
            pa.array([f"theirs-{n}"]))
        write_deltalake(lake.delta("order_events"), theirs, mode="append")
        if n % 3 == 0:
            lake.delta("order_events").optimize.compact()
        if n % 4 == 0:
            lake.delta("order_events").create_checkpoint()
        assert post_lines(pipeline, [json.dumps(order(n)),
                                     json.dumps(order(1))]).status_code == 202
        ids += [f"theirs-{n}", f"order-{n}"]
        lake.wait(ids)


def test_a_new_column_under_load(pipeline, lake, load):
    folder = contracts_of(pipeline)
    pipeline.start()
    run = load("--count", 30000, "--bad-share", 0, "--seed", 5)
    wait_for(lambda: len(run.acknowledged()) > 5000, 60)
    path = folder / "order.conf"
    text = path.read_text()
    new = text.replace("version = 1;", "version = 2;", 1).replace(
        "fields = (", 'fields = (\n  { name = "gift_note"; type = "string"; '
        'max_length = 100; },', 1)
    assert new != text
    path.write_text(new)
    done = pipeline.ctl("reload")
    assert done.code == 0, done
    assert post(pipeline, order("new", gift_note="hello")).status_code == 202
    run.finish()
    lake.wait(run.acknowledged() + ["order-new"])
    rows = lake.rows("order_events")
    assert [row["gift_note"] for row in rows
            if row["event_id"] == "order-new"] == ["hello"]
    assert sum(row["gift_note"] is None for row in rows) == len(rows) - 1


def test_a_breaking_change_stops_that_table_alone(pipeline, lake):
    """The table is another's, with another type: it waits, and says why."""
    pipeline.start()
    write_deltalake(f"{lake.url}/Tables/order_events",
                    pa.table({"order_total": pa.array(["text"])}))
    assert post(pipeline, order(1)).status_code == 202
    assert post(pipeline, {"event_type": "product.viewed", "event_id": "p",
                           "product_id": "1"}).status_code == 202
    wait_for(lambda: "product_events" in lake.names()
             and "order_total" in (lake.status() or ""), WAIT_S,
             lambda: f"{lake.status()} {pipeline.logs()}")
    assert "order_events" in lake.status()
    assert pipeline.process("onelake-writer.0")["restarts"] == 0
    shutil.rmtree(f"{lake.url}/Tables/order_events")
    wait_for(lambda: [row["event_id"] for row in lake.rows("order_events")]
             == ["order-1"] if "order_events" in lake.names() else False,
             WAIT_S, pipeline.logs)
    wait_for(lambda: lake.status() == "", WAIT_S, lake.status)
