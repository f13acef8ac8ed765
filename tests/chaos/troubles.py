"""Trouble around the processes, while they go on and are killed: with the
servers at the far ends, the disk, the clock.

One at a time, each for a few seconds, by a thread of its own. Azurite keeps
its list of blobs in memory for seconds: it stands still or is stopped in
order, and is never killed.
"""
import os
import queue
import threading
import time
from collections import Counter

import mishap

SECONDS = (1.0, 5.0)
HANG_SECONDS = (0.5, 3.0)  # of a disk, which is shorter than the watchdog
SETTLE_S = 5.0  # until what waits with growing pauses has tried again
APART_SECONDS = (0.5, 8.0)
CLOCK_SECONDS = 120  # far less than the windows of time that contracts have
BROKER_FAULT_EVERY_S = 150.0  # of a run; one at least
REQUESTS = (2, 30)  # how many meet a fault of the proxy


class Troubles:
    """begin() begins one of them, unless one is going on."""

    def __init__(self, world, rng, seconds):
        self.world = world
        self.rng = rng
        self.count = Counter()
        self.broker_left = max(1, int(seconds / BROKER_FAULT_EVERY_S))
        self.over = threading.Event()
        self.failure = None
        self.busy = False
        self.ended = -SETTLE_S  # when the last one did
        self.acts = queue.Queue()
        # It lives as long as this process: servers that a thread started are
        # killed when that thread ends.
        threading.Thread(target=self._work, daemon=True).start()

    def quiet(self):
        """Whether there is none now, nor was one just before."""
        return not self.busy and time.monotonic() > self.ended + SETTLE_S

    def _brokers(self):
        acts = [self.kafka_paused, self.kafka_restarted, self.kafka_killed]
        if self.world.toxiproxy:
            acts += [self.kafka_slow, self.kafka_resets, self.kafka_hears_us,
                     self.kafka_cut]
        return acts

    def _others(self):
        acts = [self.azurite_paused, self.azurite_restarted,
                self.azurite_refuses, self.azurite_loses_answers,
                self.azurite_resets, self.azurite_slow, self.clock_jumps,
                self.disk_sync_fails, self.disk_sync_hangs, self.disk_full,
                self.disk_read_only]
        if self.world.hosts:
            acts.append(self.hosts_apart)
        if self.world.disk:
            acts.append(self.disk_really_full)
        return acts

    def begin(self):
        if self.busy:
            return
        brokers = self._brokers() if self.broker_left else []
        # The least used first, so that a long run has had them all.
        acts = brokers + self._others()
        fewest = min(self.count[a.__name__] for a in acts)
        act = self.rng.choice([a for a in acts
                               if self.count[a.__name__] == fewest])
        self.broker_left -= act.__name__.startswith("kafka")
        self.count[act.__name__] += 1
        self.busy = True
        self.acts.put(act)

    def end(self):
        """Ends what goes on, and sees to it that all is well again."""
        self.over.set()
        self.acts.put(None)
        self.acts.join()
        if self.failure:
            raise self.failure

    def _work(self):
        while True:
            act = self.acts.get()
            try:
                if act:
                    self.world.note(f"{act.__name__} begins")
                    act()
                    self.world.note(f"{act.__name__} is over")
                else:
                    self._restore()
            except Exception as e:  # told by end(): a thread has no caller
                self.failure = e
            self.ended = time.monotonic()
            self.busy = False
            self.acts.task_done()

    def _restore(self):
        if self.world.hosts:
            self.world.hosts.heal()
        self.world.front.clear()
        self.world.mishap.disk(mishap.GOOD)
        for server in (self.world.kafka, self.world.azurite):
            server.restore()

    def _for_a_while(self, seconds=SECONDS):
        self.over.wait(self.rng.uniform(*seconds))

    # -- the broker --

    def kafka_paused(self):
        self.world.kafka.pause()
        self._for_a_while()
        self.world.kafka.resume()

    def kafka_restarted(self):
        self.world.kafka.stop()
        self._for_a_while()
        self.world.kafka.start()

    def kafka_killed(self):
        self.world.kafka.kill()
        self._for_a_while()
        self.world.kafka.start()

    def _toxic(self, kind, stream="downstream", **attributes):
        self.world.toxiproxy.toxic(kind, stream, **attributes)
        self._for_a_while()
        self.world.toxiproxy.heal()

    def kafka_slow(self):
        self._toxic("latency", latency=300, jitter=200)

    def kafka_resets(self):
        self._toxic("reset_peer", timeout=self.rng.choice((0, 50, 500)))

    def kafka_hears_us(self):
        """Its answers are lost."""
        self._toxic("timeout", timeout=0)

    def kafka_cut(self):
        self.world.toxiproxy.cut()
        self._for_a_while()
        self.world.toxiproxy.heal()

    # -- the store --

    def azurite_paused(self):
        self.world.azurite.pause()
        self._for_a_while()
        self.world.azurite.resume()

    def azurite_restarted(self):
        self.world.azurite.stop()
        self._for_a_while()
        self.world.azurite.start()

    def _rule(self, make, **which):
        """A fault of the proxy for some requests, not for longer than a
        while."""
        make(times=self.rng.randint(*REQUESTS), **which)
        self._for_a_while()
        self.world.front.clear()

    def azurite_refuses(self):
        status = self.rng.choice((429, 500, 503))
        headers = {"Retry-After": "1"} if status != 500 else {}
        self._rule(lambda **which: self.world.front.answer(
            status, headers, **which))

    def azurite_loses_answers(self):
        self._rule(self.world.front.lose_answer, method="PUT",
                   path=self.rng.choice(("", "_delta_log")))

    def azurite_resets(self):
        self._rule(self.world.front.reset_before)

    def azurite_slow(self):
        self._rule(lambda **which: self.world.front.delay(0.3, **which))

    # -- the way between hosts --

    def hosts_apart(self):
        """Longer than heartbeats and silence, or shorter."""
        self.world.hosts.cut()
        self._for_a_while(APART_SECONDS)
        self.world.hosts.heal()

    # -- the machine --

    def clock_jumps(self):
        """To another time, which then is the time."""
        self.world.mishap.clock(self.rng.uniform(-CLOCK_SECONDS,
                                                 CLOCK_SECONDS))
        self._for_a_while()

    def _disk(self, what, seconds=SECONDS):
        self.world.mishap.disk(what)
        self._for_a_while(seconds)
        self.world.mishap.disk(mishap.GOOD)

    def disk_sync_fails(self):
        self._disk(mishap.SYNC_FAILS)

    def disk_sync_hangs(self):
        self._disk(mishap.SYNC_HANGS, HANG_SECONDS)

    def disk_full(self):
        self._disk(mishap.FULL)

    def disk_read_only(self):
        self._disk(mishap.READ_ONLY)

    def disk_really_full(self):
        """Not the shim: somebody else takes all that is left."""
        ballast = self.world.disk / "ballast"
        block = 1 << 20
        with open(ballast, "wb", buffering=0) as f:
            while block >= 4096:
                try:
                    f.write(bytes(block))
                except OSError:
                    block //= 4
            self._for_a_while()
        os.unlink(ballast)
