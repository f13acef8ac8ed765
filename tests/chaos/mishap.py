"""A wall clock that jumps and a disk that fails, for all processes of the
pipeline at once: the runner's side of tests/preload/mishap.c."""
import mmap
import struct

from common import BUILD

GOOD, SYNC_FAILS, SYNC_HANGS, FULL, READ_ONLY = range(5)


class Mishap:
    def __init__(self, path, folder):
        self.path = path
        self.folder = folder
        path.write_bytes(bytes(16))
        with open(path, "r+b") as f:
            self.table = mmap.mmap(f.fileno(), 0)

    def env(self):
        """What the processes must be started with."""
        return {"LD_PRELOAD": str(BUILD / "tests/preload/mishap.so"),
                "WEFT_MISHAP_FILE": str(self.path),
                "WEFT_MISHAP_DIR": str(self.folder)}

    def clock(self, seconds):
        """From now on their clock is off by so much."""
        struct.pack_into("<q", self.table, 0, int(seconds * 1e6))

    def disk(self, what):
        struct.pack_into("<I", self.table, 8, what)
