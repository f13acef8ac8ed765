"""The supervisor over the real services: what a user sees of a pipeline."""

import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
import requests

from conftest import PIPELINECTL, ROOT, alive, wait_for


def order(number):
    return {"event_type": "order.placed", "event_source": "store-front",
            "order_id": f"o-{number}"}


def post(pipeline, number, timeout=30):
    return requests.post(pipeline.url + "/events", json=order(number),
                         timeout=timeout)


def delivered(pipeline):
    return {event["order_id"] for event in pipeline.delivered()}


def columns(pipeline, label):
    """The cells of a process in the table of status."""
    table = pipeline.ctl("status").out.splitlines()
    return next(line for line in table if line.startswith(label)).split()


def test_status_joins_processes_with_their_numbers(pipeline):
    pipeline.start()
    assert post(pipeline, 1).status_code == 202

    def counted():
        stats = {p["service"]: p["stats"]
                 for p in pipeline.status()["services"]}
        return all(stats.values()) and \
            stats["collector"]["log_bytes"] is not None and \
            stats["eventhub-publisher"]["events_in"] == 1
    wait_for(counted, what=pipeline.status)
    # Events a second need two looks at the counters.
    wait_for(lambda: "-" not in columns(pipeline, "transformer.0")[5:7])


def test_status_without_metrics_has_dashes(pipeline):
    pipeline.start()
    assert pipeline.ctl("stop", "metrics").code == 0
    assert columns(pipeline, "collector.0")[5:8] == ["-", "-", "-"]


@pytest.mark.parametrize("row", ["collector", "transformer",
                                 "eventhub-publisher", "metrics"])
def test_events_flow_again_within_two_seconds_of_a_kill(pipeline, row):
    pipeline.start()
    assert post(pipeline, 1).status_code == 202
    wait_for(lambda: delivered(pipeline) == {"o-1"})
    old = pipeline.kill(row)
    began = time.monotonic()
    wait_for(lambda: not alive(old))
    answer = post(pipeline, 2)
    assert answer.status_code == 202, answer.text
    wait_for(lambda: "o-2" in delivered(pipeline))
    assert time.monotonic() - began < 2
    assert pipeline.wait_restarted(row, old)["restarts"] == 1


def test_collector_restart_refuses_nobody(pipeline):
    pipeline.start()
    stop = False

    def client(first):
        sent = 0
        while not stop or sent == 0:
            # A connection for each: it may wait in the queue of the socket.
            answer = post(pipeline, f"{first}-{sent}")
            assert answer.status_code == 202, answer.text
            sent += 1
        return {f"o-{first}-{n}" for n in range(sent)}

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, n) for n in range(4)]
        for _ in range(3):
            assert pipeline.ctl("restart", "collector").code == 0
        stop = True
        sent = set().union(*(c.result(60) for c in clients))
    wait_for(lambda: sent <= delivered(pipeline))


def test_clean_stop_leaves_nothing_in_flight(pipeline):
    pipeline.start()
    batch = [order(n) for n in range(5000)]
    for _ in range(4):
        answer = requests.post(pipeline.url + "/events/batch", json=batch,
                               timeout=30)
        assert answer.status_code == 202
    pipeline.stop()
    assert len(pipeline.delivered()) == 20000
    pipeline.start()
    assert post(pipeline, "after").status_code == 202
    wait_for(lambda: "o-after" in delivered(pipeline))
    assert len(pipeline.delivered()) == 20001, "and nothing came twice"


def test_all_killed_with_the_supervisor_come_back(pipeline):
    pipeline.start()
    pids = pipeline.pids()
    assert post(pipeline, 1).status_code == 202
    os.kill(pids[0], signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in pids), 5)
    pipeline.start()
    wait_for(lambda: "o-1" in delivered(pipeline))


def test_reload_scales_the_transformer(pipeline):
    pipeline.start()
    pipeline.services[1]["instances"] = 2
    pipeline.write_config()
    done = pipeline.ctl("reload")
    assert done.code == 0 and "started transformer.1" in done.out, done
    pipeline.wait_state("transformer.1", "ready")
    for n in range(50):
        assert post(pipeline, n).status_code == 202
    wait_for(lambda: len(delivered(pipeline)) == 50,
             what=lambda: pipeline.logs())


PING = """name = "ping"; version = 1; extends = "base"; doc = "A test.";
match = { event_type = "ping"; };
fields = ( );
"""


def ping(pipeline):
    return requests.post(pipeline.url + "/events", timeout=30,
                         json={"event_type": "ping"}).status_code


