#!/usr/bin/env python3
"""A client as there are in the field: it posts events, one or many a request,
and sends the same again, with the same ids, when it does not learn what became
of them. It ends when its standard input does, once it has an answer for all, or
after GIVE_UP_S without any.
"""
import argparse
import http.client
import json
import random
import select
import socket
import sys
import time

from events import Maker
from ledger import Ledger

ANSWER_S = 15.0  # longer than the collector waits for its disk
GIVE_UP_S = 60.0
RETRY_S = (0.02, 0.5)  # first and longest pause
SIZES = (1, 1, 1, 2, 7, 20, 50, 100, 100, 250)
SENT_AGAIN = 0.01  # of answered requests: the client forgot that they were
FORSAKEN = 0.02  # of requests in doubt: the client never asks again


class Client:
    """Posts numbers 0, 1, 2 … at a rate."""

    def __init__(self, options):
        self.options = options
        self.maker = Maker(options.seed, options.start_us)
        self.rng = random.Random(f"client {options.seed} {options.client}")
        self.ledger = Ledger(options.ledger)
        self.connection = None
        self.next = 0

    # -- one request --

    def _post(self, path, body, kind):
        """(status, parsed answer); raises OSError or HTTPException."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(
                "127.0.0.1", self.options.port, timeout=ANSWER_S)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP,
                                            socket.TCP_NODELAY, 1)
        self.connection.request("POST", path, body, {"Content-Type": kind})
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text)

    def _drop(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def _request(self, events):
        if len(events) == 1 and events[0].code != "not_an_object":
            return "/events", events[0].line, "application/json"
        lines = [e.line for e in events]
        form = self.rng.randrange(3)
        if form == 0:
            return "/events/batch", "\n".join(lines), "application/x-ndjson"
        if form == 1:
            return "/events/batch", '{"events":[' + ",".join(lines) + "]}", \
                "application/json"
        return "/events/batch", "[" + ",".join(lines) + "]", "application/json"

    def attempt(self, numbers):
        """Posts once. True when each of the numbers has its answer."""
        events = [self.maker.event(self.options.client, n) for n in numbers]
        path, body, kind = self._request(events)
        try:
            status, answer = self._post(path, body.encode(), kind)
        except (OSError, http.client.HTTPException, ValueError):
            self._drop()
            return False
        if status in (429, 503):
            return False
        self._account(numbers, events, status, answer)
        return True

    def _account(self, numbers, events, status, answer):
        """Writes down what was answered, and whether it had to be."""
        refused = {e["index"]: e["code"] for e in answer.get("errors", ())}
        acked = []
        if status not in (202, 422):
            self.ledger.wrong(f"status {status} for {numbers}: {answer}")
            return
        for index, (number, event) in enumerate(zip(numbers, events)):
            code = refused.get(index, "")
            if code != event.code:
                self.ledger.wrong(f"{event.id} was answered '{code}' and is "
                                  f"'{event.code}'")
            elif code:
                self.ledger.refused(number, code)
            else:
                acked.append(number)
        if answer.get("events_accepted") != len(numbers) - len(refused):
            self.ledger.wrong(f"{answer} for {len(numbers)} events")
        if acked:
            self.ledger.acked(acked)

    # -- going on --

    def _pause(self, seconds):
        """Waits, shorter when standard input ends; true once it has."""
        ended = bool(select.select([sys.stdin], [], [], seconds)[0])
        if ended:
            # For as long as was asked: it stays readable from now on.
            select.select([], [], [], seconds)
        return ended

    def settle(self, numbers):
        """Posts until each has its answer, in parts after a while; false when
        nobody answers any more."""
        parts, pause = [numbers], RETRY_S[0]
        deadline = time.monotonic() + GIVE_UP_S
        while parts:
            if self.attempt(parts[0]):
                parts.pop(0)
                deadline = time.monotonic() + GIVE_UP_S
                continue
            if time.monotonic() > deadline:
                return False
            if self.rng.random() < FORSAKEN:
                parts.pop(0)
                continue
            if len(parts[0]) > 1 and self.rng.random() < 0.3:
                half = len(parts[0]) // 2
                parts[:1] = [parts[0][:half], parts[0][half:]]
            self._pause(self.rng.uniform(0, pause))
            pause = min(2 * pause, RETRY_S[1])
        return True

    def run(self):
        began, ended, old = time.monotonic(), False, []
        while not ended:
            count = self.rng.choice(SIZES)
            numbers = list(range(self.next, self.next + count))
            self.next += count
            self.ledger.sent(self.next)
            if not self.settle(numbers):
                self.ledger.wrong(f"no answer for {GIVE_UP_S} s")
                return 1
            old = numbers if self.rng.random() < 0.1 else old
            if old and self.rng.random() < SENT_AGAIN:
                self.settle(old)
            due = began + self.next / self.options.rate
            # What an outage of more than two seconds kept is not caught up.
            began += max(0.0, time.monotonic() - due - 2.0)
            ended = self._pause(max(0.0, due - time.monotonic()))
        return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--client", type=int, required=True)
    parser.add_argument("--start-us", type=int, required=True)
    parser.add_argument("--rate", type=float, default=200.0)
    sys.exit(Client(parser.parse_args()).run())


if __name__ == "__main__":
    main()
