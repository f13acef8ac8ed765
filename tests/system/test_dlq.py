"""Dead letters, told apart, looked at, sent again and dropped: pipelinectl dlq.

Real letters come from a source that checks nothing (tests/tools/raw_source);
delta-rs judges the tables, and writes into them letters of other stages.
"""

import datetime
import json
import os
import shutil
import signal
import subprocess

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from common import BUILD
from conftest import PIPELINECTL, wait_for
from test_lake import Lake, add_writer, contracts_of
from test_lake_azure import BlobLake

RAW_SOURCE = BUILD / "tests" / "raw_source"
UTC = datetime.timezone.utc
TIME = "2026-11-20T10:00:00Z"

STREAM = """
name = "%s"; version = %d; doc = "For tests.";
match = { event_type = "%s"; };
identity = ["event_id"]; event_time = ["event_time"];
%s
fields = (
  { name = "event_id"; type = "string"; required = true; },
  { name = "event_type"; type = "string"; required = true; },
  { name = "event_time"; type = "datetime"; required = true; },
  { name = "n"; type = "int"; max = 10; },
  { name = "mail"; type = "string"; mask = "hash"; },
  { name = "rest"; type = "dynamic"; } );
lake = { table = "%s"; mode = "append"; };
"""
KEEP = 'unknown_fields = "keep"; unknown_column = "rest";'
DROP = 'unknown_fields = "drop";'


class Letters(Lake):
    """A pipeline with two streams, `thing` and `other`, and its lake."""

    def __init__(self, pipeline, url=None, storage=None):
        folder = pipeline.folder / "lake"
        super().__init__(pipeline, url or str(folder), storage)
        if not url:
            add_writer(pipeline, f"file://{folder}")
        self.contracts = contracts_of(pipeline)
        for name in ("order", "product", "customer", "admin", "ai", "agent"):
            (self.contracts / f"{name}.conf").unlink()
        self.write("thing", 1, KEEP)
        self.write("other", 1, KEEP)

    def write(self, name, version, unknown, type_=None):
        (self.contracts / f"{name}.conf").write_text(
            STREAM % (name, version, type_ or name, unknown, f"{name}s"))

    def mend(self):
        """What was an object for unknown members may be anything now."""
        self.write("thing", 2, DROP)
        self.write("other", 2, DROP)
        self.good("reload")

    def fail(self, *events):
        """Sends events (stream, members) that nobody has checked."""
        newest = (self.pipeline.state_dir / "contracts" / "newest")
        lines = "".join(
            f"{stream}\t{json.dumps(members, separators=(',', ':'))}\n"
            for stream, members in events)
        subprocess.run([RAW_SOURCE, self.pipeline.run_dir,
                        newest.read_text().strip()], input=lines, text=True,
                       check=True, timeout=60)

    def letters(self):
        return sorted((row["stream"], row["event_id"])
                      for row in self.rows("dead_letter"))

    def wait_letters(self, count):
        wait_for(lambda: self.count("dead_letter") >= count, 30,
                 lambda: self.pipeline.logs())
        return self.letters()

    def dlq(self, *arguments):
        return self.pipeline.ctl("dlq", *arguments)

    def good(self, *arguments):
        done = self.pipeline.ctl(*arguments)
        assert done.code == 0, done
        return done

    def open_ids(self):
        out = self.good("dlq", "ls", "--json").out
        return sorted(json.loads(line)["id"] for line in out.splitlines())

    def states(self):
        return sorted((row["event_id"], row["state"])
                      for row in self.rows("dead_letter_state"))


def bad(event_id, stream="thing", **more):
    """No object in the column for unknown members, and one that is unknown."""
    return (stream, {"event_id": event_id, "event_type": stream,
                     "event_time": TIME, "rest": 5, "u": 1, **more})


@pytest.fixture
def lake(pipeline):
    one = Letters(pipeline)
    pipeline.start()
    return one


# --- told apart ------------------------------------------------------------------

