"""Delta tables, judged by others: delta-rs and pyarrow read what we write, and
we read and go on with what delta-rs writes."""
import datetime
import decimal
import json
import os
import subprocess

import deltalake
import pyarrow
import pyarrow.compute as compute
import pyarrow.parquet as parquet
import pytest

from common import BUILD

DRIVER = BUILD / "tests" / "delta_driver"

# Columns of each type that a contract has, as a schemaString has them.
TYPES = {
    "text": "string", "small": "integer", "big": "long", "real": "double",
    "money": "decimal(38,18)", "flag": "boolean", "at": "timestamp",
    "day": "date",
    "list": {"type": "array", "elementType": "long", "containsNull": True},
    "inner": {"type": "struct", "fields": [
        {"name": "a", "type": "string", "nullable": True, "metadata": {}}]},
}


def schema_string(types):
    return json.dumps({"type": "struct", "fields": [
        {"name": n, "type": t, "nullable": True, "metadata": {}}
        for n, t in types.items()]})


def row_sql(i):
    """One row of TYPES that holds i everywhere, in DuckDB's words."""
    return (f"'t{i:04}' AS text, {i}::INTEGER AS small, "
            f"({2**53 + 1} + {i})::BIGINT AS big, {i}.5::DOUBLE AS real, "
            f"('{i}.123456789012345678')::DECIMAL(38,18) AS money, "
            f"{i % 2 == 0} AS flag, "
            f"TIMESTAMPTZ '1969-12-31 23:59:{i % 60:02}.000001+00' AS at, "
            f"DATE '2026-01-01' + {i} AS day, [{i}, NULL]::BIGINT[] AS list, "
            f"{{'a': 'i{i}'}} AS inner")


class Table:
    """One table of a lake in a folder."""

    options = None

    def __init__(self, root, name="Tables/t"):
        self.root, self.name = root, name
        self.path = str(root / name)

    def start(self, *args):
        return subprocess.Popen(
            [DRIVER, str(self.root), args[0], self.name, *map(str, args[1:])],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.environment())

    def environment(self):
        return None

    def run(self, *args):
        process = self.start(*args)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return out

    def fails(self, *args):
        process = self.start(*args)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, out
        return err

    def show(self, *version):
        return json.loads(self.run("show", *version))

    def append(self, first, count, types=None, sql=None):
        """Rows of i from `first` on, as one commit; its version."""
        sql = sql or " UNION ALL ".join(
            f"SELECT {row_sql(i)}" for i in range(first, first + count))
        out = self.run("append", schema_string(types or TYPES), f"({sql})")
        result, version, mine = out.split(maxsplit=2)
        assert (result, mine.strip()) == ("committed", "mine")
        return int(version)

    def judge(self, version=None):
        """The table as delta-rs has it."""
        return deltalake.DeltaTable(self.path, version=version,
                                    storage_options=self.options)

    def rows(self, version=None):
        return self.judge(version).to_pyarrow_table()

    def same_files(self):
        """Both see the same files and version."""
        ours, theirs = self.show(), self.judge()
        assert ours["version"] == theirs.version()
        assert sorted(str(self.root / f["name"]) for f in ours["files"]) == \
            sorted(theirs.file_uris())
        return ours


class BlobTable(Table):
    """The same in a container of the storage server, which our side may reach
    by way of a proxy."""

    def __init__(self, server, proxy=None):
        self.name = "Tables/t"
        self.server, self.container = server, server.unique("delta")
        server.make_container(self.container)
        self.path = f"az://{self.container}/a lake/{self.name}"
        self.options = server.storage_options()
        at = server.url_at(proxy.port) if proxy else server.url
        self.root = f"{at}/{self.container}/a%20lake"

    def environment(self):
        return {**{k: v for k, v in os.environ.items()
                   if not k.lower().endswith("_proxy")},
                "STORE_KEY": self.server.key}

    def same_files(self):
        ours, theirs = self.show(), self.judge()
        assert ours["version"] == theirs.version()
        assert sorted(f["name"].rpartition("/")[2] for f in ours["files"]) \
            == sorted(u.rpartition("/")[2] for u in theirs.file_uris())
        return ours


