"""Loss of power: the rules by which states are built, and a run of each
subject over them."""
import os
import pathlib
import random
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("WEFT_BUILD", "build")).absolute()
sys.path.insert(0, str(HERE))
import disk  # noqa: E402

R = disk.Record


def states(*records, count=300):
    """What many losses of power behind these records leave."""
    d, rng = disk.Disk(), random.Random(1)
    for r in records:
        d.take(r)
    found = []
    for i in range(count):
        state = d.state(disk.WAYS[i % len(disk.WAYS)], rng)
        found.append({k: bytes(v) if v is not None else None
                      for k, v in state.items()})
    return found


def test_what_was_synced_is_there():
    found = states(R(disk.CREATE, 7, name="a"),
                   R(disk.WRITE, 7, 0, data=b"x" * 2000),
                   R(disk.SYNC, 7, 2), R(disk.SYNC_DIR, a=3, name=""))
    assert all(s == {"a": b"x" * 2000} for s in found)


def test_a_name_needs_its_directory_and_bytes_need_their_file():
    found = states(R(disk.CREATE, 7, name="a"),
                   R(disk.WRITE, 7, 0, data=b"x" * 2000), R(disk.SYNC, 7, 2))
    assert {} in found and {"a": b"x" * 2000} in found and len(found[0]) == 0
    found = states(R(disk.CREATE, 7, name="a"),
                   R(disk.WRITE, 7, 0, data=b"x" * 2000),
                   R(disk.SYNC_DIR, a=2, name=""))
    assert all("a" in s for s in found)
    assert {"a": b""} in found and {"a": b"x" * 2000} in found
    assert {"a": bytes(2000)} in found  # long, without its bytes


def test_writes_are_torn_at_sectors():
    found = states(R(disk.CREATE, 7, name="a"),
                   R(disk.WRITE, 7, 0, data=b"o" * 2048), R(disk.SYNC, 7, 2),
                   R(disk.SYNC_DIR, a=3, name=""),
                   R(disk.WRITE, 7, 100, data=b"n" * 1500))
    seen = {tuple(s["a"][i] for i in (99, 100, 511, 512, 1024, 1599, 1600))
            for s in found}
    old, new = ord("o"), ord("n")
    assert all(s[0] == old and s[6] == old for s in seen)
    assert all(s[1] == s[2] for s in seen)  # of one sector
    assert {s[2:5] for s in seen} == {
        (a, b, c) for a in (old, new) for b in (old, new) for c in (old, new)}


def test_a_sync_covers_what_was_before_its_begin():
    found = states(R(disk.CREATE, 7, name="a"), R(disk.SYNC_DIR, a=1, name=""),
                   R(disk.WRITE, 7, 0, data=b"x"),
                   R(disk.WRITE, 7, 1, data=b"y"), R(disk.SYNC, 7, 3))
    assert all(s["a"][:1] == b"x" for s in found)
    assert {s["a"] for s in found} >= {b"x", b"xy"}


def test_a_failed_sync_is_not_made_good_by_another():
    found = states(R(disk.CREATE, 7, name="a"), R(disk.SYNC_DIR, a=1, name=""),
                   R(disk.WRITE, 7, 0, data=b"x"), R(disk.SYNC, 7, 3, 5),
                   R(disk.WRITE, 7, 1000, data=b"y"), R(disk.SYNC, 7, 5))
    assert all(s["a"][1000:] == b"y" for s in found)
    assert {s["a"][:1] for s in found} == {b"x", b"\0"}


def test_a_rename_is_whole_and_replaces():
    found = states(R(disk.CREATE, 7, name="a"), R(disk.SYNC_DIR, a=1, name=""),
                   R(disk.CREATE, 8, name="b"),
                   R(disk.WRITE, 8, 0, data=b"new"), R(disk.SYNC, 8, 4),
                   R(disk.RENAME, name="b", more="a"))
    assert sorted({tuple(sorted(s.items())) for s in found}) == [
        (("a", b""),), (("a", b""), ("b", b"new")), (("a", b"new"),)]


def test_names_that_depend_on_each_other_keep_their_order():
    found = states(R(disk.MKDIR, name="d"), R(disk.CREATE, 7, name="d/a"),
                   R(disk.RENAME, name="d/a", more="d/b"),
                   R(disk.CREATE, 8, name="c"))
    kinds = {tuple(sorted(s)) for s in found}
    assert kinds == {(), ("d",), ("d", "d/a"), ("d", "d/b"), ("c",),
                     ("c", "d"), ("c", "d", "d/a"), ("c", "d", "d/b")}


def run(*arguments):
    done = subprocess.run([sys.executable, HERE / "run", "--build", BUILD,
                           *arguments], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout


def test_nothing_acknowledged_is_lost():
    run("--cuts", "200")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_acknowledged_is_lost_in_many_cuts():
    run("--cuts", "2000")
