"""The raw archive, sent through the pipeline again: pipelinectl replay.

Rows that somebody has deleted with delta-rs come back, each once, and nothing
that is there comes twice.
"""

import datetime
import json
import subprocess

import pytest
import requests
from deltalake import DeltaTable

from conftest import wait_for
from test_lake import Lake, add_writer, order
from test_lake_azure import BlobLake

UTC = datetime.timezone.utc
TODAY = datetime.datetime.now(UTC).date().isoformat()
DAYS = ("--from", "2026-01-01", "--to", "2099-12-31")


def viewed(number):
    return {"event_type": "product.viewed", "event_id": f"view-{number}",
            "product_id": f"P-{number}"}


@pytest.fixture
def lake(pipeline):
    folder = pipeline.folder / "lake"
    add_writer(pipeline, f"file://{folder}", archive=True)
    pipeline.start()
    return Lake(pipeline, str(folder))


def post(pipeline, *events):
    done = requests.post(pipeline.url + "/events/batch", json=list(events),
                         timeout=20)
    assert done.status_code == 202, done.text


def archived(pipeline):
    return sorted((pipeline.folder / "lake").glob(
        "Files/bronze/raw_events/*/*/*.zst"))


def fill(lake, orders=200, views=20):
    post(lake.pipeline, *[order(i) for i in range(orders)],
         *[viewed(i) for i in range(views)])
    ids = {f"order-{i}" for i in range(orders)} | {
        f"view-{i}" for i in range(views)}
    lake.wait(ids)
    wait_for(lambda: len({path.parent for path in archived(lake.pipeline)})
             == 2, what=lambda: lake.pipeline.logs())
    return ids


def replay(lake, *arguments, stream="order", days=DAYS):
    return lake.pipeline.ctl("replay", "--stream", stream, *days, *arguments)


def good(lake, *arguments, **more):
    done = replay(lake, *arguments, **more)
    assert done.code == 0, done
    return done


def delete(lake, table, where):
    DeltaTable(f"{lake.url}/Tables/{table}").delete(where)


def test_what_a_table_lost_comes_back_once(lake):
    ids = fill(lake)
    delete(lake, "order_events", "order_id < 'O-15'")
    lost = ids - set(lake.ids())
    assert len(lost) > 10
    files = archived(lake.pipeline)
    done = good(lake)
    assert done.out.startswith("replayed 200 events of order;"), done
    assert set(lake.wait(ids)) == ids
    # Again, and once more while the writer dies in between: nothing changes.
    assert good(lake, "--json").json == {
        "dry_run": False, "files": len(files), "read": 200,
        "replayed": 200, "refused": 0, "damaged_files": 0}
    delete(lake, "order_events", "order_id = 'O-7'")
    old = lake.pipeline.kill("onelake-writer.0")
    good(lake)
    lake.pipeline.wait_restarted("onelake-writer.0", old)
    lake.wait(ids)
    lake.pipeline.stop()
    # The archive is not put into the archive.
    assert archived(lake.pipeline) == files
    assert sorted(lake.ids()) == sorted(ids)
    # Sinks that keep no tables have the events again, under the same ids.
    names = [event["event_id"] for event in lake.pipeline.delivered("order")]
    assert set(names) == {i for i in ids if i.startswith("order")}
    assert len(names) >= 600


def test_an_archive_in_azure(pipeline, azurite):
    lake = BlobLake(pipeline, azurite)
    pipeline.sections["onelake-writer"]["archive"] = True
    pipeline.env["XDG_CACHE_HOME"] = str(pipeline.folder / "cache")
    pipeline.start()
    post(pipeline, *[order(i) for i in range(50)])
    ids = {f"order-{i}" for i in range(50)}
    lake.wait(ids)
    wait_for(lambda: any("raw_events" in name for name in
                         azurite.blobs(lake.container)))
    DeltaTable(f"{lake.url}/Tables/order_events",
               storage_options=lake.storage).delete("order_id > 'O-3'")
    assert good(lake).out.startswith("replayed 50 events of order;")
    lake.wait(ids)


def test_a_dry_run_sends_nothing(lake):
    fill(lake, 20, 3)
    delete(lake, "product_events", "true")
    done = good(lake, "--dry-run", stream="product")
    assert done.out == "would replay 3 events of product\n"
    assert lake.count("product_events") == 0
    assert good(lake, "--dry-run", "--json", stream="product").json["read"] == 3
    lake.pipeline.stop()
    assert len(lake.pipeline.delivered("product")) == 3
    # It needs no pipeline; what sends does.
    good(lake, "--dry-run", stream="product")
    done = replay(lake, stream="product")
    assert done.code == 3 and "pipelinectl start" in done.err, done