@pytest.fixture
def table(tmp_path):
    return Table(tmp_path)


@pytest.fixture
def blob_table(azurite):
    return BlobTable(azurite)


# --- what we write ---

def test_delta_rs_reads_each_type_to_the_last_digit(table):
    table.append(0, 3)
    rows = table.rows()
    assert rows.schema.field("money").type == pyarrow.decimal128(38, 18)
    assert rows.schema.field("at").type == pyarrow.timestamp("us", "UTC")
    assert rows.schema.field("small").type == pyarrow.int32()
    assert rows.schema.names == list(TYPES)
    row = rows.sort_by("small").to_pylist()[1]
    assert row == {
        "text": "t0001", "small": 1, "big": 2**53 + 2, "real": 1.5,
        "money": decimal.Decimal("1.123456789012345678"), "flag": False,
        "at": datetime.datetime(1969, 12, 31, 23, 59, 1, 1,
                                datetime.timezone.utc),
        "day": datetime.date(2026, 1, 2), "list": [1, None],
        "inner": {"a": "i1"}}


def test_a_filter_on_stats_finds_what_a_full_scan_finds(table):
    for first in range(0, 40, 10):
        table.append(first, 10)
    full = table.rows()
    dataset = table.judge().to_pyarrow_dataset()
    filters = {
        "text": "t0017", "small": 17, "big": 2**53 + 18, "real": 17.5,
        "money": decimal.Decimal("17.123456789012345678"),
        "at": datetime.datetime(1969, 12, 31, 23, 59, 17, 1,
                                datetime.timezone.utc),
        "day": datetime.date(2026, 1, 18)}
    for column, value in filters.items():
        condition = compute.field(column) == pyarrow.scalar(
            value, full.schema.field(column).type)
        found = dataset.to_table(filter=condition)
        assert found.num_rows == 1, column
        assert found.equals(full.filter(condition)), column
        # The stats are there, and leave most files out.
        assert len(list(dataset.get_fragments(filter=condition))) == 1, column


def test_time_travel_and_history(table):
    for version in range(4):
        assert table.append(version * 10, 10) == version
    for version in range(4):
        assert table.rows(version).num_rows == (version + 1) * 10
        assert len(table.show(version)["files"]) == version + 1
    theirs = table.judge().history()
    ours = [json.loads(line) for line in
            table.run("history", 100).splitlines()]
    assert [h["version"] for h in theirs] == [3, 2, 1, 0]
    for h, e in zip(theirs, ours):
        assert (e["version"], e["operation"], e["engine"], e["at_ms"]) == (
            h["version"], h["operation"], h["engineInfo"], h["timestamp"])
        assert (e["files_added"], e["records"]) == (1, 10)
    assert len(table.run("history", 2).splitlines()) == 2


def test_new_columns_are_null_in_older_rows(table):
    table.append(0, 1)
    table.append(1, 1, types=TYPES | {"later": "string"},
                 sql=f"SELECT {row_sql(1)}, 'x' AS later")
    rows = table.rows().sort_by("small")
    assert rows.column("later").to_pylist() == [None, "x"]
    assert "small" in table.fails("append", schema_string({"small": "string"}),
                                  "(SELECT 'x' AS small)")
    assert table.judge().version() == 1


def expect_checkpoint(path):
    """The protocol's schema, in the only encoding that all of Fabric reads."""
    file = parquet.ParquetFile(path)
    text = pyarrow.string()
    by_name = pyarrow.map_(text, text)
    schema = file.schema_arrow
    assert schema.names == ["txn", "add", "remove", "metaData", "protocol"]
    add = schema.field("add").type
    assert [(f.name, f.type) for f in add] == [
        ("path", text), ("partitionValues", by_name),
        ("size", pyarrow.int64()), ("modificationTime", pyarrow.int64()),
        ("dataChange", pyarrow.bool_()), ("tags", by_name), ("stats", text)]
    group = file.metadata.row_group(0)
    for i in range(group.num_columns):
        assert set(group.column(i).encodings) <= {"PLAIN", "RLE"}
        assert not group.column(i).has_dictionary_page
    adds = [r["add"] for r in file.read().to_pylist() if r["add"]]
    assert len(adds) == 12
    assert all(json.loads(a["stats"])["numRecords"] == 1 for a in adds)


