"""`order = "key"`: events of one key arrive in the order of their acceptance,
through several transformers, over resends and while their number changes."""

import threading

import pytest
import requests

from conftest import wait_for

KEYS = 40
TIMEOUT_S = 30


def post_round(pipeline, number):
    """One event of each key, in one request; the number counts them."""
    events = [{"event_type": "order.placed", "order_id": f"K-{key}",
               "item_count": number} for key in range(KEYS)]
    done = requests.post(pipeline.url + "/events/batch", json=events,
                         timeout=TIMEOUT_S)
    assert done.status_code == 202 and done.json()["events_accepted"] == KEYS


def numbers_of(pipeline):
    """For each key, its numbers in the order in which they arrived."""
    found = {}
    for event in pipeline.delivered("order"):
        found.setdefault(event["order_id"], []).append(event["item_count"])
    return found


def wait_all(pipeline, rounds):
    def there():
        found = numbers_of(pipeline)
        return found if len(found) == KEYS and all(
            len(set(numbers)) == rounds for numbers in found.values()) else None
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
    found = wait_all(ordered, 200)
    assert all(numbers == list(range(200)) for numbers in found.values())
    wait_for(lambda: sum(shares(ordered)) == 200 * KEYS,
             what=lambda: shares(ordered))
    assert all(n % 200 == 0 and n for n in shares(ordered)), shares(ordered)


def test_keys_keep_their_order_over_kills_and_scales(ordered):
    """Nothing is new in an epoch here but by a drain: so not even repeats."""
    ordered.start()
    ended = threading.Event()
    failures = []

    def trouble():
        try:
            for n in range(3):
                old = ordered.kill(f"transformer.{n}")
                ordered.wait_restarted(f"transformer.{n}", old)
            for instances in (1, 3, 2):
                done = ordered.ctl("scale", "transformer", instances)
                assert done.code == 0, done
        except AssertionError as e:
            failures.append(e)
        finally:
            ended.set()
    thread = threading.Thread(target=trouble)
    thread.start()
    rounds = 0
    while not ended.is_set() or rounds < 100:
        post_round(ordered, rounds)
        rounds += 1
    thread.join()
    assert not failures, failures[0]
    found = wait_all(ordered, rounds)
    assert all(numbers == list(range(rounds)) for numbers in found.values())


def test_a_wrong_order_is_refused(pipeline):
    pipeline.sections["collector"]["order"] = "keys"
    pipeline.write_config()
    done = pipeline.ctl("check")
    assert done.code == 1 and "any" in done.err + done.out