def test_days_and_times_choose(lake):
    post(lake.pipeline, *[order(i, event_time=f"2026-11-0{i}T12:00:00Z")
                          for i in range(1, 6)])
    lake.wait({f"order-{i}" for i in range(1, 6)})
    wait_for(lambda: archived(lake.pipeline))

    def count(*days):
        return good(lake, "--dry-run", "--json", days=days).json["replayed"]
    assert count("--from", TODAY, "--to", TODAY) == 5
    assert count("--from", "2020-01-01", "--to", "2020-12-31") == 0
    done = good(lake, days=("--from", "2020-01-01", "--to", "2020-01-01"))
    assert "nothing of these days" in done.err
    # Times are those of the events, of what arrived on those days.
    until = f"{TODAY}T23:59:59Z"
    assert count("--from", "2026-11-02T12:00:00Z", "--to", until) == 4
    assert count("--from", "2026-11-02T14:00:01+02:00", "--to", until) == 3


def test_wrong_command_lines_say_what_is_right(lake):
    def wrong(*arguments, code=2):
        done = lake.pipeline.ctl("replay", *arguments)
        assert done.code == code and not done.out, done
        return done.err
    assert "--stream STREAM --from TIME --to TIME" in wrong()
    assert "--stream STREAM" in wrong("--stream", "order", "--from", TODAY)
    assert "must be a day such as" in wrong(
        "--stream", "order", "--from", "yesterday", "--to", TODAY)
    assert "nothing is in between" in wrong(
        "--stream", "order", "--from", "2026-11-03", "--to", "2026-11-01")
    assert "one argument too many" in wrong("--stream", "order", *DAYS, "now")
    assert "there is no option --code here" in wrong(
        "--stream", "order", *DAYS, "--code", "x")
    post(lake.pipeline, order(1))
    lake.wait({"order-1"})
    wait_for(lambda: archived(lake.pipeline))
    assert 'did you mean "order"?' in wrong("--stream", "ordr", *DAYS, code=1)
    assert "dlq replay" in wrong("--stream", "dead_letter", *DAYS, code=1)


def test_without_an_archive_it_says_how_to_have_one(pipeline):
    folder = pipeline.folder / "lake"
    add_writer(pipeline, f"file://{folder}")
    pipeline.start()
    post(pipeline, order(1))
    lake = Lake(pipeline, str(folder))
    lake.wait({"order-1"})
    done = replay(lake)
    assert done.code == 1 and "set archive = true" in done.err, done


def test_a_damaged_file_keeps_no_other_back(lake):
    for i in range(3):
        post(lake.pipeline, order(i))
        wait_for(lambda: len(archived(lake.pipeline)) == i + 1)
    files = archived(lake.pipeline)
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[:-6])
    files[2].write_bytes(b"no zstd at all")
    done = replay(lake, "--json")
    assert done.code == 1, done
    assert done.json["damaged_files"] == 2
    assert 1 <= done.json["replayed"] <= 2
    assert f"{files[2].name} is damaged" in done.err
    assert "ends too soon" in done.err
    files[1].write_bytes(whole)
    files[2].unlink()
    assert good(lake, "--json").json["replayed"] >= 2


def test_lines_that_are_no_rows_are_refused_and_told(lake, tmp_path):
    post(lake.pipeline, order(1))
    lake.wait({"order-1"})
    wait_for(lambda: archived(lake.pipeline))
    path = archived(lake.pipeline)[0]
    plain = tmp_path / "a.ndjson"
    plain.write_text("\n".join([
        json.dumps(order(2) | {"event_time": "2026-11-01T00:00:00Z"}),
        json.dumps(order(3) | {"event_time": "2026-11-01T00:00:00Z",
                               "item_count": "many"}),
        "{", ""]))
    subprocess.run(["zstd", "-q", "-f", plain, "-o", path], check=True)
    done = replay(lake)
    assert done.code == 1, done
    assert "replayed 1 event of order; refused: 1 malformed_json, 1 " \
           "not_a_row" in done.out
    assert "stays in the archive" in done.err
    lake.wait({"order-1", "order-2"})