def test_reload_takes_contracts_from_their_new_place(pipeline, folder):
    pipeline.start()
    assert ping(pipeline) == 422
    new = folder / "new"
    shutil.copytree(ROOT / "etc" / "contracts", new)
    (new / "ping.conf").write_text(PING)
    pipeline.sections["pipeline"]["contracts"] = new
    pipeline.write_config()
    assert pipeline.ctl("reload").code == 0
    wait_for(lambda: ping(pipeline) == 202, what=pipeline.logs)


def test_reload_takes_all_or_nothing(pipeline, folder):
    place = folder / "contracts"
    shutil.copytree(ROOT / "etc" / "contracts", place)
    pipeline.sections["pipeline"]["contracts"] = place
    pipeline.start()
    good = pipeline.config.read_text()
    (place / "ping.conf").write_text(PING)

    def refused(times):
        pipeline.kill("collector", signal.SIGHUP)
        log = wait_for(
            lambda: pipeline.log("collector.0").count("reload_refused")
            == times and pipeline.log("collector.0"), what=pipeline.logs)
        assert ping(pipeline) == 422, "nothing of it was taken"
        assert "mend it and reload again" in log
    # Good contracts beside a bad configuration, then the other way round.
    pipeline.config.write_text(good + "pipelin = { };\n")
    refused(1)
    pipeline.config.write_text(good)
    (place / "bad.conf").write_text("nonsense")
    refused(2)
    (place / "bad.conf").unlink()
    pipeline.kill("collector", signal.SIGHUP)
    wait_for(lambda: ping(pipeline) == 202, what=pipeline.logs)


def test_a_contract_set_that_is_elsewhere_is_named(pipeline, folder):
    """As on a host whose transformer serves a collector on another one."""
    place = folder / "contracts"
    shutil.copytree(ROOT / "etc" / "contracts", place)
    pipeline.sections["pipeline"]["contracts"] = place
    pipeline.sections["collector"]["map"] = "transformer"
    pipeline.start()
    assert pipeline.ctl("stop", "transformer").code == 0
    assert post(pipeline, 1).status_code == 202
    kept = pipeline.state_dir / "contracts"
    (name,) = (d.name for d in kept.iterdir() if d.is_dir())
    (kept / name).rename(folder / name)
    (place / "ping.conf").write_text(PING)
    assert pipeline.ctl("start", "transformer").code == 0

    def waits():
        status = pipeline.process("transformer")["status"]
        log = pipeline.log("transformer.0")
        return status if "batch_waits" in log and name in status else None
    status = wait_for(waits, what=pipeline.logs)
    log = pipeline.log("transformer.0")
    (line,) = (one for one in log.splitlines() if "batch_waits" in one)
    source = status.partition("of source ")[2].partition(";")[0]
    assert len(source) == 36 and source in line
    assert f"contracts/{name}" in line and f"{kept}" in line
    assert "same contracts" in line
    # A copy is not there at once; it is taken when it is whole.
    shutil.copytree(folder / name, kept / name)
    wait_for(lambda: delivered(pipeline) == {"o-1"}, what=pipeline.logs)
    wait_for(lambda: pipeline.process("transformer")["status"] == "")


def test_logs_show_what_services_say(pipeline):
    pipeline.start()
    done = pipeline.ctl("logs", "-n", "100")
    for label in ("weftd", "collector.0", "transformer.0", "metrics.0"):
        assert f"service={label} " in done.out
    times = [line.split()[0] for line in done.out.splitlines()]
    assert times == sorted(times)


def test_start_with_built_in_defaults_needs_no_file(folder):
    env = dict(os.environ, HOME=str(folder), XDG_RUNTIME_DIR=str(folder))
    for name in ("WEFT_CONFIG", "XDG_STATE_HOME", "NOTIFY_SOCKET"):
        env.pop(name, None)
    if os.path.exists("/etc/weft/weft.conf"):
        env["WEFT_CONFIG"] = "/nonexistent"

    def ctl(*arguments):
        return subprocess.run([PIPELINECTL, *arguments, "--json"], env=env,
                              capture_output=True, text=True, timeout=60,
                              check=False)
    started = ctl("start")
    try:
        answer = json.loads(started.stdout)
        # The default ports may be another's here; then it says so.
        if started.returncode == 0:
            assert answer["config"] is None
            assert json.loads(ctl("status").stdout)["state"] == "running"
        else:
            assert "listen" in answer["error"], answer
    finally:
        assert ctl("stop").returncode == 0
