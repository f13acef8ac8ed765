"""Kills processes, at failpoints and at any moment, and waits for them."""
import contextlib
import signal
import time
from collections import Counter

from world import LABELS

FIRE_S = 2.0  # how long an armed point is waited for
FLOW_S = 30.0  # how long flow is waited for before the run fails
POLL_S = 0.002
# Points that are passed only as a process starts, or when another one dies.
AT_START = {"epoch_raised", "epoch_saved"}
AT_DEATH = {"child_spawned", "child_reaped"}


class Kills:
    """Who was killed how often, and how long it took until events flowed."""

    def __init__(self, world, flow, rng):
        self.world = world
        self.flow = flow
        self.rng = rng
        self.by_process = Counter()
        self.by_point = Counter()
        self.flows = []  # (seconds, label, what killed it)
        self.failures = []
        self.stops = 0
        self.quiet = lambda: True  # no other trouble: flow is measured

    @property
    def total(self):
        return sum(self.by_process.values())

    # -- after a death --

    def _recover(self, label, what, since, commits):
        """Waits until the dead process is back and events flow again."""
        if label == "weftd":
            self.world.start_again()
        quiet = self.quiet()
        deadline = since + FLOW_S
        when = None
        while when is None and time.monotonic() < deadline:
            if not quiet or not self.quiet():
                return
            time.sleep(0.01)  # pause between polls
            when = self.flow.flows(label, since, commits)
        if when is None:
            self.failures.append(f"nothing flowed through {label} in "
                                 f"{FLOW_S:.0f} s after {what}")
            return
        self.flows.append((when - since, label, what))

    # -- any moment --

    def at_random(self, label=None, recover=True):
        """SIGKILL now; returns whether there was such a process."""
        label = label or self.rng.choice(LABELS)
        commits = self.flow.commits_of(label)
        since = time.monotonic()
        if not self.world.signal(label, signal.SIGKILL):
            return False
        self.by_process[label] += 1
        if recover:
            self._recover(label, "a kill", since, commits)
        return True

    # -- at a point --

    def least(self):
        """A row of one of the points that killed least of all."""
        rows = [r for r in self.world.points.rows
                if r.passes or r.point in AT_START]
        rows = [r for r in rows if r.point not in AT_START or
                r.label == "collector.0"]
        fewest = min(self.by_point[r.point] for r in rows)
        return self.rng.choice([r for r in rows
                                if self.by_point[r.point] == fewest])

    def _countdown(self, row):
        """So that the point is passed as often within half a second."""
        before, began = row.passes, time.monotonic()
        while time.monotonic() < began + 0.1:
            time.sleep(0.01)  # pause between polls
        rate = max(0, row.passes - before) * 10
        return self.rng.randint(1, max(1, rate // 2))

    def _provoke(self, row):
        """Makes a process pass a point that it does not pass by itself."""
        if row.point in AT_START:
            self.at_random(row.label, recover=False)
        elif row.point in AT_DEATH:
            self.at_random("metrics.0", recover=False)

    def at_point(self, row=None):
        """Kills a process at a point; whether it passed there in time."""
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
        commits = self.flow.commits_of(row.label)
        row.disarm()
        if row.fired == fired:
            return False
        self.by_process[row.label] += 1
        self.by_point[row.point] += 1
        self._recover(row.label, row.point, since, commits)
        return True

    # -- standing still --

    def stop_for(self, label, seconds):
        """SIGSTOP, and SIGCONT after a while."""
        pid = self.world.signal(label, signal.SIGSTOP)
        if not pid:
            return
        self.stops += 1
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.05)  # pause between polls
        with contextlib.suppress(ProcessLookupError):
            if self.world.processes().get(label) == pid:
                self.world.signal(label, signal.SIGCONT)
