"""Mapped events as Parquet, judged by pyarrow: each value, to its last digit,
is what JSON said, and statistics bound what is in the file."""
import datetime
import decimal
import json
import random
import re
import subprocess

import pyarrow
import pyarrow.parquet as parquet
import pytest

from common import BUILD

DRIVER = BUILD / "tests" / "lines_to_parquet"

CONTRACT = """
name = "t"; version = 1; doc = "All types.";
match = { event_type = "t"; };
identity = ["id"]; unknown_fields = "drop";
fields = (
  { name = "id"; type = "string"; },
  { name = "text"; type = "string"; },
  { name = "small"; type = "int"; },
  { name = "big"; type = "long"; },
  { name = "ratio"; type = "double"; },
  { name = "tiny"; type = "decimal(4,2)"; },
  { name = "price"; type = "decimal(9,2)"; },
  { name = "money"; type = "decimal(18,6)"; },
  { name = "huge"; type = "decimal(38,18)"; },
  { name = "whole"; type = "decimal(38,0)"; },
  { name = "truth"; type = "boolean"; },
  { name = "at"; type = "datetime"; },
  { name = "day"; type = "date"; },
  { name = "uid"; type = "guid"; },
  { name = "more"; type = "dynamic"; },
  { name = "list"; type = "array(decimal(9,2))"; },
  { name = "texts"; type = "array(string)"; },
  { name = "part"; type = "struct"; fields = (
    { name = "a"; type = "string"; },
    { name = "n"; type = "struct"; fields = (
      { name = "b"; type = "long"; } ); } ); },
  { name = "items"; type = "array(struct)"; fields = (
    { name = "sku"; type = "string"; },
    { name = "tags"; type = "array(string)"; },
    { name = "raw"; type = "dynamic"; } ); }
);
"""


class Raw(str):
    """Text that stands in JSON as it is."""


def line_of(event):
    """The event on one line; Raw members as they are."""
    return "{" + ",".join(
        json.dumps(k) + ":" +
        (v if isinstance(v, Raw) else json.dumps(v, ensure_ascii=False))
        for k, v in event.items()) + "}"


def write(tmp_path, events, codec="zstd"):
    """(What the driver says, the table that pyarrow reads) of events."""
    contracts = tmp_path / "contracts"
    contracts.mkdir(exist_ok=True)
    (contracts / "t.conf").write_text(CONTRACT)
    lines = tmp_path / "lines"
    lines.write_text("".join(line_of(e) + "\n" for e in events))
    file = tmp_path / f"{codec}.parquet"
    done = subprocess.run([DRIVER, contracts, "t", lines, file, codec],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout, parse_float=decimal.Decimal)
    assert said["bytes"] == file.stat().st_size
    table = parquet.read_table(file)
    assert said["rows"] == table.num_rows == len(events)
    return said, table, file


