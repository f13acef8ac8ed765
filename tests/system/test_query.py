"""pipelinectl query and lake, judged by delta-rs and pyarrow, which also write
the tables that are read here. No pipeline runs."""
import csv
import datetime
import decimal
import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from conftest import PIPELINECTL, wait_for

UTC = datetime.timezone.utc
D = decimal.Decimal


class Lake:
    """A lake for pipelinectl, and what others say of its tables."""

    def __init__(self, pipeline, url=None, storage=None, root=None):
        self.pipeline = pipeline
        self.folder = pipeline.folder / "lake"
        self.root = root or str(self.folder)
        self.storage = storage
        self.section = {"lake": url or f"file://{self.folder}"}
        pipeline.services = [{"name": "collector"}, {"name": "transformer"},
                             {"name": "onelake-writer"}]
        pipeline.sections = {"pipeline": pipeline.sections["pipeline"],
                             "onelake-writer": self.section}
        pipeline.env["XDG_CACHE_HOME"] = str(pipeline.folder / "cache")
        pipeline.env["TMPDIR"] = str(pipeline.folder)

    def write(self, table, data, **more):
        write_deltalake(f"{self.root}/Tables/{table}", data,
                        storage_options=self.storage, **more)

    def delta(self, table, version=None):
        return DeltaTable(f"{self.root}/Tables/{table}", version=version,
                          storage_options=self.storage)

    def rows(self, table, version=None):
        return self.delta(table, version).to_pyarrow_table().to_pylist()

    def ctl(self, *arguments, **more):
        self.pipeline.write_config()
        return self.pipeline.ctl(*arguments, **more)

    def good(self, *arguments):
        done = self.ctl(*arguments)
        assert done.code == 0, done
        # Nothing stays behind but what a lake elsewhere left in the cache.
        assert not list(self.pipeline.folder.glob("weft-lake-*"))
        return done

    def query(self, sql, *arguments):
        """The rows as Python has them, decimals as such."""
        out = self.good("query", "--json", sql, *arguments).out
        return [json.loads(line, parse_float=D) for line in out.splitlines()]

    def error(self, sql, *arguments):
        done = self.ctl("query", sql, *arguments)
        assert done.code == 1 and not done.out, done
        return done.err


@pytest.fixture
def lake(pipeline):
    return Lake(pipeline)