def test_letters_of_two_streams_with_one_id_are_two(lake):
    lake.fail(bad("e1"), bad("e1", "other"))
    assert lake.wait_letters(2) == [("other", "e1"), ("thing", "e1")]
    # The same ones again, whenever that is, are the letters that they were.
    lake.fail(bad("e1"), bad("e1", "other"), bad("e2"))
    assert lake.wait_letters(3) == [("other", "e1"), ("thing", "e1"),
                                    ("thing", "e2")]


# --- ls and show -----------------------------------------------------------------

def test_letters_are_listed_and_shown(lake):
    lake.fail(bad("e1", mail="jane@x"), bad("e2", "other"),
              ("nobody", {"event_id": "e3"}))
    lake.wait_letters(3)
    out = lake.good("dlq", "ls").out
    assert "3 dead letters: 2 wrong_type, 1 no_contract" in out
    assert "e1" in out and "rest" in out and "custom" not in out
    row = json.loads(lake.good("dlq", "ls", "--json", "--stream",
                               "thing").out)
    assert (row["id"], row["stream"], row["code"], row["field"]) == (
        "e1", "thing", "wrong_type", "rest")
    assert row["stage"] == "transformer" and row["state"] is None
    assert lake.good("dlq", "ls", "--code", "no_contract", "--json").json[
        "id"] == "e3"
    assert lake.good("dlq", "ls", "--stage", "transformer", "--limit",
                     "1").out.count("wrong_type") >= 1
    assert lake.good("dlq", "ls", "--since", "1h", "--json").out.count(
        "\n") == 3
    assert lake.good("dlq", "ls", "--until", "1h", "--json").out == ""
    assert "no dead letters" in lake.good("dlq", "ls", "--since",
                                          "2999-01-01").err
    shown = lake.good("dlq", "show", "e1").out
    assert "jane" not in shown and '{"mail":"hash"}' in shown
    assert '"rest":5,"u":1' in shown
    shown = lake.good("dlq", "show", "e1", "--json").json
    original = json.loads(shown["original"])
    assert len(original["mail"]) == 64 and original["u"] == 1


# --- replay ----------------------------------------------------------------------

def test_letters_land_once_after_a_contract_was_mended(lake):
    lake.fail(*[bad(f"e{i}") for i in range(300)],
              bad("e0", "other"), bad("masked", mail="jane@x"),
              bad("worse", n=99))
    lake.wait_letters(303)
    original = json.loads(lake.good("dlq", "show", "masked", "--json").json[
        "original"])
    # Before, all fail again, and stay the letters that they are.
    done = lake.dlq("replay", "--json")
    assert done.code == 1, done
    assert done.json == {"dry_run": False, "replayed": 303, "landed": 0,
                         "waiting": 0, "failed": 303,
                         "codes": {"wrong_type": 303}}
    assert len(lake.open_ids()) == 303
    lake.mend()
    dry = lake.dlq("replay", "--dry-run")
    assert dry.code == 1 and dry.out == (
        "would replay 303 letters: 302 would be accepted, 1 would fail again "
        "(1 out_of_range)\n"), dry
    assert lake.count("things") == 0
    done = lake.dlq("replay")
    assert done.code == 1, done
    assert done.out == ("replayed 303 letters: 302 landed, 1 failed again "
                        "(1 out_of_range)\n")
    assert "worse of thing: cannot be replayed: out_of_range" in done.err
    things = lake.rows("things")
    assert sorted(row["event_id"] for row in things) == sorted(
        [f"e{i}" for i in range(300)] + ["masked"])
    assert [row["event_id"] for row in lake.rows("others")] == ["e0"]
    # What was masked is what it would have been.
    assert [row["mail"] for row in things
            if row["event_id"] == "masked"] == [original["mail"]]
    assert lake.open_ids() == ["worse"]
    # Letters do not change, and what became of them is noted once.
    assert lake.count("dead_letter") == 303
    assert len(lake.states()) == 302
    # Once more: nothing is open, and what is sent again all the same is there.
    assert lake.dlq("replay", "e0").code == 1
    done = lake.dlq("replay", "--all", "e0", "e1")
    assert done.code == 0, done
    assert done.out == "replayed 3 letters: 3 landed\n"
    assert lake.count("things") == 301 and lake.count("others") == 1
    assert len(lake.states()) == 302