UTC = datetime.timezone.utc
EDGES = [
    {},
    {"id": None, "text": None, "list": None, "part": None, "items": None},
    {"text": "", "texts": [], "list": [], "part": {}, "items": []},
    {"text": "twelve bytes", "more": Raw('"a\\u00e9"')},
    {"text": "thirteen byte", "more": Raw("2.50")},
    {"text": "\U0001f600é漢\u2028\"\\\n\t", "more": Raw('{"b" : 2.50, "a":1}')},
    {"text": Raw('"\\ud83d\\ude00\\u00e9"'), "more": Raw("[1e400,-0]")},
    {"text": "x" * 30000, "more": Raw("false")},
    {"small": 2**31 - 1, "big": 2**63 - 1, "ratio": Raw("1e308")},
    {"small": -2**31, "big": -2**63, "ratio": Raw("5e-324")},
    {"big": 2**53 + 1, "ratio": Raw("0.30000000000000004")},
    {"tiny": Raw("-99.99"), "price": Raw("9999999.99"),
     "money": Raw("999999999999.999999"),
     "huge": Raw('"99999999999999999999.999999999999999999"'),
     "whole": Raw("-99999999999999999999999999999999999999")},
    {"tiny": Raw("1e1"), "price": Raw("-0.01"), "money": Raw("-0.000001"),
     "huge": Raw("-0.000000000000000001"), "whole": Raw("1e37")},
    {"money": Raw("12345678901.123456"), "huge": Raw('"1.10"'), "price": 7},
    {"truth": True, "at": "1969-12-31T23:59:59.999999Z", "day": "1969-12-31"},
    {"truth": False, "at": "1900-01-01T00:00:00Z", "day": "1900-01-01"},
    {"at": "9999-12-31T23:59:59.999999Z", "day": "9999-12-31"},
    {"at": "2026-01-01T01:00:00.0000019+01:00", "day": "2024-02-29"},
    {"uid": "0B1C2D3E-4f50-4162-8384-95a6b7c8d9ea"},
    {"list": [1.5, None, -2], "texts": ["a", None, "", "long enough to be out"]},
    {"part": {"a": None, "n": {"b": -1}}}, {"part": {"n": None}},
    {"items": [{"sku": "s", "tags": ["x", None], "raw": {"k": [1, None]}},
               None, {"tags": []}, {"tags": None, "raw": None}, {}]},
]


def plain(value):
    """A value that JSON reads, as Python sees it; None when there is none."""
    if not isinstance(value, Raw):
        return value
    return json.loads(value, parse_float=decimal.Decimal,
                      parse_int=decimal.Decimal)


def expect(event, name):
    """What pyarrow must read of a field."""
    sent = event.get(name)
    value = plain(sent)
    if value is None:
        return None
    if name in ("tiny", "price", "money", "huge", "whole"):
        return decimal.Decimal(str(value))
    if name == "ratio":
        return float(value)
    if name == "more":
        return str(sent) if isinstance(sent, Raw) else json.dumps(sent)
    if name == "at":
        return datetime.datetime.fromisoformat(
            re.sub(r"(\.\d{6})\d+", r"\1", value).replace("Z", "+00:00"))
    if name == "day":
        return datetime.date.fromisoformat(value)
    if name == "list":
        return [None if v is None else decimal.Decimal(str(v)) for v in value]
    if name == "part":
        n = value.get("n")
        return {"a": value.get("a"), "n": n and {"b": n.get("b")}}
    if name == "items":
        return [v if v is None else {
            "sku": v.get("sku"), "tags": v.get("tags"),
            "raw": None if v.get("raw") is None else json.dumps(v["raw"])}
            for v in value]
    return value


def check_values(events, table):
    for name in table.schema.names:
        column = table.column(name).to_pylist()
        for i, event in enumerate(events):
            assert column[i] == expect(event, name), (name, line_of(event))
            if name in ("money", "huge") and column[i] is not None:
                scale = table.schema.field(name).type.scale
                assert column[i].as_tuple().exponent == -scale


@pytest.mark.parametrize("codec", ["zstd", "snappy", "uncompressed"])
def test_values_are_what_was_sent(tmp_path, codec):
    _, table, file = write(tmp_path, EDGES, codec)
    check_values(EDGES, table)
    chunk = parquet.ParquetFile(file).metadata.row_group(0).column(0)
    assert chunk.compression == codec.upper()


def test_types_are_those_that_delta_wants(tmp_path):
    said, table, file = write(tmp_path, EDGES)
    types = {f.name: f.type for f in table.schema}
    assert types["at"] == pyarrow.timestamp("us", tz="UTC")
    assert types["day"] == pyarrow.date32()
    assert types["small"] == pyarrow.int32()
    assert types["big"] == pyarrow.int64()
    assert types["tiny"] == pyarrow.decimal128(4, 2)
    assert types["huge"] == pyarrow.decimal128(38, 18)
    assert types["truth"] == pyarrow.bool_()
    assert types["uid"] == types["more"] == pyarrow.string()
    assert types["list"] == pyarrow.list_(
        pyarrow.field("element", pyarrow.decimal128(9, 2)))
    schema = parquet.ParquetFile(file).schema
    logical = schema.column(schema.names.index("at")).logical_type
    assert json.loads(logical.to_json()) == {
        "Type": "Timestamp", "isAdjustedToUTC": True,
        "timeUnit": "microseconds", "is_from_converted_type": False,
        "force_set_converted_type": False}
    assert [f["name"] for f in said["schema"]["fields"]] == table.schema.names
    assert all(f["nullable"] for f in said["schema"]["fields"])


