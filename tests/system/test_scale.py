"""`pipelinectl scale`: another number of instances while events come in."""

import concurrent.futures
import contextlib
import json
import socket

import pytest

from common import lasting_port
from conftest import wait_for
from test_delivery import (delivered_ids, load,  # noqa: F401 (a fixture)
                           post, wait_delivered)


def labels(pipeline, service="transformer"):
    return [f"{p['service']}.{p['instance']}"
            for p in pipeline.status()["services"] if p["service"] == service]


def scale(pipeline, service, instances):
    done = pipeline.ctl("scale", service, instances)
    assert done.code == 0, f"{done}\n{pipeline.logs()}"
    return done


def work_of(pipeline, label):
    """Events that a process took in, as metrics has it."""
    return (pipeline.process(label)["stats"] or {}).get("events_in")


def test_nothing_is_lost_or_doubled_under_load(pipeline, load):  # noqa: F811
    pipeline.start()
    pid = pipeline.pid("transformer.0")
    run = load("--count", 120000, "--rate", 20000, "--seed", 3)
    for instances in (3, 1, 2, 1):
        before = len(run.acknowledged())
        wait_for(lambda: len(run.acknowledged()) > before + 2000)
        scale(pipeline, "transformer", instances)
        assert labels(pipeline) == [f"transformer.{n}"
                                    for n in range(instances)]
        # Acknowledgements go on.
        assert len(run.acknowledged()) > before + 2000
    report = run.finish()
    assert report["accepted"] == report["sent"] == 120000
    found = wait_delivered(pipeline, run.acknowledged())
    assert len(found) == len(set(found)) == 120000
    assert pipeline.pid("transformer.0") == pid
    assert pipeline.log("collector.0").count("event=epoch_begun") == 5
    assert pipeline.log("collector.0").count("drain_cut_short") == 0
    for label in ("transformer.1", "transformer.2"):
        assert "stopped code=0" in pipeline.log(label), pipeline.log(label)


@pytest.mark.parametrize("label", ["collector.0", "transformer.0",
                                   "eventhub-publisher.0"])
def test_a_kill_in_between_loses_nothing(pipeline, load, label):  # noqa: F811
    pipeline.start()
    run = load("--count", 60000, "--rate", 15000)
    for instances in (3, 1):
        before = len(run.acknowledged())
        wait_for(lambda: len(run.acknowledged()) > before + 2000)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            under_way = pool.submit(scale, pipeline, "transformer", instances)
            old = pipeline.kill(label)
            under_way.result()
        pipeline.wait_restarted(label, old)
        assert len(labels(pipeline)) == instances
    assert run.finish()["accepted"] == 60000
    found = wait_delivered(pipeline, run.acknowledged())
    assert set(found) >= set(run.acknowledged())
    if label != "collector.0":
        # Only a source that starts anew has to repeat what it had sent.
        assert len(found) == len(set(found)) == 60000


def test_new_instances_get_work(pipeline, load):  # noqa: F811
    pipeline.start()
    scale(pipeline, "transformer", 3)
    run = load("--count", 150000, "--batch", 1000)

    def shares():
        return all(work_of(pipeline, f"transformer.{n}") for n in range(3))
    wait_for(shares, what=pipeline.status)
    run.finish()
    wait_delivered(pipeline, run.acknowledged())


def test_collectors_share_their_port(pipeline, load):  # noqa: F811
    pipeline.start()
    scale(pipeline, "collector", 2)
    run = load("--count", 40000, "--connections", 16)
    scale(pipeline, "collector", 1)
    report = run.finish()
    assert report["accepted"] == 40000
    found = wait_delivered(pipeline, run.acknowledged())
    assert set(found) == set(run.acknowledged())
    assert labels(pipeline, "collector") == ["collector.0"]


def test_status_and_answers_say_what_holds(pipeline):
    pipeline.start()
    done = pipeline.ctl("scale", "transformer", 2, "--json")
    assert done.code == 0 and done.json == {
        "ok": True, "service": "transformer", "before": 1, "instances": 2,
        "configured": 1}
    done = pipeline.ctl("scale", "transformer", 2)
    assert done.code == 0 and "2 instances, as before" in done.out
    assert pipeline.status()["scaled"] == [
        {"service": "transformer", "instances": 2, "configured": 1}]
    assert "transformer was scaled to 2; the configuration says 1" in \
        pipeline.ctl("status").out
    assert pipeline.topology()["services"][1]["instances"] == 2
    done = scale(pipeline, "transformer", 1)
    assert done.out == "transformer runs with 1 instance instead of 2\n"
    assert pipeline.status()["scaled"] == []


def test_a_start_goes_by_the_configuration(pipeline):
    pipeline.start()
    scale(pipeline, "transformer", 2)
    pipeline.stop()
    pipeline.start()
    assert labels(pipeline) == ["transformer.0"]
    assert pipeline.status()["scaled"] == []


