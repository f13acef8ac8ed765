"""Kills processes, at failpoints and at any moment, and waits for them."""
import contextlib
import signal
import time
from collections import Counter

from world import LABELS

FIRE_S = 2.0  # how long an armed point is waited for
FLOW_S = 30.0  # how long flow is waited for before the run fails
STOP_S = 3.0
IN_VAIN = 4  # tries that count as one kill
POLL_S = 0.002
# Points that are passed only as a process starts, or when another one dies.
AT_START = {"epoch_raised", "epoch_saved", "spool_tail_written"}
AT_DEATH = {"child_spawned", "child_reaped"}


def pressure_s():
    """How long, since the machine began, somebody waited for a CPU or a disk;
    0 when it does not tell."""
    total = 0
    for what in ("cpu", "io"):
        with contextlib.suppress(OSError), \
                open(f"/proc/pressure/{what}", encoding="ascii") as f:
            total += int(f.readline().rpartition("=")[2])
    return total / 1e6


class Kills:
    """Who was killed how often, and how long it took until events flowed."""

    def __init__(self, world, flow, rng):
        self.world = world
        self.flow = flow
        self.rng = rng
        self.by_process = Counter()
        self.by_point = Counter()
        self.in_vain = Counter()  # armed, and not passed in time
        self.flows = []  # (seconds, of them under pressure, label, why)
        self.failures = []
        self.stops = 0
        self.began = time.monotonic()
        self.quiet = lambda: True  # no other trouble: flow is measured

    @property
    def total(self):
        return sum(self.by_process.values())

    # -- after a death --

    def recover(self, label, what, since, before, alone=True):
        """Waits until the dead process is back, and when there is no other
        trouble until events flow through it; `before` is flow.marks(label).
        How long that took counts when it died alone."""
        if label == "weftd":
            self.world.start_again()
        when, deadline, stalled = None, since + FLOW_S, pressure_s()
        while when is None and time.monotonic() < deadline:
            time.sleep(0.01)  # pause between polls
            if not self.quiet():
                self.world.wait_back(label, None)
                return
            when = self.flow.flows(label, since, before)
        if when is None:
            self.failures.append(f"nothing flowed through {label} in "
                                 f"{FLOW_S:.0f} s after {what}")
        elif alone:
            self.flows.append((when - since, pressure_s() - stalled, label,
                               what))
            self.world.note(f"{label} flows after {when - since:.2f} s")

    # -- any moment --

    def _kill(self, label):
        """SIGKILL now; what recover() needs, or None without a process."""
        before, since = self.flow.marks(label), time.monotonic()
        if not self.world.signal(label, signal.SIGKILL):
            return None
        self.by_process[label] += 1
        return since, before

    def at_random(self):
        label = self.rng.choice(LABELS)
        killed = self._kill(label)
        if killed:
            self.recover(label, "a kill", *killed)

    def several(self):
        """Several at the same time; those that are left go on."""
        labels = self.rng.sample(LABELS[1:], self.rng.randint(2, 4))
        killed = {label: self._kill(label) for label in labels}
        for label, how in killed.items():
            if how:
                self.recover(label, f"kills of {', '.join(labels)}", *how,
                             alone=False)

    # -- at a point --

    def least(self):
        """A row of one of the points that killed least of all, as far as they
        are passed at all."""
        rows = [r for r in self.world.points.rows if r.passes]

        # One that is hardly ever passed now must not take all the time.
        def rank(row):
            vain = self.in_vain[repr(row)]
            return self.by_point[row.point] + vain // IN_VAIN, vain
        least = min(map(rank, rows))
        return self.rng.choice([r for r in rows if rank(r) == least])

    def _countdown(self, row):
        """So that the point is passed as often in half a second or less."""
        rate = row.passes / (time.monotonic() - self.began)
        return self.rng.randint(1, max(1, int(rate / 2)))

    def _provoke(self, row):
        """Makes a process pass a point that it does not pass by itself."""
        if row.point in AT_START:
            self._kill(row.label)
        elif row.point in AT_DEATH:
            self._kill("metrics.0")

    def at_point(self, row=None):
        """Kills a process at a point, if it passes there in time."""
        row = row or self.least()
        fired = row.fired
        provoked = row.point in AT_START | AT_DEATH
        row.arm(1 if provoked else self._countdown(row))
        if provoked:
            self._provoke(row)
        deadline = time.monotonic() + FIRE_S
        while row.fired == fired and time.monotonic() < deadline:
            time.sleep(POLL_S)  # pause between polls
        since = time.monotonic()
        before = self.flow.marks(row.label)
        row.disarm()
        self.world.note(f"{row}: " + ("fired" if row.fired > fired else "-"))
        if row.fired == fired:
            self.in_vain[repr(row)] += 1
            return
        self.by_process[row.label] += 1
        self.by_point[row.point] += 1
        self.recover(row.label, row.point, since, before)

    # -- standing still --

    def stop(self):
        """A process stands still for a while, at a point or anywhere, and
        others may die meanwhile."""
        row = self.least()
        label, pid = row.label, self.world.processes().get(row.label)
        if row.point in AT_START | AT_DEATH or not pid:
            return
        row.arm(self._countdown(row), signal.SIGSTOP)
        self._wait(self.rng.uniform(0.3, 1.0))
        row.disarm()
        self.world.signal(label, signal.SIGSTOP)
        self.stops += 1
        other = self.rng.choice([n for n in LABELS[1:] if n != label])
        if self.rng.random() < 0.5:
            self._kill(other)
        self._wait(self.rng.uniform(0.1, STOP_S))
        with contextlib.suppress(ProcessLookupError):
            if self.world.processes().get(label) == pid:
                self.world.signal(label, signal.SIGCONT)

    @staticmethod
    def _wait(seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.02)  # pause between polls
