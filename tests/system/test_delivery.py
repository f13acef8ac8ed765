"""What is acknowledged arrives: whole runs, kills under load, failing disks.

The generator is the client: it writes down each event id that was acknowledged.
Nothing of it may be missing from the output, and nothing else may be in it.
"""

import contextlib
import hashlib
import hmac
import json
import os
import shutil
import signal
import subprocess
import uuid
from decimal import Decimal

import pytest
import requests

from conftest import BUILD, LIBEXEC, ROOT, WAIT_S, wait_for

LOAD_TIMEOUT_S = 120


class Load:
    """A run of the generator beside the test."""

    def __init__(self, pipeline, *options):
        self.ledger = pipeline.folder / f"ledger-{uuid.uuid4().hex}"
        self.process = subprocess.Popen(
            [LIBEXEC / "generator", "--url", pipeline.url, "--ledger",
             self.ledger, *map(str, options)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def acknowledged(self):
        """The event ids that were acknowledged so far, in their order."""
        if not self.ledger.exists():
            return []
        return self.ledger.read_text().split()

    def finish(self):
        """Waits for its end and returns its report."""
        out, err = self.process.communicate(timeout=LOAD_TIMEOUT_S)
        assert self.process.returncode == 0, f"generator failed: {err}\n{out}"
        return json.loads(out)

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def load(pipeline):
    """Makes runs of the generator against the pipeline."""
    made = []

    def make(*options):
        made.append(Load(pipeline, *options))
        return made[-1]
    yield make
    for one in made:
        if one.process.poll() is None:
            one.kill()


def delivered_ids(pipeline):
    return [event["event_id"] for event in pipeline.delivered()]


def wait_delivered(pipeline, ids, timeout=60):
    """Waits until every id is in the output; returns the output's ids."""
    wanted = set(ids)

    def all_there():
        found = delivered_ids(pipeline)
        return found if wanted <= set(found) else None
    return wait_for(all_there, timeout, lambda: (
        f"{len(wanted - set(delivered_ids(pipeline)))} of {len(wanted)} "
        f"acknowledged events are missing\n{pipeline.logs()}"))


def post(pipeline, event, timeout=30):
    return requests.post(pipeline.url + "/events", json=event, timeout=timeout)


# --- what arrives ---------------------------------------------------------------

@pytest.fixture(params=["collector", "transformer"])
def mapped_at(pipeline, request):
    """Who applies contracts: what is delivered is the same."""
    pipeline.sections["collector"]["map"] = request.param
    return request.param


def counter(pipeline, name, service):
    """The value of a counter as metrics serves it."""
    text = requests.get(pipeline.metrics_url + "/metrics", timeout=10).text
    return sum(float(line.split()[-1]) for line in text.splitlines()
               if line.startswith(f"{name}{{") and
               f'service="{service}"' in line)


def test_a_run_reconciles_exactly(pipeline, load, mapped_at):
    pipeline.start()
    run = load("--count", 30000, "--bad-share", 0.02, "--seed", 7)
    report = run.finish()
    rejected = sum(report["rejected"].values())
    assert report["accepted"] + rejected == report["sent"] == 30000
    assert report["mismatches"] == 0 and all(report["rejected"].values())
    found = wait_delivered(pipeline, run.acknowledged())
    assert sorted(found) == sorted(run.acknowledged())
    assert len(found) == report["accepted"]
    wait_for(lambda: counter(pipeline, "weft_events_mapped_total", mapped_at)
             == report["accepted"])
    other = {"collector": "transformer", "transformer": "collector"}[mapped_at]
    assert counter(pipeline, "weft_events_mapped_total", other) == 0


def test_sinks_of_several_instances_share_the_events(pipeline, load, mapped_at):
    assert mapped_at
    pipeline.services[2]["instances"] = 3
    pipeline.start()
    run = load("--count", 20000)
    report = run.finish()
    found = wait_delivered(pipeline, run.acknowledged())
    assert len(found) == report["accepted"]
    owners = {}
    for path in pipeline.out_dir.glob("order-*.ndjson"):
        instance = path.name.split("-")[1]
        for line in path.read_text().splitlines():
            key = json.loads(line).get("order_id")
            owners.setdefault(key, set()).add(instance)
    owners.pop(None, None)
    assert set.union(*owners.values()) == set(
        path.name.split("-")[1] for path in pipeline.out_dir.iterdir())
    assert len(set.union(*owners.values())) == 3
    assert all(len(instances) == 1 for instances in owners.values())


def test_who_maps_may_change_while_events_wait(pipeline):
    """What the log holds unmapped is mapped, what it holds mapped is passed."""
    name = "Zoë"
    pipeline.sections["collector"]["map"] = "transformer"
    pipeline.start()
    assert pipeline.ctl("stop", "transformer").code == 0
    for where in ("collector", "transformer", "collector"):
        assert post(pipeline, {"event_type": "order.placed", "order_id": "O",
                               "customer_name": name}).status_code == 202
        pipeline.sections["collector"]["map"] = where
        pipeline.write_config()
        assert pipeline.ctl("restart", "collector").code == 0
    assert pipeline.ctl("start", "transformer").code == 0
    events = wait_for(lambda: len(pipeline.delivered()) == 3 and
                      pipeline.delivered(), what=pipeline.logs)
    secret = (pipeline.state_dir / "secret").read_text().strip().encode()
    wanted = hmac.new(secret, name.encode(), hashlib.sha256).hexdigest()
    assert [event["customer_name"] for event in events] == [wanted] * 3
    assert all(event["environment"] == "production" for event in events)
    wait_for(lambda: counter(pipeline, "weft_events_passed_total",
                             "transformer") == 1)


def post_lines(pipeline, lines, timeout=60):
    return requests.post(pipeline.url + "/events/batch", data="\n".join(lines),
                         headers={"Content-Type": "application/x-ndjson"},
                         timeout=timeout)


def test_events_that_grow_by_far_arrive(pipeline, mapped_at):
    """Mapped, one request of 10,000 such events is 35 MB: no single batch."""
    contracts = pipeline.folder / "contracts"
    shutil.copytree(ROOT / "etc" / "contracts", contracts)
    fields = ",\n".join(
        f'{{ name = "h{i}"; type = "string"; mask = "hash"; }}'
        for i in range(40))
    (contracts / "secretive.conf").write_text(
        'name = "secretive"; version = 1; extends = "base"; doc = "Secrets.";\n'
        'match = { event_type = "secret.thing"; };\n'
        f"fields = ({fields});\n"
        'lake = { table = "secretive"; mode = "append"; };\n')
    pipeline.sections["pipeline"]["contracts"] = contracts
    pipeline.start()
    line = json.dumps({"event_type": "secret.thing",
                       **{f"h{i}": "a" for i in range(40)},
                       "custom_properties": {"pad": "x" * 400}})
    done = post_lines(pipeline, [line] * 10000)
    assert done.status_code == 202, done.text[:300]
    assert done.json()["events_accepted"] == 10000
    wait_for(lambda: len(delivered_ids(pipeline)) >= 10000, 60, pipeline.logs)
    events = pipeline.delivered("secretive")
    assert len({event["event_id"] for event in events}) == 10000
    assert pipeline.process("transformer.0")["restarts"] == 0


def test_many_small_events_in_one_request_arrive(pipeline, mapped_at):
    pipeline.sections["collector"] |= {"max_events": 50000}
    pipeline.start()
    lines = ['{"event_type":"product.viewed"}'] * 49000
    done = post_lines(pipeline, lines)
    assert done.status_code == 202, done.text[:300]
    wait_for(lambda: len(delivered_ids(pipeline)) >= 49000, 60, pipeline.logs)
    assert len(set(delivered_ids(pipeline))) == 49000
    assert pipeline.process("transformer.0")["restarts"] == 0


def test_single_events_reconcile_exactly(pipeline, load):
    pipeline.start()
    run = load("--count", 3000, "--batch", 1, "--bad-share", 0.05,
               "--connections", 16)
    report = run.finish()
    found = wait_delivered(pipeline, run.acknowledged())
    assert sorted(found) == sorted(run.acknowledged())
    assert len(found) == report["accepted"]


def test_the_generator_keeps_its_rate(pipeline, load):
    pipeline.start()
    report = load("--count", 20_000, "--batch", 100, "--rate",
                  20_000).finish()
    assert 7_000 < report["events_per_second"] < 22_000, report


def test_who_speaks_is_not_called_silent(pipeline):
    pipeline.start()
    assert post(pipeline, {"event_type": "order.placed",
                           "order_id": "O-1"}).status_code == 202
    wait_for(pipeline.delivered)
    # Some ten states come and go, and as many looks for who is silent.
    wait_for(lambda: pipeline.process("collector.0")["uptime_ms"] > 2500)
    for label in ("collector.0", "transformer.0"):
        assert "_silent" not in pipeline.log(label), pipeline.log(label)
    # All of it is acknowledged: nothing waits in the collector's log.
    wait_for(lambda: pipeline.process("collector.0")["stats"]["log_bytes"]
             == 0, what=lambda: pipeline.status())


def test_every_counter_served_is_in_the_manual(pipeline):
    pipeline.start()
    assert post(pipeline, {"event_type": "order.placed",
                           "order_id": "O-1"}).status_code == 202
    assert post(pipeline, {"event_type": "nothing"}).status_code == 422
    manual = (ROOT / "docs" / "manual-config.md").read_text()

    def families():
        text = requests.get(pipeline.metrics_url + "/metrics", timeout=10).text
        found = {line.split()[2] for line in text.splitlines()
                 if line.startswith("# TYPE ")}
        wanted = {"weft_process_open_fds", "weft_event_to_sink_seconds",
                  "business_telemetry_events_failed_total"}
        return found if wanted <= found else None
    for name in wait_for(families):
        assert f"| `{name}` |" in manual, f"{name} is not in the manual"


def test_dashboards_of_the_old_service_find_their_names(pipeline):
    pipeline.start()
    assert post(pipeline, {"event_type": "order.placed", "order_id": "O-1",
                           "event_source": "shop"}).status_code == 202
    assert post(pipeline, {"event_type": "nothing"}).status_code == 422
    prefix = "business_telemetry_"
    wanted = [
        'events_received_total{event_type="order.placed",source="shop"} 1',
        'events_sent_total{sink_type="file"} 1',
        'events_failed_total{error_type="no_contract",sink_type="collector"} 1',
        'buffer_size{sink_type="file"} 0',
        'flush_duration_seconds_count{sink_type="file"} 1',
    ]

    def missing():
        text = requests.get(pipeline.metrics_url + "/metrics", timeout=10).text
        lines = text.splitlines()
        return [one for one in wanted if prefix + one not in lines]
    wait_for(lambda: not missing(), what=missing)


def test_values_arrive_as_they_were_sent(pipeline):
    pipeline.start()
    event = (
        '{"event_id":"5f0c0b1e-6f0a-4a58-9d5e-0a6d1c1f7b11",'
        '"event_type":"order.placed","event_source":"store-front",'
        '"event_time":"2026-02-03T04:05:06.789012+02:00",'
        '"order_id":"Ω-17 \\u00e9\\ud83d\\udc4d \\"quoted\\" \\\\ \\/",'
        '"order_total":123456789012.345678,"item_count":2147483647,'
        '"order_items":[{"productId":1,"price":1.10,"n":1e3,"deep":[[],{}]}],'
        '"processing_duration_ms":0,"ai_assisted":true,'
        '"custom_properties":{"big":9007199254740993,"small":-0.10,'
        '"none":null,"text":"日本語"}}')
    answer = requests.post(pipeline.url + "/events", data=event.encode(),
                           headers={"Content-Type": "application/json"},
                           timeout=30)
    assert answer.status_code == 202, answer.text
    wait_for(pipeline.delivered)
    (path,) = pipeline.out_dir.glob("order-*.ndjson")
    got = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    sent = json.loads(event, parse_float=Decimal)
    assert {k: got[k] for k in sent} == sent
    assert str(got["order_items"][0]["price"]) == "1.10"
    assert '"order_total":123456789012.345678' in path.read_text()


def test_console_prints_each_event_on_a_line(pipeline):
    pipeline.sections["eventhub-publisher"]["backend"] = "console"
    pipeline.start()
    for order in ("O-1", 'tricky "quoted" \\ \u2028', "O-3"):
        answer = post(pipeline, {"event_type": "order.placed",
                                 "event_id": order, "order_id": order})
        assert answer.status_code == 202, answer.text

    def printed():
        lines = [json.loads(line) for line in
                 pipeline.log("eventhub-publisher.0").split("\n")
                 if line and not line.startswith("time=")]
        return lines if len(lines) == 3 else None
    assert [e["order_id"] for e in wait_for(printed)] == [
        "O-1", 'tricky "quoted" \\ \u2028', "O-3"]


def test_names_leave_only_as_keyed_hashes(pipeline, mapped_at):
    pipeline.start()
    answer = post(pipeline, {
        "event_type": "order.placed", "order_id": "O-1",
        "customer_name": "Łukasz O'Neill", "customer_email": "l@example.com"})
    assert answer.status_code == 202, answer.text
    (event,) = wait_for(pipeline.delivered)
    secret = (pipeline.state_dir / "secret").read_text().strip().encode()
    for field, value in (("customer_name", "Łukasz O'Neill"),
                         ("customer_email", "l@example.com")):
        assert event[field] == hmac.new(secret, value.encode(),
                                        hashlib.sha256).hexdigest()
    wait_for(lambda: counter(pipeline, "weft_fields_masked_total", mapped_at)
             == 2)
    on_disk = {path.relative_to(pipeline.state_dir).parts[0]
               for path in pipeline.state_dir.rglob("*") if path.is_file()
               and b"l@example.com" in path.read_bytes()}
    assert on_disk == (set() if mapped_at == "collector" else {"collector.0"})


# --- kills under load -------------------------------------------------------------

@pytest.mark.parametrize("service", ["collector", "transformer",
                                     "eventhub-publisher", "metrics"])
def test_kill_of_one_service_loses_nothing(pipeline, load, service):
    pipeline.start()
    run = load("--rate", 10000, "--count", 60000)
    for _ in range(3):
        seen = len(run.acknowledged())
        wait_for(lambda: len(run.acknowledged()) > seen + 5000)
        old = pipeline.kill(service)
        pipeline.wait_restarted(service, old)
    report = run.finish()
    assert report["mismatches"] == 0
    found = wait_delivered(pipeline, run.acknowledged())
    assert set(found) == set(run.acknowledged())
    if service in ("transformer", "metrics"):
        assert len(found) == len(set(found)), "nothing was replayed"


def test_kill_of_everything_loses_nothing(pipeline, load):
    pipeline.start()
    runs = []
    for seed in range(3):
        runs.append(load("--rate", 20000, "--count", 0, "--seed", seed,
                         "--give-up", "60s"))
        wait_for(lambda: len(runs[-1].acknowledged()) > 5000)
        pids = pipeline.pids()
        for pid in pids:
            # Those after weftd may have died with it already.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        runs[-1].kill()
        wait_for(lambda: pipeline.ctl("status").code == 3)
        pipeline.start()
    acknowledged = [i for run in runs for i in run.acknowledged()]
    wait_delivered(pipeline, acknowledged)


def test_reload_under_load_repeats_nothing(pipeline, load):
    pipeline.start()
    run = load("--rate", 10000, "--count", 30000)
    for _ in range(5):
        seen = len(run.acknowledged())
        wait_for(lambda: len(run.acknowledged()) > seen + 3000)
        assert pipeline.ctl("reload").code == 0
    run.finish()
    found = wait_delivered(pipeline, run.acknowledged())
    assert sorted(found) == sorted(run.acknowledged())


def test_stop_leaves_nothing_in_flight(pipeline, load):
    pipeline.start()
    run = load("--count", 20000)
    run.finish()
    pipeline.stop()
    assert sorted(delivered_ids(pipeline)) == sorted(run.acknowledged())


# --- a disk that fails --------------------------------------------------------------

class Disk:
    """What the preloaded shim reads before each sync."""

    def __init__(self, pipeline):
        self.word = pipeline.folder / "fault"
        self.set("ok")
        pipeline.env["LD_PRELOAD"] = str(
            BUILD / "tests" / "preload" / "faultdisk.so")
        pipeline.env["WEFT_FAULT_FILE"] = str(self.word)
        pipeline.env["ASAN_OPTIONS"] = "verify_asan_link_order=0:" + \
            os.environ.get("ASAN_OPTIONS", "")

    def set(self, word):
        new = self.word.with_suffix(".new")
        new.write_text(word)
        new.rename(self.word)


@pytest.fixture
def disk(pipeline):
    """A disk of the pipeline that fails on demand."""
    one = Disk(pipeline)
    pipeline.sections["collector"] |= {"segment_size": "1MiB",
                                       "ack_timeout": "1s"}
    yield one
    one.set("ok")


ORDER = {"event_type": "order.placed", "order_id": "O-1"}


def fill_a_segment(pipeline):
    """Posts what needs a new segment of the collector's log; the answers."""
    events = [dict(ORDER, custom_properties={"pad": "x" * 10000})] * 150
    return requests.post(pipeline.url + "/events/batch", json=events,
                         timeout=30)


@pytest.mark.parametrize("fault", ["eio", "hang"])
def test_no_2xx_without_a_sync(pipeline, disk, fault):
    pipeline.start()
    assert post(pipeline, ORDER).status_code == 202
    disk.set(fault)
    for _ in range(3):
        answer = post(pipeline, ORDER)
        assert answer.status_code == 503, answer.text
        assert "Retry-After" in answer.headers
    disk.set("ok")
    wait_for(lambda: post(pipeline, ORDER).status_code == 202, WAIT_S)


def test_a_service_comes_back_when_its_disk_does(pipeline, disk):
    pipeline.start()
    assert post(pipeline, ORDER).status_code == 202
    disk.set("eio")
    pipeline.kill("collector.0")
    wait_for(lambda: "start_failed" in pipeline.log("collector.0"))
    pipeline.wait_state("collector.0", "backoff")
    disk.set("ok")
    pipeline.wait_state("collector.0", "ready")
    assert post(pipeline, ORDER).status_code == 202


@pytest.mark.parametrize("fault", ["dir-eio", "dir-hang"])
def test_no_2xx_without_the_directory_sync(pipeline, disk, fault):
    pipeline.start()
    assert fill_a_segment(pipeline).status_code == 202
    disk.set(fault)
    answers = [fill_a_segment(pipeline).status_code for _ in range(3)]
    # The record that ends a segment still lies in one that is durable.
    assert answers[1:] == [503, 503], answers
    disk.set("ok")
    wait_for(lambda: fill_a_segment(pipeline).status_code == 202, WAIT_S)


def test_an_unreadable_log_is_read_again_without_a_push(pipeline):
    # Nothing is to be read, and the file left open, before it is spoilt.
    pipeline.sections["eventhub-publisher"] |= {
        "cache_size": "0", "retry_max": "4s", "circuit_threshold": 1,
        "circuit_cool_down": "4s"}
    pipeline.out_dir.write_text("a file where the directory belongs")
    pipeline.start()
    post(pipeline, {"event_type": "product.viewed"})
    log = pipeline.state_dir / "eventhub-publisher.0" / "log"
    segment = wait_for(lambda: next(iter(log.glob("*.log")), None))
    post(pipeline, {"event_type": "product.viewed"})
    wait_for(lambda: "waiting for file (circuit open): " in
             pipeline.process("eventhub-publisher.0")["status"])
    # What comes later would be delivered from memory.
    wait_for(lambda: len(pipeline.ctl("spool", "show", "eventhub-publisher.0")
                         .out.splitlines()) == 2)
    # What the name leads to for a while cannot be opened: ELOOP.
    os.link(segment, log / "kept")
    (log / "loop").symlink_to(segment.name)
    (log / "loop").rename(segment)
    pipeline.out_dir.unlink()
    wait_for(lambda: "spool_read_failed" in pipeline.log("eventhub-publisher.0"),
             what=pipeline.logs)
    wait_for(lambda: not pipeline.process("eventhub-publisher.0")["status"])
    (log / "kept").rename(segment)
    wait_for(lambda: len(pipeline.delivered()) == 2, what=pipeline.logs)


def test_output_files_are_exact_after_a_failed_sync(pipeline, disk, load):
    pipeline.start()
    run = load("--rate", 5000, "--count", 20000)
    wait_for(lambda: len(run.acknowledged()) > 3000)
    disk.set("eio")
    wait_for(lambda: "backend_failed" in pipeline.log("eventhub-publisher.0"))
    disk.set("ok")
    run.finish()
    found = wait_delivered(pipeline, run.acknowledged())
    assert sorted(set(found)) == sorted(run.acknowledged())


@pytest.fixture
def small_disk(pipeline):
    """A disk of 40 MiB for all of the pipeline's state."""
    pipeline.state_dir.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m,mode=700", "tmpfs",
         pipeline.state_dir], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield pipeline.state_dir
    pipeline.clean_up()
    subprocess.run(["umount", pipeline.state_dir], check=True)


def free_bytes(path):
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


@pytest.mark.parametrize("how", ["small", "greedy", "defaults"])
def test_a_full_disk_drains_by_itself(pipeline, small_disk, how):
    if how != "defaults":
        pipeline.sections["eventhub-publisher"] |= {"segment_size": "1MiB",
                                                    "log_reserve": "4MiB"}
        pipeline.sections["collector"]["segment_size"] = "1MiB"
    pipeline.start()
    publisher = pipeline.kill("eventhub-publisher", signal.SIGSTOP)
    acknowledged = []
    for n in range(100):
        events = [dict(ORDER, event_id=f"e{n}-{k}",
                       custom_properties={"pad": "x" * 10000})
                  for k in range(100)]
        answer = requests.post(pipeline.url + "/events/batch", json=events,
                               timeout=30)
        if answer.status_code == 503:
            break
        assert answer.status_code == 202, answer.text
        acknowledged += [event["event_id"] for event in events]
    assert answer.status_code == 503 and "Retry-After" in answer.headers
    assert len(acknowledged) > 500
    # The collector stopped while the disk had room for the publisher.
    assert free_bytes(small_disk) > 1 << 20
    if how == "greedy":
        with open(small_disk / "junk", "wb", buffering=0) as junk:
            with pytest.raises(OSError):
                while True:
                    junk.write(bytes(65536))
        assert free_bytes(small_disk) < 65536
    try:
        os.kill(publisher, signal.SIGCONT)
    except ProcessLookupError:
        pass  # its watchdog was faster; it is started again
    found = wait_delivered(pipeline, acknowledged)
    assert set(acknowledged) <= set(found)
    if how == "greedy":
        (small_disk / "junk").unlink()
    wait_for(lambda: post(pipeline, ORDER).status_code == 202,
             what=lambda: f"{free_bytes(small_disk)}\n{pipeline.logs()}")