def test_letters_of_the_lake_are_sent_as_they_were_mapped(lake):
    """An event that could not become a row was mapped and masked before."""
    lake.fail(bad("first"))
    lake.wait_letters(1)
    at = datetime.datetime.now(UTC)
    table = DeltaTable(f"{lake.url}/Tables/dead_letter")

    def letter(event_id, original):
        row = {"event_id": event_id, "event_type": "dead_letter",
               "event_time": at, "code": "not_a_row", "reason": "why",
               "stage": "onelake-writer", "stream": "thing", "field": None,
               "original": original, "source": None, "received_at": at,
               "trace": None, "masked": None}
        return {name: row[name] for name in table.to_pyarrow_table().column_names}

    head = f'"event_type":"thing","event_time":"{TIME}"'
    rows = [letter("good", '{"event_id":"good",%s,"mail":"0f0f","n":5}' % head),
            letter("bad", '{"event_id":"bad",%s,"n":"five"}' % head),
            letter("brief", None)]
    write_deltalake(table, pa.Table.from_pylist(
        rows, schema=table.to_pyarrow_table().schema), mode="append")
    done = lake.dlq("replay", "good", "bad", "brief")
    assert done.code == 1, done
    assert done.out == ("replayed 3 letters: 1 landed, 2 failed again "
                        "(1 no_original, 1 not_a_row)\n")
    assert "bad of thing: cannot be replayed: not_a_row" in done.err
    assert [(row["event_id"], row["mail"], row["n"])
            for row in lake.rows("things")] == [("good", "0f0f", 5)]
    assert lake.open_ids() == ["bad", "brief", "first"]


def test_landing_is_seen_by_identities_of_any_type(lake):
    """Numbers, times and several fields: what landed is found, and at once."""
    text = (lake.contracts / "thing.conf").read_text()
    for name, identity in (("number", '["n"]'), ("time", '["event_time"]'),
                           ("parts", '["event_id", "n", "event_time"]')):
        (lake.contracts / f"{name}.conf").write_text(
            text.replace('"thing"', f'"{name}"').replace('"things"',
                                                         f'"{name}s"')
            .replace('["event_id"]', identity))
    lake.good("reload")
    lake.fail(bad("i'1", "number", n=-7), bad("t1", "time"),
              bad("p1", "parts", n=3), bad("p2", "parts", n=4))
    lake.wait_letters(4)
    for name in ("number", "time", "parts"):
        path = lake.contracts / f"{name}.conf"
        path.write_text(path.read_text().replace(KEEP, DROP).replace(
            "version = 1", "version = 2"))
    lake.good("reload")
    done = lake.good("dlq", "replay", "--timeout", "30s")
    assert done.out == "replayed 4 letters: 4 landed\n"
    assert lake.count("numbers") == lake.count("times") == 1
    assert lake.count("partss") == 2
    assert ("i'1", "landed") in lake.states()


def test_a_replay_goes_on_over_a_kill(lake):
    """Whoever dies, the letters that landed are in their table once."""
    lake.fail(*[bad(f"e{i}") for i in range(50)])
    lake.wait_letters(50)
    lake.mend()
    old = lake.pipeline.kill("onelake-writer.0")
    done = lake.dlq("replay")
    assert done.code == 0, done
    lake.pipeline.wait_restarted("onelake-writer.0", old)
    assert lake.count("things") == 50 and not lake.open_ids()


def test_replaying_with_more_transformers(lake):
    lake.fail(*[bad(f"e{i}") for i in range(50)])
    lake.wait_letters(50)
    lake.mend()
    lake.good("scale", "transformer", "2")
    lake.good("dlq", "replay")
    assert lake.count("things") == 50 and not lake.open_ids()