def test_our_checkpoints_are_read(table):
    for i in range(12):
        table.append(i, 1)
    table.run("checkpoint")
    log = table.root / "Tables/t/_delta_log"
    for i in range(12):
        (log / f"{i:020}.json").unlink()
    expect_checkpoint(log / f"{11:020}.checkpoint.parquet")
    table.append(12, 1)
    table.same_files()
    assert sorted(table.rows().column("small").to_pylist()) == list(range(13))
    dataset = table.judge().to_pyarrow_dataset()
    condition = compute.field("small") == 7
    assert len(list(dataset.get_fragments(filter=condition))) == 1


# --- what delta-rs writes ---

def arrow(values):
    return pyarrow.table({"small": pyarrow.array(values, pyarrow.int32()),
                          "text": pyarrow.array([f"t{v}" for v in values])})


SMALL = {"small": "integer", "text": "string"}


def small_sql(i):
    return f"SELECT {i}::INTEGER AS small, 't{i}' AS text"


def test_a_table_of_delta_rs_is_read_and_appended_to(table):
    deltalake.write_deltalake(table.path, arrow([1, 2]))
    deltalake.write_deltalake(table.path, arrow([3]), mode="append")
    table.same_files()
    assert table.append(4, 1, SMALL, small_sql(4)) == 2
    assert sorted(table.rows().column("small").to_pylist()) == [1, 2, 3, 4]


def test_a_table_goes_on_after_append_optimize_and_checkpoint(table):
    for i in range(5):
        table.append(i, 1, SMALL, small_sql(i))
    deltalake.write_deltalake(table.path, arrow([100]), mode="append")
    table.append(5, 1, SMALL, small_sql(5))
    assert table.judge().optimize.compact()["numFilesRemoved"] == 7
    assert len(table.same_files()["files"]) == 1
    table.append(6, 1, SMALL, small_sql(6))
    table.judge().create_checkpoint()
    table.same_files()
    table.append(7, 1, SMALL, small_sql(7))
    table.judge().delete("small = 7")
    table.same_files()
    # What it removed is in our checkpoint, for whoever vacuums.
    table.run("checkpoint")
    table.append(8, 1, SMALL, small_sql(8))
    table.same_files()
    assert sorted(table.rows().column("small").to_pylist()) == \
        [0, 1, 2, 3, 4, 5, 6, 8, 100]
    dead = table.judge().vacuum(retention_hours=0, dry_run=True,
                                enforce_retention_duration=False)
    assert len(dead) == 8


NAMES = ["plain", "with space", "per%cent", "a/b", "ü+=&?#", "quo'te\"",
         "%2F", "a:b", "2026-01-02 03:04:05"]


def test_partitions_with_special_characters_are_read(table):
    column = "p q%ü"
    data = pyarrow.table({column: pyarrow.array(NAMES + [None, ""]),
                          "n": list(range(len(NAMES) + 2))})
    deltalake.write_deltalake(table.path, data, partition_by=[column])
    files = table.show()["files"]
    assert {f["partition"][column] for f in files} == {*NAMES, None}
    for f in files:
        assert (table.root / f["name"]).is_file(), f["name"]
    deltalake.DeltaTable(table.path).create_checkpoint()
    assert {f["partition"][column] for f in table.show()["files"]} == \
        {*NAMES, None}
    assert "is partitioned by p q%ü" in table.fails(
        "append", schema_string({"n": "long"}), "(SELECT 1::BIGINT AS n)")


def test_column_names_with_special_characters_are_appended_to(table):
    data = pyarrow.table({"a b": [1], "ü%\"'": ["x"], "c.d": [True]})
    deltalake.write_deltalake(table.path, data)
    table.append(0, 1, {"a b": "long", "ü%\"'": "string", "c.d": "boolean"},
                 "SELECT 2::BIGINT AS \"a b\", 'y' AS \"ü%\"\"'\", "
                 "false AS \"c.d\"")
    assert table.rows().sort_by("a b").to_pylist() == [
        {"a b": 1, "ü%\"'": "x", "c.d": True},
        {"a b": 2, "ü%\"'": "y", "c.d": False}]