def instant(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_statistics_bound_the_values(tmp_path):
    said, table, _ = write(tmp_path, EDGES)
    stats = said["stats"]
    assert stats["numRecords"] == len(EDGES)
    for name in ("id", "text", "small", "huge", "truth", "at", "more"):
        assert stats["nullCount"][name] == table.column(name).null_count
    for name in ("small", "big", "tiny", "price", "money", "huge", "whole"):
        values = [v for v in table.column(name).to_pylist() if v is not None]
        assert stats["minValues"][name] == min(values)
        assert stats["maxValues"][name] == max(values)
    assert stats["minValues"]["at"] == "1900-01-01T00:00:00.000Z"
    # The next millisecond would be in the year 10000.
    assert "at" not in stats["maxValues"]
    assert stats["maxValues"]["day"] == "9999-12-31"
    assert stats["minValues"]["truth"] is False
    assert stats["maxValues"]["truth"] is True
    assert stats["minValues"]["part"] == {"n": {"b": -1}}
    for name in ("list", "texts", "items"):
        assert not any(name in stats[k] for k in stats if k != "numRecords")


def random_event(rng):
    """An event of random values of many lengths, some of them missing."""
    digits = rng.randrange(1, 39)
    huge = decimal.Decimal(rng.randrange(-10**digits, 10**digits)).scaleb(-18)
    money = decimal.Decimal(rng.randrange(-10**rng.randrange(1, 19),
                                          10**18)).scaleb(-6)
    event = {
        "text": "".join(rng.choice("aé漢\U0001f600\"\\ ")
                        for _ in range(rng.randrange(40))),
        "big": rng.randrange(-2**63, 2**63) >> rng.randrange(63),
        "ratio": Raw(repr(rng.uniform(-1, 1) * 10.0**rng.randrange(-30, 30))),
        "huge": Raw(rng.choice(['{:f}', '"{:f}"', '{:E}']).format(huge)),
        "money": Raw(format(money, "f")),
        "at": (datetime.datetime(1900, 1, 1, tzinfo=UTC) + datetime.timedelta(
            microseconds=rng.randrange(6 * 10**15))).isoformat(),
        "texts": ["y" * rng.randrange(20) for _ in range(rng.randrange(6))],
        "more": {"k": ["v" * rng.randrange(30)]},
    }
    return {k: v for k, v in event.items() if rng.random() < 0.8}


def test_many_random_events(tmp_path):
    rng = random.Random(7)
    events = [random_event(rng) for _ in range(6000)]
    said, table, _ = write(tmp_path, events)
    check_values(events, table)
    for name in ("text", "more"):
        values = [v.encode() for v in table.column(name).to_pylist()
                  if v is not None]
        low = said["stats"]["minValues"][name]
        high = said["stats"]["maxValues"][name]
        assert low.encode() <= min(values) and max(values) <= high.encode()
        assert len(low) <= 32 and len(high) <= 32
    at = [v for v in table.column("at").to_pylist() if v is not None]
    low = instant(said["stats"]["minValues"]["at"])
    high = instant(said["stats"]["maxValues"]["at"])
    assert datetime.timedelta(0) <= min(at) - low < datetime.timedelta(
        milliseconds=1)
    assert datetime.timedelta(0) <= high - max(at) < datetime.timedelta(
        milliseconds=1)
    assert said["stats"]["maxValues"]["huge"] == max(
        v for v in table.column("huge").to_pylist() if v is not None)