def test_letters_of_a_lake_in_azure(pipeline, azurite):
    blobs = BlobLake(pipeline, azurite)
    lake = Letters(pipeline, blobs.url, blobs.storage)
    pipeline.env["XDG_CACHE_HOME"] = str(pipeline.folder / "cache")
    pipeline.start()
    lake.fail(bad("e1"), bad("e2"), bad("e3"))
    lake.wait_letters(3)
    lake.mend()
    assert lake.good("dlq", "drop", "e3", "--yes").out.startswith("dropped 1 ")
    assert lake.good("dlq", "replay").out == "replayed 2 letters: 2 landed\n"
    assert sorted(row["event_id"] for row in lake.rows("things")) == ["e1", "e2"]
    assert not lake.open_ids()


# --- drop ------------------------------------------------------------------------

def test_dropped_letters_are_not_listed(lake):
    lake.fail(bad("e1"), bad("e2"), bad("e3", "other"))
    lake.wait_letters(3)
    asked = lake.dlq("drop", "--stream", "thing")
    assert asked.code == 2 and "--yes" in asked.err
    assert asked.out == "would drop 2 letters: 2 wrong_type\n"
    assert len(lake.open_ids()) == 3
    assert lake.good("dlq", "drop", "e3", "--dry-run", "--yes").out == (
        "would drop 1 letter: 1 wrong_type\n")
    assert lake.good("dlq", "drop", "--stream", "thing", "--yes").out == (
        "dropped 2 letters: 2 wrong_type\n")
    assert lake.open_ids() == ["e3"]
    assert lake.states() == [("e1", "dropped"), ("e2", "dropped")]
    assert "dropped" in lake.good("dlq", "ls", "--all").out
    assert lake.count("dead_letter") == 3
    again = lake.dlq("drop", "e1", "--yes")
    assert again.code == 1 and 'dead letter "e1" was dropped already' in again.err
    # Who changes their mind can have it all the same.
    lake.mend()
    lake.good("dlq", "replay", "--all", "e1")
    assert [row["event_id"] for row in lake.rows("things")] == ["e1"]
    assert ("e1", "landed") in lake.states()


# --- what goes wrong -------------------------------------------------------------

def test_wrong_command_lines_say_what_is_right(lake):
    def wrong(*arguments):
        done = lake.dlq(*arguments)
        assert done.code == 2 and not done.out, done
        return done.err
    assert "say what to do: ls, show, replay or drop" in wrong()
    assert "did you mean 'replay'?" in wrong("reply")
    assert "which letter?" in wrong("show")
    assert "must be a day such as 2026-11-20" in wrong("ls", "--since", "soon")
    assert "must be a day" in wrong("ls", "--until", "2026-13-01")
    assert "nothing is in between" in wrong(
        "ls", "--since", "2026-11-02", "--until", "2026-11-01")
    assert "there is no option --yes here" in wrong("ls", "--yes")
    assert "there is no option --from here" in wrong("ls", "--from", "1h")
    assert "--limit 'x' must be a number" in wrong("ls", "--limit", "x")
    assert "--timeout '5' must be a time" in wrong("replay", "--timeout", "5")
    assert "dlq show e1" in wrong("ls", "e1")


def test_letters_that_are_not_there_are_named(lake):
    lake.fail(bad("e1"))
    lake.wait_letters(1)
    for command in (["show"], ["replay"], ["drop", "--yes"]):
        done = lake.dlq(*command, "e1", "e9")
        assert done.code == 1 and not done.out, done
        assert 'there is no dead letter "e9"' in done.err
    done = lake.dlq("show", "e1", "--stream", "other")
    assert done.code == 1 and "of stream other" in done.err
    done = lake.good("dlq", "replay", "--code", "none")
    assert "no dead letter matches; nothing was done" in done.err
    done = lake.good("dlq", "drop", "--code", "none", "--yes")
    assert "no dead letter matches" in done.err


def test_a_pipeline_that_does_not_run(lake):
    lake.fail(bad("e1"))
    lake.wait_letters(1)
    lake.pipeline.stop()
    assert lake.open_ids() == ["e1"]
    for command in (["replay"], ["drop", "--yes"]):
        done = lake.dlq(*command)
        assert done.code == 3 and "pipelinectl start" in done.err, done
    assert lake.open_ids() == ["e1"]


