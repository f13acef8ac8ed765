"""What a client knows for certain, in a file that a crash does not take.

Lines: `sent N` before numbers up to N leave for the first time, `acked N N …`
behind a 2xx, synced before anything else is sent, `refused N CODE`, `wrong TEXT`
for an answer that contradicts what was sent.
"""
import os
import pathlib


class Ledger:
    """Of one client; written by it alone."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND |
                          os.O_CLOEXEC, 0o600)

    def _write(self, text):
        data = text.encode()
        while data:
            data = data[os.write(self.fd, data):]

    def sent(self, up_to):
        self._write(f"sent {up_to}\n")

    def acked(self, numbers):
        """On disk when this returns."""
        self._write(f"acked {' '.join(map(str, numbers))}\n")
        os.fdatasync(self.fd)

    def refused(self, number, code):
        self._write(f"refused {number} {code}\n")

    def wrong(self, text):
        self._write(f"wrong {' '.join(text.split())}\n")

    def close(self):
        os.close(self.fd)


class Account:
    """What a ledger says: events 0 to `sent` - 1 left, and may be anywhere."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.sent = 0
        self.acked = set()
        self.refused = {}
        self.wrong = []
        self.acks = 0
        for line in self.path.read_text().splitlines():
            word, _, rest = line.partition(" ")
            if word == "sent":
                self.sent = max(self.sent, int(rest))
            elif word == "acked":
                self.acked.update(map(int, rest.split()))
                self.acks += 1
            elif word == "refused":
                number, _, code = rest.partition(" ")
                self.refused[int(number)] = code
            elif word == "wrong":
                self.wrong.append(rest)
