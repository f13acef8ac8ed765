"""What a loss of power leaves of a folder, from the trace of its changes that
tests/preload/recorddisk.c wrote.

The rules, which promise no more than ext4 and xfs keep:

- What a file holds is durable once an fsync or fdatasync of it succeeded that
  began after the write; its length with it. Its name is not.
- A name (create, rename, link, unlink, mkdir) is durable once an fsync of a
  directory that holds it succeeded that began after the change. A rename is in
  both directories, and reaches the disk whole or not at all; so does each
  change of names, after all earlier changes of the same names and files.
- Everything else may or may not be there. Writes come in any order and are
  torn at sectors of 512 bytes; a file may be long without its bytes, which then
  are zeros; a truncation may be missing though later writes are there, and a
  name though its file's bytes are not, or the other way round.
- After a sync that failed the kernel calls its pages clean: what it covered may
  be there or not, for ever, and no later sync changes that.

ext4 and xfs write names in the order of their changes (a journal); most states
built here keep that order, some only that of changes which depend on each
other.
"""
import os
import struct

CREATE, WRITE, TRUNCATE, ALLOCATE, RENAME, LINK, UNLINK, MKDIR, RMDIR, SYNC, \
    SYNC_DIR, SYNC_ALL, PROMISE, BEGIN = range(1, 15)
SECTOR = 512
HEAD = struct.Struct("<IIQQQIIQ")

OPEN, DURABLE, LOST = range(3)  # LOST: a sync of it failed


class Record:
    __slots__ = ("kind", "ino", "a", "b", "name", "more", "data")

    def __init__(self, kind, ino=0, a=0, b=0, name="", more="", data=b""):
        self.kind, self.ino, self.a, self.b = kind, ino, a, b
        self.name, self.more, self.data = name, more, data


def read_trace(path):
    """All records of a trace file. A process that was killed may have left half
    a record at its end, which is not one."""
    with open(path, "rb") as f:
        raw = f.read()
    records, at = [], 0
    while at + HEAD.size <= len(raw):
        kind, _, ino, a, b, n, m, size = HEAD.unpack_from(raw, at)
        at += HEAD.size
        if at + n + m + size > len(raw):
            break
        records.append(Record(kind, ino, a, b, raw[at:at + n].decode(),
                              raw[at + n:at + n + m].decode(),
                              raw[at + n + m:at + n + m + size]))
        at += n + m + size
    return records


class Change:
    """One change of a file's bytes, or of names."""
    __slots__ = ("index", "kind", "fate", "offset", "data", "names", "dirs",
                 "needs")

    def __init__(self, index, kind):
        self.index, self.kind, self.fate = index, kind, OPEN


class Node:
    """A file or a directory, whatever its names."""

    def __init__(self, is_dir=False):
        self.is_dir = is_dir
        self.base = bytearray()  # what is durable of its changes so far
        self.changes = []        # in order, the first one not durable

    def fold(self):
        while self.changes and self.changes[0].fate == DURABLE:
            put(self.base, self.changes.pop(0), None)


def fill(data, size):
    if len(data) < size:
        data.extend(bytes(size - len(data)))