def test_columns_of_types_that_we_do_not_write_stay_as_they_are(table):
    data = pyarrow.table({"small": pyarrow.array([1], pyarrow.int32()),
                          "text": ["t1"], "void": pyarrow.nulls(1),
                          "byte": pyarrow.array([1], pyarrow.int8()),
                          "float": pyarrow.array([0.5], pyarrow.float32()),
                          "bytes": [b"\x00\xff"]})
    deltalake.write_deltalake(table.path, data)
    before = table.judge().schema().to_json()
    table.append(2, 1, SMALL | {"new": "long"},
                 small_sql(2) + ", 7::BIGINT AS new")
    after = json.loads(table.judge().schema().to_json())["fields"]
    assert after[:-1] == json.loads(before)["fields"]
    rows = table.rows().sort_by("small").to_pylist()
    assert rows[0]["bytes"] == b"\x00\xff" and rows[0]["new"] is None
    assert rows[1] == {"small": 2, "text": "t2", "void": None, "byte": None,
                       "float": None, "bytes": None, "new": 7}


# --- many at once ---

def expect_race(table, writers, each):
    """Every commit of all writers lands once, at a version of its own."""
    racers = [table.start("race", f"app{i}", each) for i in range(writers)]
    lines = []
    for r in racers:
        out, err = r.communicate(timeout=110)
        assert r.returncode == 0, err
        lines += out.splitlines()
    versions = sorted(int(line.split()[1]) for line in lines)
    assert versions == list(range(writers * each))
    assert all(line.startswith("committed") for line in lines)
    judge = table.judge()
    assert judge.version() == writers * each - 1
    names = sorted(u.rpartition("/")[2] for u in judge.file_uris())
    assert names == sorted(f"app{i}-{n}.parquet" for i in range(writers)
                           for n in range(each))
    table.same_files()


def test_64_processes_that_commit_at_once_lose_nothing(table):
    expect_race(table, 64, 5)


def test_64_processes_that_commit_at_once_lose_nothing_in_azure(blob_table):
    expect_race(blob_table, 64, 1)


# --- in Azure ---

def test_a_table_in_azure_is_shared_with_delta_rs(blob_table):
    table = blob_table
    for i in range(3):
        table.append(i, 1, SMALL, small_sql(i))
    deltalake.write_deltalake(table.path, arrow([3]), mode="append",
                              storage_options=table.options)
    table.append(4, 1, SMALL, small_sql(4))
    table.run("checkpoint")
    table.append(5, 1, SMALL, small_sql(5))
    assert len(table.same_files()["files"]) == 6
    table.judge().optimize.compact()
    table.judge().create_checkpoint()
    assert len(table.same_files()["files"]) == 1
    table.append(6, 1, SMALL, small_sql(6))
    assert sorted(table.rows().column("small").to_pylist()) == list(range(7))
    assert table.rows(0).num_rows == 1


LAST = r"_delta_log/0+1\.json"


@pytest.mark.parametrize("trouble", [
    lambda front: front.lose_answer(method="PUT", path=LAST),
    lambda front: front.reset_before(method="PUT", path=LAST),
    lambda front: front.answer(503, times=2, method="PUT", path=LAST),
    lambda front: front.answer(500, times=2, method="PUT"),
    lambda front: front.lose_answer(times=3)],
    ids=["answer lost", "request lost", "busy", "failing", "many lost"])
def test_trouble_around_a_commit_makes_no_second_one(azurite, proxy, trouble):
    front = proxy(azurite.port)
    table = BlobTable(azurite, front)
    table.append(0, 1, SMALL, small_sql(0))
    trouble(front)
    out = table.run("append", schema_string(SMALL), f"({small_sql(1)})",
                    "app", -1, 7)
    assert out.startswith("committed 1 mine")
    assert sorted(table.rows().column("small").to_pylist()) == [0, 1]
    # And again, as after a crash: it is known to be there.
    out = table.run("append", schema_string(SMALL), f"({small_sql(1)})",
                    "app", -1, 7)
    assert out.startswith("already 1 not mine")
    assert table.rows().num_rows == 2
