"""`order = "key"`: events of one key arrive in the order of their acceptance,
through several transformers, over resends and while their number changes."""

import threading

import pytest
import requests

from conftest import wait_for

KEYS = 40
CLIENTS = 8  # each with keys of its own
TIMEOUT_S = 30
# So that a few requests fill a batch, and batches are under way at once.
PAD = {"pad": "x" * 4000}


def post_round(pipeline, number, keys=range(KEYS)):
    """One event of each key, in one request; the number counts them."""
    events = [{"event_type": "order.placed", "order_id": f"K-{key}",
               "item_count": number, "custom_properties": PAD}
              for key in keys]
    done = requests.post(pipeline.url + "/events/batch", json=events,
                         timeout=TIMEOUT_S)
    assert done.status_code == 202
    assert done.json()["events_accepted"] == len(keys)


class Clients:
    """Post rounds, each of its own keys, until they are told to end."""

    def __init__(self, pipeline):
        self.pipeline = pipeline
        self.rounds = [0] * CLIENTS
        self.failures = []
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.post, args=(n,))
                        for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def post(self, client):
        share = KEYS // CLIENTS
        try:
            while not self.ending.is_set():
                post_round(self.pipeline, self.rounds[client],
                           range(client * share, (client + 1) * share))
                self.rounds[client] += 1
        except (AssertionError, requests.RequestException) as e:
            self.failures.append(e)

    def end(self):
        """Their rounds, by key."""
        self.ending.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures
        return {f"K-{key}": self.rounds[key * CLIENTS // KEYS]
                for key in range(KEYS)}


def numbers_of(pipeline):
    """For each key, its numbers in the order in which they arrived."""
    found = {}
    for event in pipeline.delivered("order"):
        found.setdefault(event["order_id"], []).append(event["item_count"])
    return found


def wait_all(pipeline, rounds):
    """Waits for so many rounds of each key."""
    def there():
        found = numbers_of(pipeline)
        return found if {key: len(set(numbers))
                         for key, numbers in found.items()} == rounds else None
    return wait_for(there, 60, pipeline.logs)


def shares(pipeline):
    """Events that each transformer took in, as metrics has it."""
    return [(one["stats"] or {}).get("events_in") or 0
            for one in pipeline.status()["services"]
            if one["service"] == "transformer"]


@pytest.fixture
def ordered(pipeline):
    pipeline.services[1]["instances"] = 3
    pipeline.sections["collector"]["order"] = "key"
    # Many small batches, so that there is something to overtake.
    pipeline.sections["collector"]["batch_delay_max"] = "0s"
    return pipeline


def test_keys_keep_their_order_and_share_the_work(ordered):
    ordered.start()
    for number in range(200):
        post_round(ordered, number)
    found = wait_all(ordered, {f"K-{key}": 200 for key in range(KEYS)})
    assert all(numbers == list(range(200)) for numbers in found.values())
    wait_for(lambda: sum(shares(ordered)) == 200 * KEYS,
             what=lambda: shares(ordered))
    assert all(n % 200 == 0 and n for n in shares(ordered)), shares(ordered)


def test_keys_keep_their_order_over_kills_and_scales(ordered):
    """Every new epoch here begins behind a drain: so nothing is repeated."""
    ordered.start()
    clients = Clients(ordered)
    try:
        for n in (0, 1, 2, 0, 1, 2):
            old = ordered.kill(f"transformer.{n}")
            ordered.wait_restarted(f"transformer.{n}", old)
        for instances in (1, 3, 2):
            done = ordered.ctl("scale", "transformer", instances)
            assert done.code == 0, done
    finally:
        rounds = clients.end()
    assert min(rounds.values()) > 20
    found = wait_all(ordered, rounds)
    for key, numbers in found.items():
        assert numbers == list(range(rounds[key])), key


def test_a_wrong_order_is_refused(pipeline):
    pipeline.sections["collector"]["order"] = "keys"
    pipeline.write_config()
    done = pipeline.ctl("check")
    assert done.code == 1 and "any" in done.err + done.out