def put(data, change, keep):
    """Applies a change to a file's bytes; keep(n) says which of its n sectors
    are there (None: all)."""
    if change.kind == TRUNCATE:
        if len(data) > change.offset:
            del data[change.offset:]
        fill(data, change.offset)
        return
    if change.kind == ALLOCATE:
        fill(data, change.offset)
        return
    begin, end = change.offset, change.offset + len(change.data)
    if keep is None:
        fill(data, end)
        data[begin:end] = change.data
        return
    first = begin // SECTOR
    kept = keep((end + SECTOR - 1) // SECTOR - first)
    for i, there in enumerate(kept):
        lo = max(begin, (first + i) * SECTOR)
        hi = min(end, (first + i + 1) * SECTOR)
        if there:
            fill(data, hi)
            data[lo:hi] = change.data[lo - begin:hi - begin]


def folder_of(path):
    return path.rpartition("/")[0]


class Disk:
    """Takes the records of a trace one by one; state() at any time says what a
    loss of power may leave at that moment."""

    def __init__(self):
        self.count = 0
        self.names = {"": Node(True)}  # as the running system sees it
        self.by_ino = {}
        self.base = {"": self.names[""]}  # names that are durable
        self.changes = []  # of names, in order, the first one not durable
        self.last = {}     # name or node -> its last change
        self.promises = []

    # -- changes --

    def rename_all(self, kind, names):
        """One change that sets each of `names` to a node or to None."""
        c = Change(self.count, kind)
        c.names = names
        c.dirs = {folder_of(p) for p in names}
        keys = set(names) | {n for n in names.values() if n}
        keys |= {self.names[p] for p in names if p in self.names}
        keys |= {self.names[d] for d in c.dirs if d in self.names}
        c.needs = {self.last[k] for k in keys if k in self.last}
        # Of a directory only its own making matters to what is in it.
        for key in set(names) | {n for n in names.values() if n}:
            self.last[key] = c
        for p, node in names.items():
            if node:
                self.names[p] = node
            else:
                self.names.pop(p, None)
        self.changes.append(c)

    def write(self, r):
        node = self.by_ino.get(r.ino)
        if not node:
            return
        c = Change(self.count, r.kind)
        c.offset = r.a + (r.b if r.kind == ALLOCATE else 0)
        c.data = r.data
        node.changes.append(c)

    def sync(self, changes, r):
        for c in changes:
            if c.fate == OPEN and c.index < r.a:
                c.fate = LOST if r.b else DURABLE

    def settle(self):
        """What a durable change of names needs is durable too."""
        for c in reversed(self.changes):
            if c.fate == DURABLE:
                for needed in c.needs:
                    needed.fate = DURABLE
        while self.changes and self.changes[0].fate == DURABLE:
            c = self.changes.pop(0)
            c.needs = ()
            set_names(self.base, c.names)

    def take(self, r):
        k = r.kind
        if k == CREATE:
            node = self.by_ino[r.ino] = Node()
            self.rename_all(k, {r.name: node})
        elif k in (WRITE, TRUNCATE, ALLOCATE):
            self.write(r)
        elif k == RENAME:
            if self.names.get(r.more) is not self.names[r.name]:
                self.rename_all(k, {r.name: None,
                                    r.more: self.names[r.name]})
        elif k == LINK:
            self.rename_all(k, {r.more: self.names[r.name]})
        elif k in (UNLINK, RMDIR):
            self.rename_all(k, {r.name: None})
        elif k == MKDIR:
            self.rename_all(k, {r.name: Node(True)})
        elif k == SYNC and r.ino in self.by_ino:
            node = self.by_ino[r.ino]
            self.sync(node.changes, r)
            node.fold()
        elif k == SYNC_DIR:
            self.sync([c for c in self.changes if r.name in c.dirs], r)
            self.settle()
        elif k in (SYNC_ALL, BEGIN):
            everything = Record(k, a=r.a or self.count, b=r.b)
            for node in set(self.by_ino.values()):
                self.sync(node.changes, everything)
                node.fold()
            self.sync(self.changes, everything)
            self.settle()
        elif k == PROMISE:
            self.promises.append(r.data.decode())
        self.count += 1

    # -- states --

    def chosen_names(self, way, random):
        open_ = [c for c in self.changes if c.fate != DURABLE]
        if way == "nothing":
            return set()
        if way == "everything":
            return set(open_)
        if way == "journal" and open_:
            end = random.choice(open_).index + random.randrange(2)
            return {c for c in open_ if c.index < end}
        chosen = set()
        for c in open_:
            needs = [n for n in c.needs if n.fate != DURABLE]
            if random.random() < .6 and all(n in chosen for n in needs):
                chosen.add(c)
        return chosen

    def bytes_of(self, node, way, random):
        data = bytearray(node.base)
        torn = random.choice((.1, .5, .9, 1))
        for c in node.changes:
            if c.fate == DURABLE:
                put(data, c, None)
                continue
            if way == "everything" and c.fate == OPEN:
                put(data, c, None)
                continue
            if way == "nothing" or random.random() < .25:
                continue
            put(data, c, lambda n: sectors(n, torn, random))
            if c.kind == WRITE and random.random() < .15:
                fill(data, c.offset + len(c.data))
        return data

    def state(self, way, random):
        """{path: bytes, or None for a directory}, as after a loss of power.
        `way` is one of WAYS."""
        names = dict(self.base)
        chosen = self.chosen_names(way, random)
        for c in self.changes:
            if c.fate == DURABLE or c in chosen:
                set_names(names, c.names)
        out, made = {}, {}
        for path in sorted(names):
            if not path or folder_of(path) and out.get(folder_of(path), b""):
                continue
            if folder_of(path) and folder_of(path) not in out:
                continue
            node = names[path]
            if node.is_dir:
                out[path] = None
                continue
            # All names of a file have the same bytes.
            if node not in made:
                made[node] = self.bytes_of(node, way, random)
            out[path] = made[node]
        return out


WAYS = ("nothing", "everything", "journal", "any", "journal", "any")


def sectors(n, torn, random):
    """Which of n sectors are there: all, the first few, or any."""
    how = random.randrange(4)
    if how == 0 or torn == 1:
        return [True] * n
    if how == 1:
        end = random.randrange(n + 1)
        return [i < end for i in range(n)]
    return [random.random() < torn for _ in range(n)]


def set_names(names, change):
    for path, node in change.items():
        if node:
            names[path] = node
        else:
            names.pop(path, None)


def write_state(state, folder):
    """Makes the files of a state in a folder that is not there."""
    os.mkdir(folder)
    names = {}
    for path, data in state.items():
        full = os.path.join(folder, path)
        if data is None:
            os.mkdir(full)
        elif id(data) in names:
            os.link(names[id(data)], full)
        else:
            names[id(data)] = full
            with open(full, "wb") as f:
                f.write(data)