def test_a_reload_keeps_it_unless_the_file_has_changed(pipeline):
    pipeline.start()
    scale(pipeline, "transformer", 3)
    pipeline.sections["collector"]["max_events"] = 500
    pipeline.write_config()
    assert pipeline.ctl("reload").code == 0
    assert len(labels(pipeline)) == 3
    # A file that is wrong changes nothing, and what comes after counts.
    pipeline.services[1]["instances"] = 0
    pipeline.write_config()
    assert pipeline.ctl("reload").code == 1
    assert pipeline.status()["scaled"][0]["instances"] == 3
    pipeline.services[1]["instances"] = 2
    pipeline.write_config()
    done = pipeline.ctl("reload")
    assert done.code == 0 and "stopping transformer.2" in done.out
    wait_for(lambda: labels(pipeline) == ["transformer.0", "transformer.1"],
             what=pipeline.status)
    assert pipeline.status()["scaled"] == []


def test_a_scale_reads_no_configuration(pipeline):
    """Nobody has checked the file as it is now."""
    pipeline.start()
    scale(pipeline, "transformer", 2)
    text = pipeline.config.read_text()
    pipeline.config.write_text(text + "\nnonsense = { };\n")
    scale(pipeline, "transformer", 1)
    assert post(pipeline, {"event_type": "order.placed",
                           "order_id": "O-1"}).status_code == 202
    wait_for(lambda: delivered_ids(pipeline))
    assert "reload_refused" not in pipeline.log("collector.0")
    pipeline.config.write_text(text)


@pytest.mark.parametrize("arguments, words", [
    (("metrics", 2), "metrics runs once"),
    (("eventhub-publisher", 2), "a table has one writer"),
    (("transformr", 2), 'did you mean "transformer"'),
    (("generator", 2), "no service"),
])
def test_what_cannot_be_scaled_is_refused(pipeline, arguments, words):
    pipeline.start()
    before = pipeline.topology()
    done = pipeline.ctl("scale", *arguments)
    assert done.code == 1 and words in done.err, done
    answer = pipeline.ctl("scale", *arguments, "--json")
    assert answer.code == 1 and not answer.json["ok"]
    assert words.split('"')[0] in answer.json["error"]
    assert pipeline.topology() == before


def four_ports():
    """The first of four in a row that nobody uses, or None."""
    first = lasting_port()
    with contextlib.ExitStack() as held, contextlib.suppress(OSError):
        for port in range(first, first + 4):
            one = held.enter_context(socket.socket())
            one.bind(("127.0.0.1", port))
        return first


def test_ports_of_another_link_are_not_taken(pipeline):
    port = wait_for(four_ports)
    pipeline.sections["links"] = {
        "raw": {"endpoint": f"tcp://127.0.0.1:{port}", "insecure": True},
        "eventhub": {"endpoint": f"tcp://127.0.0.1:{port + 2}",
                     "insecure": True}}
    pipeline.start()
    done = pipeline.ctl("scale", "transformer", 2)
    assert done.code == 1 and "eventhub-publisher.0 has" in done.err, done
    assert labels(pipeline) == ["transformer.0"]


@pytest.mark.parametrize("arguments, words", [
    ((), "say which service"),
    (("transformer",), "say which service"),
    (("transformer", 0), "'0' is no number of instances"),
    (("transformer", 65), "'65' is no number of instances"),
    (("transformer", "x"), "'x' is no number of instances"),
    (("transformer.0", 2), "is one instance"),
    (("transformer", 2, 3), "'3' is one argument too many"),
])
def test_wrong_command_lines_do_nothing(pipeline, arguments, words):
    pipeline.write_config()
    done = pipeline.ctl("scale", *arguments)
    assert done.code == 2 and words in done.err, done


def test_without_a_pipeline_it_says_so(pipeline):
    pipeline.write_config()
    done = pipeline.ctl("scale", "transformer", 2)
    assert done.code == 3 and "pipelinectl start" in done.err
    assert json.loads(pipeline.ctl("scale", "transformer", 2, "--json").out)[
        "code"] == "not_running"


def test_a_dead_sink_does_not_hold_up_a_scale_for_ever(pipeline):
    """Then what is in flight is sent again, and the log has it meanwhile."""
    pipeline.sections["pipeline"]["drain_timeout"] = "1s"
    pipeline.start()
    assert pipeline.ctl("stop", "eventhub-publisher").code == 0
    for n in range(20):
        assert post(pipeline, {"event_type": "order.placed",
                               "order_id": f"O-{n}"}).status_code == 202
    scale(pipeline, "transformer", 2)
    assert pipeline.ctl("start", "eventhub-publisher").code == 0
    wait_for(lambda: len(set(delivered_ids(pipeline))) == 20,
             what=pipeline.logs)
