"""Whether what was promised was kept, by readers that nobody here wrote.

Every acknowledged event is in Kafka, in the files and once in each lake, with
the values it was sent with. What a client sent and never heard of may be there;
in a lake not more than once. Nothing else is anywhere.
"""
import array
import io
import pathlib
import subprocess

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from events import TABLES, digest, expected, parse, parse_id

SHOWN = 5  # examples of each kind of finding
FILES_AT_ONCE = 500
GOOD, BAD, LARGE = 0, 1, 2


class Sent:
    """All that one client sent: what is to be found of it."""

    def __init__(self, client, account, maker, secret):
        self.account = account
        self.digests = array.array("Q", bytes(8 * account.sent))
        self.kinds = bytearray(account.sent)
        self.tables = bytearray(account.sent)
        for number in range(account.sent):
            event = maker.event(client, number)
            self.kinds[number] = (BAD if event.code else
                                  LARGE if event.large else GOOD)
            if not event.code:
                self.digests[number] = digest(expected(event, secret))
                self.tables[number] = TABLES.index(event.table)


class Findings:
    """What a place holds, and what is wrong with it."""

    def __init__(self, name):
        self.name = name
        self.numbers = {"delivered": 0, "rows": 0, "repeated": 0, "missing": 0,
                        "excused": 0}
        self.excused = []  # the events that are missing and may be
        self.wrong = []
        self.hidden = 0

    def tell(self, text):
        if len(self.wrong) < SHOWN:
            self.wrong.append(f"{self.name}: {text}")
        else:
            self.hidden += 1

    def lines(self):
        return self.wrong + ([f"{self.name}: and {self.hidden} more"]
                             if self.hidden else [])


class Checker:
    """Judges places, one after the other, by what all clients sent."""

    def __init__(self, accounts, maker, secret):
        self.sent = {client: Sent(client, account, maker, secret)
                     for client, account in accounts.items()}

    def find(self, text):
        """(client, number) of an event that was sent, or None."""
        at = parse_id(text) if isinstance(text, str) else None
        if at and at[0] in self.sent and \
                at[1] < self.sent[at[0]].account.sent:
            return at
        return None

    def judge(self, name, found, kinds=(GOOD, LARGE), once=False, excused=()):
        """Compares `found`, (event id, digest or None, table or None) of each
        thing that lies there, with what must be there of these kinds. Events
        in `excused` may be missing: their loss was reported."""
        findings = Findings(name)
        counts = {c: bytearray(len(s.kinds)) for c, s in self.sent.items()}
        for text, value, table in found:
            at = self.find(text)
            if not at or self.sent[at[0]].kinds[at[1]] not in kinds:
                findings.tell(f"{text!r} was never sent so")
                continue
            sent, number = self.sent[at[0]], at[1]
            if value is not None and value != sent.digests[number]:
                findings.tell(f"{text} has other values than were sent")
            if table is not None and table != sent.tables[number]:
                findings.tell(f"{text} is in table {TABLES[table]}")
            findings.numbers["rows"] += 1
            if counts[at[0]][number] == 1 and once:
                findings.tell(f"{text} is there twice")
            findings.numbers["repeated"] += counts[at[0]][number] > 0
            counts[at[0]][number] = min(2, counts[at[0]][number] + 1)
        self._find_missing(findings, counts, kinds, frozenset(excused))
        return findings

    def _find_missing(self, findings, counts, kinds, excused):
        for client, sent in self.sent.items():
            findings.numbers["delivered"] += sum(map(bool, counts[client]))
            for number in sent.account.acked:
                if counts[client][number] or sent.kinds[number] not in kinds:
                    continue
                if (client, number) in excused:
                    findings.numbers["excused"] += 1
                    findings.excused.append((client, number))
                    continue
                findings.numbers["missing"] += 1
                findings.tell(f"c{client}-{number} was acknowledged and is "
                              "missing")

    def contradictions(self):
        """What clients were answered that cannot be."""
        findings = Findings("answers")
        for sent in self.sent.values():
            for text in sent.account.wrong:
                findings.tell(text)
            for number in sent.account.acked:
                if sent.kinds[number] == BAD:
                    findings.tell(f"bad event {number} was acknowledged")
        return findings


# --- what lies where ---------------------------------------------------------------

def of_json(text):
    return of_members(parse(text))


def of_members(members):
    return members.get("event_id"), digest(members), None


def of_messages(messages):
    for message in messages:
        event_id, value, _ = of_json(message.value())
        headers = {k: v.decode() for k, v in message.headers() or ()}
        # One that names another event is none of those that were sent.
        yield (event_id if headers.get("event_id") == event_id
               else f"{event_id} under {headers}"), value, None


def of_files(folder, pattern="*.ndjson"):
    """The whole lines of all files."""
    for path in sorted(pathlib.Path(folder).glob(pattern)):
        with open(path, "rb") as f:
            for line in f:
                if line.endswith(b"\n"):
                    yield of_json(line)


def of_raw_archive(folder):
    paths = sorted(pathlib.Path(folder).rglob("*.ndjson.zst"))
    for i in range(0, len(paths), FILES_AT_ONCE):
        lines = subprocess.run(
            ["zstd", "-dcq", *paths[i:i + FILES_AT_ONCE]],
            capture_output=True, check=True).stdout
        for line in io.BytesIO(lines):
            yield of_json(line)


def of_letters(folder):
    """What the publisher set aside: an event may be there more than once."""
    for path in sorted(pathlib.Path(folder).glob("*.ndjson")):
        for line in path.read_text().split("\n")[:-1]:
            yield of_members(parse(line)["event"])


def of_lake(url, storage=None):
    """The rows of all tables."""
    for number, name in enumerate(TABLES):
        try:
            table = DeltaTable(f"{url}/Tables/{name}", storage_options=storage)
        except TableNotFoundError:
            continue
        for batch in table.to_pyarrow_dataset().to_batches():
            for row in batch.to_pylist():
                yield row["event_id"], digest(row), number


def letters_in_lake(url, storage=None):
    """How many events the lake says it could make no row of."""
    try:
        return DeltaTable(f"{url}/Tables/dead_letter",
                          storage_options=storage).to_pyarrow_table().num_rows
    except TableNotFoundError:
        return 0
