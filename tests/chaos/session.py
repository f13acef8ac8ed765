"""One run: begin, make trouble for a time, let it come to rest, judge."""
import argparse
import pathlib
import random
import signal
import subprocess
import sys
import time

import checker
from common import wait_for
from damage import Damage
from events import PROBE, Maker
from kills import Kills
from ledger import Account
from report import Report
from troubles import Troubles
from watch import Flow
from world import World

CLIENTS = 4
BOTH = (checker.GOOD, checker.LARGE)
REST_S = 120.0  # for all that was acknowledged to arrive
HERE = pathlib.Path(__file__).resolve().parent


class Session:
    def __init__(self, given):
        self.given = given
        self.rng = random.Random(given.seed)
        self.start_us = time.time_ns() // 1000
        self.world = World(given.seconds, given.hosts)
        self.clients = []
        self.flow = Flow(self.world, argparse.Namespace(
            **self._client(PROBE), rate=10.0))
        self.kills = Kills(self.world, self.flow, self.rng)
        self.troubles = Troubles(self.world, random.Random(given.seed + 1),
                                 given.seconds)
        self.kills.quiet = self.troubles.quiet
        self.damage = Damage(self.world, self.kills, self.rng)

    # -- clients --

    def _ledger(self, client):
        return self.world.folder / f"ledger-{client}"

    def _client(self, client):
        return {"port": self.world.pipeline.port, "seed": self.given.seed,
                "client": client, "start_us": self.start_us,
                "ledger": str(self._ledger(client))}

    def _start_clients(self):
        for number in range(1, CLIENTS + 1):
            words = [sys.executable, str(HERE / "client.py"),
                     "--rate", str(self.given.rate / CLIENTS)]
            for name, value in self._client(number).items():
                words += [f"--{name.replace('_', '-')}", str(value)]
            self.clients.append(subprocess.Popen(
                words, stdin=subprocess.PIPE))

    def _stop_clients(self):
        for client in self.clients:
            client.stdin.close()
        for client in self.clients:
            client.wait(120)

    def accounts(self):
        return {number: Account(self._ledger(number))
                for number in range(CLIENTS + 1)}

    # -- the run --

    def begin(self):
        self.world.start()
        self._start_clients()
        self.flow.start()
        wait_for(lambda: len(self.flow.seen["kafka"]) > 5 and
                 all(self.flow.commits.values()), 60)

    def trouble(self):
        """One thing after the other, and now and then several at once."""
        acts = ((60, self.kills.at_point), (12, self.kills.at_random),
                (8, self.kills.several), (8, self.kills.stop),
                (12, self.troubles.begin), (4, self.damage.begin))
        weights, acts = zip(*acts)
        until = time.monotonic() + self.given.seconds
        while time.monotonic() < until and not self.kills.failures:
            self.rng.choices(acts, weights)[0]()
        self.troubles.end()

    def rest(self):
        """Stops the clients, and waits until nothing is on its way."""
        self._stop_clients()
        self.flow.stop()
        done = self.world.pipeline.ctl("stop", timeout=REST_S)
        assert done.code == 0, f"stop: {done}"

    # -- the verdict --

    def judge(self, begin):
        """(the checker, what it found); tells begin() what it looks at."""
        world = self.world
        judge = checker.Checker(
            self.accounts(), Maker(self.given.seed, self.start_us),
            world.secret)
        pipeline = world.pipeline
        storage = world.azurite.storage_options()
        remote, local = "az://chaos", str(world.local_lake)
        letters = pipeline.state_dir / "eventhub-publisher.0/dead_letters"
        # Name, what lies there, of which kinds, whether each but once.
        places = (
            ("Kafka", checker.of_messages(
                world.kafka.consume(world.topic, 120)),
             (checker.GOOD,), False),
            ("dead letters", checker.of_letters(letters), (checker.LARGE,),
             False),
            ("files", checker.of_files(pipeline.out_dir), BOTH, False),
            ("raw archive", checker.of_raw_archive(
                world.local_lake / "Files"), BOTH, False),
            ("lake in Azurite", checker.of_lake(remote, storage), BOTH, True),
            ("lake in a folder", checker.of_lake(local), BOTH, True))
        found = [judge.contradictions()]
        for name, lies, kinds, once in places:
            begin(f"judge: {name}")
            found.append(judge.judge(name, lies, kinds, once,
                                     self.damage.excused[name]))
        for text in self.damage.unreported(found):
            found[0].tell(text)
        for where in ((remote, storage), (local, None)):
            if checker.letters_in_lake(*where):
                found[0].tell(f"{where[0]} has dead letters")
        return judge, found


def main(given):
    # Whoever ends us early wants the end to be in order too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"chaos: seed {given.seed}, {given.seconds:.0f} s, {given.hosts} hosts",
          flush=True)
    session = Session(given)
    report = Report(given, session)
    try:
        for phase in (session.begin, session.trouble, session.rest):
            report.begin(phase.__name__)
            phase()
        report.take(*session.judge(report.begin))
    except (Exception, KeyboardInterrupt) as e:
        report.broke(e)
    finally:
        report.finish()
        session.world.stop(keep=given.keep or not report.good)
    return 0 if report.good else 1