def test_sinks_that_take_nothing_leave_letters_open(lake):
    """Nothing is said to be done that is not; later it comes right."""
    lake.fail(bad("e1"))
    lake.wait_letters(1)
    lake.mend()
    lake.good("stop", "onelake-writer")
    done = lake.dlq("replay", "--timeout", "2s")
    assert done.code == 1 and not done.out, done
    assert "within 2s" in done.err and "dlq replay" in done.err
    lake.good("start", "onelake-writer")
    lake.good("dlq", "replay")
    assert lake.count("things") == 1 and not lake.open_ids()


def test_a_service_that_cannot_start_says_why(lake):
    lake.fail(bad("e1"))
    lake.wait_letters(1)
    # Another meaning under the version that it had.
    lake.write("thing", 1, DROP)
    done = lake.dlq("replay")
    assert done.code == 1 and not done.out, done
    assert "replay.0.log" in done.err and "thing" in done.err, done
    lake.write("thing", 1, KEEP)
    # One at a time.
    lake.mend()
    lake.good("stop", "onelake-writer")
    with subprocess.Popen(
            [PIPELINECTL, "dlq", "replay", "--timeout", "60s", "--config",
             lake.pipeline.config], env=lake.pipeline.env,
            stdout=subprocess.PIPE, text=True) as first:
        log = lake.pipeline.log_dir / "replay.0.log"
        wait_for(lambda: log.read_text().count("ready") == 1)
        done = lake.dlq("replay")
        assert done.code == 1 and "is locked: process" in done.err, done
        lake.good("start", "onelake-writer")
        assert first.communicate(timeout=60)[0] == (
            "replayed 1 letter: 1 landed\n")
    assert lake.count("things") == 1


def test_an_interrupted_replay_is_done_by_the_next(lake):
    lake.fail(*[bad(f"e{i}") for i in range(5)])
    lake.wait_letters(5)
    lake.mend()
    lake.good("stop", "onelake-writer")
    with subprocess.Popen(
            [PIPELINECTL, "dlq", "replay", "--config", lake.pipeline.config],
            env=lake.pipeline.env, stderr=subprocess.PIPE, text=True) as first:
        log = lake.pipeline.log_dir / "replay.0.log"
        wait_for(lambda: log.exists() and "ready" in log.read_text())
        first.send_signal(signal.SIGINT)
        assert "stopped" in first.communicate(timeout=30)[1]
        assert first.returncode == 1
    lake.good("start", "onelake-writer")
    lake.good("dlq", "replay")
    assert lake.count("things") == 5 and not lake.open_ids()


def test_without_a_lake_it_says_where_letters_are(pipeline):
    pipeline.write_config()
    done = pipeline.ctl("dlq", "ls")
    assert done.code == 1, done
    assert "has no lake" in done.err
    assert f"{pipeline.out_dir}/dead_letter-" in done.err


def test_without_the_contract_of_states_nothing_is_sent(lake):
    lake.fail(bad("e1"))
    lake.wait_letters(1)
    (lake.contracts / "dead_letter_state.conf").unlink()
    assert lake.open_ids() == ["e1"]
    for command in (["replay"], ["drop", "--yes"]):
        done = lake.dlq(*command)
        assert done.code == 1 and 'no contract "dead_letter_state"' in done.err
    (lake.contracts / "dead_letter.conf").unlink()
    done = lake.dlq("ls")
    assert done.code == 1 and 'no contract "dead_letter"' in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_another_user_is_told_whom_to_be(lake):
    lake.fail(bad("e1"))
    lake.wait_letters(1)
    lake.pipeline.stop()
    shutil.chown(lake.pipeline.state_dir, "nobody")
    done = lake.dlq("replay", "--dry-run")
    shutil.chown(lake.pipeline.state_dir, "root")
    assert done.code == 1, done
    assert "belongs to user nobody: run this as nobody" in done.err
