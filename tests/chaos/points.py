"""The failpoints of a chaos build: their file, and who passes them how often.

The file has a row for each process and point (struct failpoint_row in
libcommon/base/failpoint.h). Processes map it and count there, so what a process
passed is known after it was killed too.
"""
import mmap
import re
import signal
import struct

from common import ROOT

ROW = struct.Struct("<96sQqQQ")
PASSES, COUNTDOWN, FIRED, SIGNAL = 96, 104, 112, 120
FIELD = struct.Struct("<q")


def names():
    """All points in the source, sorted."""
    found = set()
    for folder in ("libcommon", "services"):
        for path in (ROOT / folder).rglob("*.c"):
            found.update(re.findall(r'\bFAILPOINT\("(\w+)"\)',
                                    path.read_text()))
    return sorted(found)


class Row:
    """One point in one process."""

    def __init__(self, table, label, point, at):
        self.table = table
        self.label = label
        self.point = point
        self.at = at

    def __repr__(self):
        return f"{self.label}:{self.point}"

    def _get(self, field):
        return FIELD.unpack_from(self.table, self.at + field)[0]

    def _set(self, field, value):
        FIELD.pack_into(self.table, self.at + field, value)

    @property
    def passes(self):
        return self._get(PASSES)

    @property
    def fired(self):
        return self._get(FIRED)

    def arm(self, countdown, number=signal.SIGKILL):
        """Sends the process the signal when it has passed so many times."""
        self._set(SIGNAL, number)
        self._set(COUNTDOWN, countdown)

    def disarm(self):
        self._set(COUNTDOWN, 0)


class Points:
    """The rows of all processes, by their labels ("transformer.1")."""

    def __init__(self, path, labels):
        self.path = path
        self.names = names()
        pairs = [(label, point) for label in labels for point in self.names]
        path.write_bytes(b"".join(
            ROW.pack(f"{label}:{point}".encode(), 0, 0, 0, 0)
            for label, point in pairs))
        with open(path, "r+b") as f:
            self.table = mmap.mmap(f.fileno(), 0)
        self.rows = [Row(self.table, label, point, i * ROW.size)
                     for i, (label, point) in enumerate(pairs)]

    def of(self, label):
        return [row for row in self.rows if row.label == label]

    def counts(self):
        """{point: (passes, fired)} over all processes."""
        return {name: tuple(map(sum, zip(*((r.passes, r.fired)
                                           for r in self.rows
                                           if r.point == name))))
                for name in self.names}
