"""The chaos runner's checker sees what is wrong: a green run means something."""
import sys

import pytest

from common import ROOT

sys.path.insert(0, str(ROOT / "tests" / "chaos"))
import checker  # noqa: E402

from events import Maker, digest, expected, parse  # noqa: E402
from ledger import Account, Ledger  # noqa: E402

SECRET = b"a secret of the pipeline"
COUNT = 400


@pytest.fixture
def maker():
    return Maker(seed=1, start_us=1_700_000_000_000_000, large_share=0.05)


@pytest.fixture
def judge(tmp_path, maker):
    """Client 1 has sent COUNT events, and heard of all but the last five."""
    ledger = Ledger(tmp_path / "ledger")
    ledger.sent(COUNT)
    good = []
    for number in range(COUNT - 5):
        event = maker.event(1, number)
        if event.code:
            ledger.refused(number, event.code)
        else:
            good.append(number)
    ledger.acked(good)
    ledger.close()
    return checker.Checker({1: Account(tmp_path / "ledger")}, maker, SECRET)


@pytest.fixture
def delivered(judge, maker):
    """What a sink that kept its promise holds."""
    return [(f"c1-{n}", digest(expected(maker.event(1, n), SECRET)), None)
            for n in sorted(judge.sent[1].account.acked)]


def wrong(judge, found, **more):
    return judge.judge("here", found, **more).lines()


def test_a_kept_promise_is_no_finding(judge, delivered):
    assert len(delivered) > COUNT // 2
    assert not wrong(judge, delivered, once=True)
    assert not judge.contradictions().lines()


def test_a_lost_event_is_found(judge, delivered):
    lost = delivered.pop(17)[0]
    assert wrong(judge, delivered) == [
        f"here: {lost} was acknowledged and is missing"]
    number = int(lost.removeprefix("c1-"))
    assert not wrong(judge, delivered, excused=[(1, number)])


def test_an_event_twice_is_found_where_it_may_be_there_once(judge, delivered):
    twice = delivered + delivered[3:4]
    assert not wrong(judge, twice)
    assert wrong(judge, twice, once=True) == [
        f"here: {delivered[3][0]} is there twice"]


@pytest.mark.parametrize("event_id", ["c1-1000", "c2-1", "c1-07", "x", None])
def test_an_invented_event_is_found(judge, delivered, event_id):
    assert wrong(judge, delivered + [(event_id, 1, None)]) == [
        f"here: {event_id!r} was never sent so"]


def test_a_bad_event_that_was_delivered_is_found(judge, delivered, maker):
    bad = next(n for n in range(COUNT) if maker.event(1, n).code)
    assert "was never sent so" in wrong(
        judge, delivered + [(f"c1-{bad}", 1, None)])[0]


def test_other_values_and_another_table_are_found(judge, delivered):
    event_id, value, _ = delivered[5]
    delivered[5] = (event_id, value ^ 1, None)
    assert wrong(judge, delivered) == [
        f"here: {event_id} has other values than were sent"]
    right = judge.sent[1].tables[int(event_id.removeprefix("c1-"))]
    delivered[5] = (event_id, value, (right + 1) % 6)
    assert "is in table" in wrong(judge, delivered)[0]


def test_what_was_sent_without_an_answer_may_be_there_once(judge, delivered,
                                                          maker):
    number = COUNT - 1
    doubtful = (f"c1-{number}",
                digest(expected(maker.event(1, number), SECRET)), None)
    assert not wrong(judge, delivered + [doubtful], once=True)
    assert wrong(judge, delivered + 2 * [doubtful], once=True)


def test_values_are_compared_to_the_last_digit():
    text = '{"event_id":"a","order_total":12345678901.123456}'
    assert digest(parse(text)) != digest(parse(text.replace("456}", "457}")))
    assert digest(parse(text)) == digest(parse(text.replace("6}", "60}")))


def test_an_answer_that_contradicts_what_was_sent_is_found(tmp_path, maker):
    ledger = Ledger(tmp_path / "ledger")
    ledger.sent(COUNT)
    bad = next(n for n in range(COUNT) if maker.event(1, n).code)
    ledger.acked([bad])
    ledger.wrong("status 500")
    ledger.close()
    judge = checker.Checker({1: Account(tmp_path / "ledger")}, maker, SECRET)
    assert len(judge.contradictions().lines()) == 2
