"""Judges what a loss of power left of a Delta table, with delta-rs: for each
line "FOLDER PROMISES" of its input it reads the table, lets power_lake go on
with it, and reads it again. Answers as `power_lake check` does.

usage: check_lake.py POWER_LAKE
"""
import os
import subprocess
import sys

import deltalake

TABLE = "lake/Tables/numbers"


def rows(table, path):
    """How many rows there are, which must be the numbers from 0 on, each once,
    in files that are there whole."""
    files = table.get_add_actions(flatten=True)
    names = files.column("path").to_pylist()
    sizes = files.column("size_bytes").to_pylist()
    for name, size in zip(names, sizes):
        there = os.path.getsize(os.path.join(path, name))
        assert there == size, f"{name} has {there} bytes of {size}"
    ids = sorted(table.to_pyarrow_table(columns=["id"])
                 .column("id").to_pylist())
    assert ids == list(range(len(ids))), "rows are missing or there twice"
    return len(ids)


def read_promises(path):
    commits, intended = {}, 0
    with open(path, encoding="utf-8") as f:
        for line in f:
            word, *values = line.split()
            if word == "intend":
                intended = int(values[0])
            else:
                commits[int(values[0])] = int(values[1])
    return commits, intended


def judge(folder, promises):
    commits, intended = read_promises(promises)
    path = os.path.join(folder, TABLE)
    if not commits and not deltalake.DeltaTable.is_deltatable(path):
        return 0
    table = deltalake.DeltaTable(path)
    newest = table.version()
    assert newest >= max(commits, default=0), f"only {newest} versions"
    count = rows(table, path)
    assert max(commits.values(), default=0) <= count <= intended, \
        f"{count} rows, {intended} were to be"
    # The oldest is always looked at, and the last that was promised.
    for version in {min(commits, default=0), max(commits, default=0)}:
        table.load_as_version(version)
        there = rows(table, path)
        assert there == commits.get(version, there), \
            f"version {version} has {there} rows, not {commits[version]}"
    return count


def main():
    with subprocess.Popen([sys.argv[1], "check"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as ours:
        for line in sys.stdin:
            folder, promises = line.rstrip("\n").split(" ", 1)
            try:
                before = judge(folder, promises)
                ours.stdin.write(line)
                ours.stdin.flush()
                answer = ours.stdout.readline().strip()
                if answer == "ok":
                    path = os.path.join(folder, TABLE)
                    after = rows(deltalake.DeltaTable(path), path)
                    assert after == before + 10, \
                        f"{before} rows became {after}"
            # Whatever a reader has against the table is the answer.
            except Exception as e:
                answer = "bad " + " ".join(f"{type(e).__name__}: {e}".split())
            print(answer, flush=True)


if __name__ == "__main__":
    main()