def shown(value):
    """A value of pyarrow's as the JSON of a query has it."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, float):
        return D(repr(value)) if value == value else "NaN"
    if isinstance(value, list):
        return [shown(one) for one in value]
    if isinstance(value, dict):
        return {k: shown(v) for k, v in value.items()}
    return value


def ordered(rows, key):
    return sorted(rows, key=lambda row: (row[key] is None, row[key]))


def same(lake, table, key, version=None):
    """Every row is what delta-rs and pyarrow read; they are returned."""
    more = ("--version", f"{table}={version}") if version is not None else ()
    name = ".".join(f'"{part}"' for part in table.split("/"))
    ours = lake.query(f"SELECT * FROM {name}", *more)
    theirs = [shown(row) for row in lake.rows(table, version)]
    assert ordered(ours, key) == ordered(theirs, key)
    return ours


def orders(first, count):
    return pa.table({
        "id": pa.array(range(first, first + count), pa.int64()),
        "total": pa.array([D(i) / 4 for i in range(count)],
                          pa.decimal128(18, 6)),
        "customer": [f"c{i % 3}" for i in range(count)]})


TYPED = pa.table({
    "id": pa.array([1, 2, 3], pa.int32()),
    "text": ["Zoë 日本 🧵", "", None],
    "control": ["a\nb\t\"c\"", "\x1b[31m", "a,b"],
    "long": pa.array([2**63 - 1, -2**63, None], pa.int64()),
    "double": pa.array([0.1, 1e300, None]),
    "decimal": pa.array([D("99999999999999999999.999999999999999999"),
                         D("-0.000000000000000001"), None],
                        pa.decimal128(38, 18)),
    "yes": pa.array([True, False, None]),
    "at": pa.array([datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
                    datetime.datetime(2038, 1, 19, 3, 14, 8, 1, UTC), None],
                   pa.timestamp("us", "UTC")),
    "day": pa.array([datetime.date(1900, 1, 1), datetime.date(9999, 12, 31),
                     None]),
    "json": ['{"price": 2.50, "n": [1, null]}', '"text"', "null"],
    "nested": pa.array(
        [{"a": 2**53 + 1, "list": ["x", None, 'q"']}, {"a": None, "list": []},
         None],
        pa.struct([("a", pa.int64()), ("list", pa.list_(pa.string()))])),
    "structs": pa.array([[{"d": D("1.50")}, None], [], None],
                        pa.list_(pa.struct([("d", pa.decimal128(9, 2))]))),
})


# --- what is read --------------------------------------------------------------

def test_values_are_right_to_the_last_digit(lake):
    lake.write("typed", TYPED)
    rows = same(lake, "typed", "id")
    assert rows[0]["long"] == 2**63 - 1
    assert str(rows[0]["decimal"]) == "99999999999999999999.999999999999999999"
    assert rows[0]["json"] == '{"price": 2.50, "n": [1, null]}'
    out = lake.good("query", "--csv", "SELECT * FROM typed ORDER BY id").out
    assert re.search(r'^2,"",', out, re.M), "an empty text is no NULL"
    table = list(csv.DictReader(io.StringIO(out, newline="")))
    assert [row["text"] for row in table] == ["Zoë 日本 🧵", "", ""]
    assert table[0]["control"] == 'a\nb\t"c"'
    assert table[0]["decimal"] == "99999999999999999999.999999999999999999"
    assert json.loads(table[0]["nested"]) == {"a": 2**53 + 1,
                                              "list": ["x", None, 'q"']}


def test_a_table_for_people(lake):
    lake.write("typed", TYPED)
    done = lake.good("query", "SELECT id, text, control, yes FROM typed "
                              "ORDER BY id")
    # Wide characters take two places.
    assert done.out.splitlines() == [
        "id  text         control    yes",
        "──  ───────────  ─────────  ─────",
        ' 1  Zoë 日本 🧵  a\\nb\\t"c"  true',
        " 2               \\x1b[31m   false",
        " 3  NULL         a,b        NULL"]
    assert re.fullmatch(r"3 rows in \d+\.\d\d s\n", done.err)
    done = lake.good("query", "FROM range(1000)")
    assert len(done.out.splitlines()) == 102 and "there are more" in done.err
    done = lake.good("query", "--limit", "0", "FROM range(1000)")
    assert len(done.out.splitlines()) == 1002 and "more" not in done.err
    done = lake.good("query", "--json", "--limit", "7", "FROM range(1000)")
    assert len(done.out.splitlines()) == 7
    assert len(lake.query("FROM range(1000)")) == 1000


def test_a_narrow_terminal_shows_row_by_row(lake):
    lake.write("typed", TYPED)
    lake.pipeline.write_config()
    for columns, first in ((500, "id  text"), (40, "── row 1 ──")):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ,
                    struct.pack("HHHH", 24, columns, 0, 0))
        done = subprocess.run(
            [PIPELINECTL, "query", "FROM typed ORDER BY id LIMIT 1", "-c",
             lake.pipeline.config], env=lake.pipeline.env, stdout=theirs,
            stderr=subprocess.PIPE, timeout=60, check=False)
        os.close(theirs)
        text = os.read(ours, 65536).decode()
        os.close(ours)
        assert done.returncode == 0 and text.startswith(first), text
    assert "\r\ndecimal  99999999999999999999.999999999999999999\r\n" in text


def test_partitions_with_special_characters(lake):
    keys = ["a/b c", "x=y%20", "it's", None, "[q]*?", "ü🧵", "a\\b", 'q"', "#:;"]
    table = pa.table({
        "Key of it": keys, "day": [datetime.date(2026, 1, 1 + i)
                                   for i in range(len(keys))],
        "at": pa.array([datetime.datetime(2026, 1, 1, 1, 2, 3, 400000, UTC)]
                       * len(keys), pa.timestamp("us", "UTC")),
        "price": pa.array([D("1.50")] * len(keys), pa.decimal128(9, 2)),
        "even": [i % 2 == 0 for i in range(len(keys))],
        "value": range(len(keys))})
    lake.write("some schema/parted", table,
               partition_by=["Key of it", "day", "at", "price", "even"])
    same(lake, "some schema/parted", "value")
    for i, key in enumerate(keys):
        text = "IS NULL" if key is None else "= '" + key.replace("'", "''") + "'"
        assert lake.query('SELECT value, day FROM "some schema".parted WHERE '
                          f'"Key of it" {text}') == \
            [{"value": i, "day": f"2026-01-{1 + i:02}"}]
    assert lake.query('SELECT count(*) AS n, count(DISTINCT day) AS d '
                      'FROM "some schema".parted WHERE even') == \
        [{"n": 5, "d": 5}]


def test_schemas_that_changed(lake):
    lake.write("t", pa.table({"id": [1], "old": ["x"], "n": pa.array(
        [{"a": 1}], pa.struct([("a", pa.int64())]))}))
    lake.write("t", pa.table({"id": [2], "new": [D("2.50")], "n": pa.array(
        [{"a": 2, "b": "y"}],
        pa.struct([("a", pa.int64()), ("b", pa.string())]))}),
        mode="append", schema_mode="merge")
    rows = same(lake, "t", "id")
    assert rows[0].keys() == {"id", "old", "n", "new"}
    same(lake, "t", "id", version=0)
    # Other columns, other types, and none of the files of before.
    lake.write("t", pa.table({"id": ["three"]}), mode="overwrite",
               schema_mode="overwrite")
    assert same(lake, "t", "id") == [{"id": "three"}]
    same(lake, "t", "id", version=1)


def test_empty_tables(lake):
    lake.write("empty", orders(0, 0))
    lake.write("parted", orders(0, 0), partition_by=["customer"])
    for name in ("empty", "parted"):
        assert lake.query(f"SELECT * FROM {name}") == []
        assert lake.query(f"SELECT count(*) AS n, sum(total) AS s FROM {name}") \
            == [{"n": 0, "s": None}]
    assert lake.good("query", "FROM empty").out.split() == [
        "id", "total", "customer", "──", "─────", "────────"]


def test_tables_that_others_tend(lake):
    for i in range(12):
        lake.write("orders", orders(10 * i, 10),
                   mode="append" if i else "error")
    delta = lake.delta("orders")
    delta.create_checkpoint()
    assert len(same(lake, "orders", "id")) == 120
    delta.optimize.compact()
    lake.delta("orders").delete("customer = 'c1'")
    rows = same(lake, "orders", "id")
    assert len(rows) == 84
    assert len(same(lake, "orders", "id", version=11)) == 120
    assert len(same(lake, "orders", "id", version=3)) == 40
    assert "no version 99" in lake.error("FROM orders", "--version",
                                         "orders=99")


def test_joins_and_schemas(lake):
    lake.write("orders", orders(0, 6))
    lake.write("sales/customers", pa.table(
        {"customer": ["c0", "c1"], "name": ["Ann", "Bob"]}))
    lake.write("hr/customers", pa.table({"customer": ["c2"], "name": ["Eve"]}))
    assert lake.query(
        "WITH all_of AS (FROM sales.customers UNION ALL FROM hr.customers) "
        "SELECT name, count(*) AS n FROM Orders JOIN all_of USING (customer) "
        "GROUP BY ALL ORDER BY name") == [
            {"name": "Ann", "n": 2}, {"name": "Bob", "n": 2},
            {"name": "Eve", "n": 2}]
    # The one that the writer is told to use needs no name.
    assert 'did you mean "hr.customers"?' in lake.error("FROM customers")
    lake.section["schema"] = "sales"
    assert lake.query("SELECT count(*) AS n FROM customers") == [{"n": 2}]
    assert lake.query("SELECT count(*) AS n FROM hr.customers") == [{"n": 1}]
    shown_names = [row["name"] for row in lake.query("SHOW TABLES")]
    assert shown_names == ["customers", "orders"]
    assert lake.query("SELECT table_schema AS s FROM information_schema.tables "
                      "WHERE table_name = 'customers' ORDER BY s") == [
                          {"s": "hr"}, {"s": "main"}, {"s": "sales"}]


def test_sql_from_standard_input(lake):
    lake.write("orders", orders(0, 6))
    lake.pipeline.write_config()
    done = subprocess.run(
        [PIPELINECTL, "--json", "query", "-", "-c", lake.pipeline.config],
        input="SELECT\n -- all of them\n count(*) AS n FROM orders;\n",
        env=lake.pipeline.env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, '{"n":6}\n'), done.stderr


# --- what is refused ------------------------------------------------------------

def test_nothing_is_written(lake):
    lake.write("orders", orders(0, 6))
    before = sorted(lake.folder.rglob("*"))
    inside = f"{lake.folder}/Tables/orders/x"
    for sql in ("INSERT INTO orders VALUES (1, 1, 'x')", "DROP VIEW orders",
                f"COPY orders TO '{inside}'", "SET threads = 2",
                f"EXPLAIN ANALYZE COPY orders TO '{inside}'",
                f"ATTACH '{inside}'", "INSTALL httpfs", "DELETE FROM orders",
                f"FROM enable_logging(storage = 'file', storage_path = "
                f"'{inside}')"):
        assert re.search("refused|only statements that read",
                         lake.error(sql))
    assert sorted(lake.folder.rglob("*")) == before


def test_other_files_are_out_of_reach(lake):
    lake.write("orders", orders(0, 6))
    secret = lake.pipeline.folder / "secret.csv"
    secret.write_text("a\n1\n")
    for path in (secret, "/etc/passwd",
                 f"{lake.folder}/Tables/../../secret.csv"):
        for sql in (f"FROM read_csv('{path}')", f"FROM '{path}'",
                    f"FROM glob('{path}')"):
            # What does not look like a file is the name of a table.
            assert re.search("no other files|there is no table",
                             lake.error(sql))


def test_a_table_that_is_not_there(lake):
    lake.write("orders", orders(0, 6))
    lake.write("sales/customers", orders(0, 1))
    assert lake.error("FROM ordres") == (
        'pipelinectl query: there is no table "ordres"; did you mean "orders"? '
        "there are orders, sales.customers\n")
    assert 'no table "orders" in that schema' in lake.error("FROM hr.orders")
    assert 'did you mean "orders"?' in lake.ctl("lake", "schema", "order").err
    assert "did you mean" in lake.ctl("lake", "lst").err


def test_no_lake_yet(lake):
    assert "there is no lake at " in lake.error("FROM orders")
    done = lake.ctl("lake", "ls")
    assert done.code == 1 and "the onelake-writer makes it" in done.err
    assert not lake.folder.exists()
    (lake.folder / "Tables").mkdir(parents=True)
    done = lake.ctl("lake", "ls")
    assert done.code == 0 and "has no table" in done.err
    assert "the lake has none yet" in lake.error("FROM orders")
    lake.pipeline.services.pop()
    del lake.pipeline.sections["onelake-writer"]
    lake.pipeline.services.append({"name": "eventhub-publisher"})
    assert 'lists no service "onelake-writer"' in lake.error("SELECT 1")


def test_wrong_command_lines(lake):
    for arguments in (["query"], ["query", "a", "b"], ["lake"],
                      ["lake", "history"], ["query", "--limit", "x", "FROM a"],
                      ["query", "--version", "orders", "FROM a"],
                      ["query", "--timeout", "5", "FROM a"],
                      ["query", "--no-such", "FROM a"], ["lake", "ls", "x"],
                      ["query", "--cache-size", "much", "FROM a"]):
        done = lake.ctl(*arguments)
        assert done.code == 2 and "--help` explains it" in done.err, done


ENDLESS = "SELECT count(*) FROM range(1000000000000)"


def test_a_statement_takes_no_longer_than_allowed(lake):
    lake.folder.mkdir()
    assert lake.error(ENDLESS, "--timeout", "200ms") == (
        "pipelinectl query: stopped after 200ms; --timeout allows it more\n")


def test_control_c_ends_a_statement(lake):
    lake.folder.mkdir()
    lake.pipeline.write_config()
    process = subprocess.Popen(
        [PIPELINECTL, "query", ENDLESS, "-c", lake.pipeline.config],
        env=lake.pipeline.env, stderr=subprocess.PIPE, text=True)
    # Its own folder tells that it has begun.
    wait_for(lambda: list(lake.pipeline.folder.glob("weft-lake-*")))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (1, "pipelinectl query: stopped\n")
    assert not list(lake.pipeline.folder.glob("weft-lake-*"))


# --- what there is --------------------------------------------------------------

def test_tables_are_listed(lake):
    lake.write("orders", orders(0, 6))
    lake.write("orders", orders(6, 4), mode="append")
    lake.write("sales/customers", orders(0, 1), partition_by=["customer"])
    (lake.folder / "Tables" / "no table").mkdir()
    listed = lake.good("lake", "ls", "--json").json
    assert listed["lake"] == f"file://{lake.folder}"
    for one, name in zip(listed["tables"], ("orders", "sales/customers"),
                         strict=True):
        delta = lake.delta(name)
        adds = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
        at = datetime.datetime.fromtimestamp(
            delta.history(1)[0]["timestamp"] / 1000, UTC)
        assert one == {
            "table": name.replace("/", "."), "path": f"Tables/{name}",
            "version": delta.version(), "files": len(adds),
            "rows": sum(a["num_records"] for a in adds),
            "bytes": sum(a["size_bytes"] for a in adds),
            "committed_at": shown(at)}
    lines = lake.good("lake", "ls").out.splitlines()
    assert lines[0].split() == ["TABLE", "VERSION", "ROWS", "FILES", "BYTES",
                                "COMMITTED"]
    assert lines[1].split()[:4] == ["orders", "1", "10", "2"]


def test_a_broken_table_is_told_and_others_shown(lake):
    lake.write("good", orders(0, 6))
    lake.write("broken", orders(0, 1))
    lake.write("broken", orders(1, 1), mode="append")
    log = lake.folder / "Tables" / "broken" / "_delta_log"
    os.unlink(log / f"{0:020}.json")
    done = lake.ctl("lake", "ls", "--json")
    assert done.code == 1
    broken, good = done.json["tables"]
    assert "version 0" in broken["error"]
    assert good["rows"] == 6
    done = lake.ctl("lake", "ls")
    assert done.code == 1 and "broken: " in done.err and "good" in done.out
    assert lake.query("SELECT count(*) AS n FROM good") == [{"n": 6}]
    assert "broken" in lake.error("FROM broken")
    done = lake.good("query", "SHOW TABLES")
    assert "good" in done.out and "1 table cannot be read" in done.err


def test_history_and_schema(lake):
    lake.write("typed", TYPED)
    for _ in range(3):
        lake.write("typed", TYPED, mode="append")
    delta = lake.delta("typed")
    commits = lake.good("lake", "history", "--json", "typed").json["commits"]
    assert [c["version"] for c in commits] == [3, 2, 1, 0]
    for ours, theirs in zip(commits, delta.history(), strict=True):
        assert ours["operation"] == theirs["operation"] == "WRITE"
        assert (ours["rows_added"], ours["files_added"]) == (3, 1)
    lines = lake.good("lake", "history", "-n", "2", "typed").out.splitlines()
    assert [line.split()[0] for line in lines] == ["VERSION", "3", "2"]
    told = lake.good("lake", "schema", "--json", "typed").json
    assert told["schema"] == json.loads(delta.schema().to_json())
    lines = lake.good("lake", "schema", "typed", "--version", "0").out
    assert "DECIMAL(38,18)" in lines and len(lines.splitlines()) == 13


# --- elsewhere ------------------------------------------------------------------

@pytest.fixture
def remote(pipeline, azurite):
    container = azurite.make_container(azurite.unique("query"))
    pipeline.sections["identities"] = {}
    lake = Lake(pipeline, f"{azurite.url}/{container}/some folder",
                azurite.storage_options(), f"az://{container}/some folder")
    lake.section["identity"] = "store"
    pipeline.sections["identities"] = {
        "store": {"type": "account_key", "key": azurite.key}}
    pipeline.env = {k: v for k, v in pipeline.env.items()
                    if not k.lower().endswith("_proxy")}
    return lake


def test_a_lake_in_the_cloud(remote, azurite):
    for i in range(3):
        remote.write("orders", orders(10 * i, 10),
                     mode="append" if i else "error")
    remote.write("sales/typed", TYPED)
    same(remote, "orders", "id")
    same(remote, "sales/typed", "id")
    kept = remote.pipeline.folder / "cache" / "weft" / "lake"
    copies = {p.name: p.stat().st_ino for p in kept.iterdir()}
    assert len(copies) == 4
    # They never change, so they are fetched once.
    same(remote, "orders", "id")
    assert {p.name: p.stat().st_ino for p in kept.iterdir()} == copies
    remote.delta("orders").create_checkpoint()
    same(remote, "orders", "id")
    assert [t["rows"] for t in remote.good("lake", "ls", "--json")
            .json["tables"]] == [30, 3]
    for copy in kept.iterdir():
        copy.unlink()
    assert "--cache-size" in remote.error("FROM orders", "--cache-size", "2KiB")


def test_a_wrong_key_is_told(remote):
    remote.write("orders", orders(0, 1))
    remote.pipeline.sections["identities"]["store"]["key"] = "d3Jvbmc="
    error = remote.error("FROM orders")
    assert "devstoreaccount1" in error and "d3Jvbmc" not in error
