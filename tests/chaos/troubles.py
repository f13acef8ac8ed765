"""Trouble with the servers at the far ends, while everything else goes on.

One at a time, each for a few seconds, in a thread of its own. Azurite keeps
its list of blobs in memory for seconds: it stands still or is stopped in
order, and is never killed.
"""
import random
import threading
from collections import Counter

SECONDS = (1.0, 5.0)
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
        self.thread = None
        self.failure = None

    def quiet(self):
        """Whether there is none now."""
        return self.thread is None or not self.thread.is_alive()

    def begin(self):
        if not self.quiet():
            return
        acts = [self.azurite_paused, self.azurite_restarted,
                self.azurite_refuses, self.azurite_loses_answers,
                self.azurite_resets, self.azurite_slow]
        if self.broker_left:
            acts += 2 * [self.kafka_paused, self.kafka_restarted,
                         self.kafka_killed]
        act = self.rng.choice(acts)
        self.count[act.__name__] += 1
        self.broker_left -= act.__name__.startswith("kafka")
        self.thread = threading.Thread(target=self._guard, args=(
            act, random.Random(self.rng.random())), daemon=True)
        self.thread.start()

    def end(self):
        """Ends what goes on, and sees to it that all servers answer."""
        self.over.set()
        if self.thread:
            self.thread.join(60)
        if self.failure:
            raise self.failure
        self.world.front.clear()
        for server in (self.world.kafka, self.world.azurite):
            server.restore()

    def _guard(self, act, rng):
        self.world.note(f"{act.__name__} begins")
        try:
            act(rng)
        except Exception as e:  # told by end(): a thread has no caller
            self.failure = e
        self.world.note(f"{act.__name__} is over")

    def _for_a_while(self, rng):
        self.over.wait(rng.uniform(*SECONDS))

    # -- the broker --

    def kafka_paused(self, rng):
        self.world.kafka.pause()
        self._for_a_while(rng)
        self.world.kafka.resume()

    def kafka_restarted(self, rng):
        self.world.kafka.stop()
        self._for_a_while(rng)
        self.world.kafka.start()

    def kafka_killed(self, rng):
        self.world.kafka.kill()
        self._for_a_while(rng)
        self.world.kafka.start()

    # -- the store --

    def azurite_paused(self, rng):
        self.world.azurite.pause()
        self._for_a_while(rng)
        self.world.azurite.resume()

    def azurite_restarted(self, rng):
        self.world.azurite.stop()
        self._for_a_while(rng)
        self.world.azurite.start()

    def _rule(self, rng, make, **which):
        """A fault of the proxy for some requests, not for longer than a
        while."""
        make(times=rng.randint(*REQUESTS), **which)
        self._for_a_while(rng)
        self.world.front.clear()

    def azurite_refuses(self, rng):
        status = rng.choice((429, 500, 503))
        headers = {"Retry-After": "1"} if status != 500 else {}
        self._rule(rng, lambda **which: self.world.front.answer(
            status, headers, **which))

    def azurite_loses_answers(self, rng):
        self._rule(rng, self.world.front.lose_answer, method="PUT",
                   path=rng.choice(("", "_delta_log")))

    def azurite_resets(self, rng):
        self._rule(rng, self.world.front.reset_before)

    def azurite_slow(self, rng):
        self._rule(rng, lambda **which: self.world.front.delay(0.3, **which))
