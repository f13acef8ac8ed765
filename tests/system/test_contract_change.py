"""A contract gets a column while events come in."""

import shutil

import pytest

from conftest import ROOT, wait_for
from test_delivery import (load,  # noqa: F401 (a fixture)
                           post, wait_delivered)

COLUMNS = """fields = (
  { name = "gift_note"; type = "string"; max_length = 64; doc = "New."; },
  { name = "tier"; type = "string"; default = "basic"; doc = "New too."; },
"""


def order(n, **more):
    return {"event_type": "order.placed", "order_id": f"O-{n}", **more}


@pytest.fixture
def contracts(pipeline):
    """Contracts that a test may change."""
    path = pipeline.folder / "contracts"
    shutil.copytree(ROOT / "etc" / "contracts", path)
    pipeline.sections["pipeline"]["contracts"] = path
    return path


def add_columns(contracts, version):
    file = contracts / "order.conf"
    text = file.read_text()
    text = text.replace("version = 1;", f"version = {version};")
    file.write_text(text.replace("fields = (\n", COLUMNS))


def reload(pipeline):
    before = {label: pipeline.log(label).count("event=reloaded")
              for label in ("collector.0", "transformer.0")}
    done = pipeline.ctl("reload")
    assert done.code == 0, done
    wait_for(lambda: all(pipeline.log(label).count("event=reloaded") > n
                         for label, n in before.items()), what=pipeline.logs)


def test_a_new_column_arrives_and_nothing_is_lost(
        pipeline, contracts, load):  # noqa: F811
    pipeline.start()
    assert post(pipeline, order("old", gift_note="x")).status_code == 202
    first = load("--count", 40000, "--rate", 15000, "--seed", 5)
    wait_for(lambda: len(first.acknowledged()) > 5000)
    add_columns(contracts, 2)
    reload(pipeline)
    assert post(pipeline, order("new", gift_note="x")).status_code == 202
    second = load("--count", 5000, "--seed", 6)
    assert first.finish()["accepted"] == 40000
    assert second.finish()["accepted"] == 5000
    # The transformer is gone with what it had, under either set.
    old = pipeline.kill("transformer.0")
    third = load("--count", 5000, "--seed", 7)
    pipeline.wait_restarted("transformer.0", old)
    assert third.finish()["accepted"] == 5000
    later = set(second.acknowledged()) | set(third.acknowledged())
    found = wait_delivered(pipeline, set(first.acknowledged()) | later)
    assert len(found) == len(set(found)) == 50002
    by_id = {e["order_id"]: e for e in pipeline.delivered("order")
             if e["order_id"] in ("O-old", "O-new")}
    assert by_id["O-old"]["custom_properties"] == {"gift_note": "x"}
    assert "tier" not in by_id["O-old"]
    assert by_id["O-new"]["gift_note"] == "x"
    assert "custom_properties" not in by_id["O-new"]
    orders = [e for e in pipeline.delivered("order") if e["event_id"] in later]
    assert len(orders) > 500
    assert all(e["tier"] == "basic" for e in orders)
    assert not pipeline.delivered("dead_letter")


def test_events_of_the_old_contract_wait_out_the_change(pipeline, contracts):
    """They are mapped as they were accepted, by a transformer that starts with
    the new contracts."""
    pipeline.start()
    assert pipeline.ctl("stop", "transformer").code == 0
    assert post(pipeline, order("old", gift_note="x")).status_code == 202
    add_columns(contracts, 2)
    done = pipeline.ctl("reload")
    assert done.code == 0, done
    wait_for(lambda: "event=reloaded" in pipeline.log("collector.0"))
    assert post(pipeline, order("new", gift_note="x")).status_code == 202
    assert pipeline.ctl("start", "transformer").code == 0
    found = wait_for(lambda: len(pipeline.delivered("order")) == 2 and
                     {e["order_id"]: e for e in pipeline.delivered("order")},
                     what=pipeline.logs)
    assert found["O-old"]["custom_properties"] == {"gift_note": "x"}
    assert "tier" not in found["O-old"]
    assert found["O-new"]["gift_note"] == "x"
    assert found["O-new"]["tier"] == "basic"


def test_a_change_without_a_new_version_is_refused_whole(pipeline, contracts):
    pipeline.start()
    assert post(pipeline, order(1, gift_note="x")).status_code == 202
    add_columns(contracts, 1)
    done = pipeline.ctl("reload")
    assert done.code == 1 and "version" in done.err, done
    assert "order" in done.err
    assert post(pipeline, order(2, gift_note="x")).status_code == 202
    found = wait_for(lambda: len(pipeline.delivered("order")) == 2 and
                     pipeline.delivered("order"))
    assert all("tier" not in e for e in found)
