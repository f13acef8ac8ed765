"""metrics: what processes report is what Prometheus and status can read.

Reports are made here from proto/stats.md alone and pushed over a hand-made
ZeroMQ connection, so that the specification, not the C codec, is the judge.
"""
import http.client
import json
import os
import shutil
import socket
import struct
import subprocess
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("WEFT_BUILD", "build"))
COUNTER, GAUGE, HISTOGRAM = range(3)
NONE, BUCKET, SUM, COUNT = range(4)
STARTED_US = 1_700_000_000_000_000


# --- a process that reports ---------------------------------------------------

def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def family(name, help_text, kind, *samples):
    """A family record and its samples, each (suffix, labels, value)."""
    name, help_text = name.encode(), help_text.encode()
    out = struct.pack("<BBHH", 1, kind, len(name), len(help_text))
    out += name + b"\0" + help_text + b"\0"
    for suffix, labels, value in samples:
        labels = labels if isinstance(labels, bytes) else labels.encode()
        out += struct.pack("<BBHd", 2, suffix, len(labels), value)
        out += labels + b"\0"
    return out


def message(service, records, instance=0, pid=1, started_us=STARTED_US,
            sent_us=STARTED_US):
    service = service.encode()
    length = 40 + len(service) + 1 + len(records) + 4
    head = struct.pack("<4sHHIIIIqq", b"WTST", 1, len(service), length,
                       instance, pid, 0, started_us, sent_us)
    body = head + service + b"\0" + records
    return body + struct.pack("<I", crc32c(body))


class Push:
    """One ZMTP 3.0 PUSH peer with the NULL mechanism (RFC 23)."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(path))
        greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL"
        self.socket.sendall(greeting.ljust(64, b"\0"))
        self.read(64)
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 4) + b"PUSH"
        self.socket.sendall(bytes([4, len(ready)]) + ready)
        flags, = self.read(1)
        size = self.read(1)[0] if flags == 4 else \
            struct.unpack(">Q", self.read(8))[0]
        assert b"READY" in self.read(size)

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "metrics closed the connection"
            data += more
        return data

    def send(self, data):
        self.socket.sendall(b"\x02" + struct.pack(">Q", len(data)) + data)


# --- metrics, running ---------------------------------------------------------

class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


class Metrics:
    def __init__(self, folder, stale):
        self.folder = folder
        self.log = open(folder / "metrics.log", "w+", encoding="utf-8")
        (folder / "run").mkdir()
        (folder / "contracts").mkdir()
        config = folder / "weft.conf"
        config.write_text(f"""
            pipeline = {{ name = "test"; state_dir = "{folder}/state";
                run_dir = "{folder}/run"; contracts = "{folder}/contracts"; }};
            services = ( {{ name = "metrics"; }} );
            metrics = {{ listen = "unix:{folder}/http"; stale = "{stale}"; }};
            """)
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "libexec/weft/metrics"), "--config", config],
            stderr=self.log, stdin=subprocess.DEVNULL)
        self.until(self.serves, "metrics serves")

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def until(self, condition, what, seconds=15):
        deadline = time.monotonic() + seconds
        while True:
            result = condition()
            if result:
                return result
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, \
                f"not within {seconds} s: {what}\n{self.said()}"
            time.sleep(0.02)  # pause between polls

    def serves(self):
        try:
            return self.get("/health/ready").status == 200
        except OSError:
            return False

    def get(self, path, method="GET", **headers):
        connection = UnixConnection(self.folder / "http")
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            answer.text = answer.read().decode()
            return answer
        finally:
            connection.close()

    def lines(self):
        return self.get("/metrics").text.splitlines()

    def shows(self, line):
        self.until(lambda: line in self.lines(), line)

    def push(self):
        return Push(self.folder / "run" / "stats")

    def stop(self):
        """Ends it; gives the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.log.close()


@pytest.fixture
def metrics(tmp_path, request):
    m = Metrics(tmp_path, getattr(request, "param", "60s"))
    yield m
    if not m.log.closed:
        assert m.stop() == 0


def promtool():
    for path in (os.environ.get("WEFT_PROMTOOL"),
                 os.path.join(BUILD, "tools/promtool"),
                 os.path.join(ROOT, ".venv/bin/promtool"),
                 shutil.which("promtool")):
        if path and os.access(path, os.X_OK):
            return path
    raise AssertionError("no promtool; run scripts/bootstrap --tier test")


RECEIVED = "business_telemetry_events_received_total"
PIPELINE = (
    family(RECEIVED, "Events received.", COUNTER,
           (NONE, r'source="shop",event_type="order.placed"', 7),
           (NONE, b'source="odd \\" \\\\ \\n \xff",event_type="x"', 1)) +
    family("weft_event_to_sink_seconds", "End to end.", HISTOGRAM,
           (BUCKET, 'le="0.001"', 1), (BUCKET, 'le="0.1"', 3),
           (BUCKET, 'le="+Inf"', 4), (SUM, "", 0.35), (COUNT, "", 4)) +
    family("weft_spool_backlog_bytes", "Waiting in the log.", GAUGE,
           (NONE, "", 1234)))


# --- the stories --------------------------------------------------------------

def test_promtool_accepts_the_text(metrics):
    metrics.push().send(message("collector", PIPELINE))
    metrics.shows(RECEIVED + '{event_type="order.placed",source="shop"} 7')
    answer = metrics.get("/metrics")
    assert answer.headers["Content-Type"] == \
        "text/plain; version=0.0.4; charset=utf-8"
    check = subprocess.run([promtool(), "check", "metrics"], timeout=30,
                           input=answer.text, capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr
    assert check.stdout + check.stderr == ""
    lines = answer.text.splitlines()
    assert lines.count(f"# TYPE {RECEIVED} counter") == 1
    assert 'weft_event_to_sink_seconds_bucket{le="+Inf",' \
           'service="collector"} 4' in lines
    assert 'weft_spool_backlog_bytes{process="collector.0",' \
           'service="collector"} 1234' in lines


def test_openmetrics_when_the_client_prefers_it(metrics):
    metrics.push().send(message("collector", PIPELINE))
    metrics.shows(RECEIVED + '{event_type="order.placed",source="shop"} 7')
    answer = metrics.get(
        "/metrics", Accept="application/openmetrics-text;version=1.0.0,"
        "application/openmetrics-text;version=0.0.1;q=0.75,"
        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
    assert answer.headers["Content-Type"].startswith(
        "application/openmetrics-text; version=1.0.0")
    assert f"# TYPE {RECEIVED[:-6]} counter\n" in answer.text
    assert answer.text.endswith("\n# EOF\n")


def test_metrics_reports_itself(metrics):
    metrics.until(
        lambda: any(line.startswith('weft_process_cpu_seconds_total'
                                    '{process="metrics.0",')
                    for line in metrics.lines()), "its own CPU time")
    text = metrics.get("/metrics").text
    for name in ("weft_process_resident_memory_bytes",
                 "weft_process_open_fds", "weft_process_start_time_seconds",
                 "weft_metrics_scrapes_total", "weft_metrics_series"):
        assert f"# TYPE {name} " in text


@pytest.mark.parametrize("metrics", ["2s"], indirect=True, ids=["stale=2s"])
def test_counters_survive_a_restart_and_gauges_go(metrics):
    def told(count, **life):
        return message("collector", family(
            "weft_x_total", "X.", COUNTER, (NONE, "", count)) + family(
            "weft_depth", "D.", GAUGE, (NONE, "", count)), **life)

    push = metrics.push()
    push.send(told(10))
    push.send(told(5, instance=1))
    metrics.shows('weft_x_total{service="collector"} 15')
    again = metrics.push()
    again.send(told(1, pid=2, started_us=STARTED_US + 1))
    metrics.shows('weft_x_total{service="collector"} 16')
    # nobody reports any more: after `stale` only the counter is left
    metrics.until(lambda: "weft_depth" not in metrics.get("/metrics").text,
                  "the gauges go")
    metrics.shows('weft_x_total{service="collector"} 16')


def test_stats_json(metrics):
    push = metrics.push()
    for second, count in enumerate((0, 100, 200)):
        push.send(message(
            "collector", family(RECEIVED, "E.", COUNTER,
                                (NONE, 'source="a",event_type="b"', count)) +
            family("weft_spool_backlog_bytes", "B.", GAUGE, (NONE, "", 77)),
            pid=42, sent_us=STARTED_US + second * 1_000_000))
    metrics.shows(RECEIVED + '{event_type="b",source="a"} 200')
    answer = metrics.get("/stats.json")
    assert answer.headers["Content-Type"] == "application/json"
    snapshot = json.loads(answer.text)
    collector = snapshot["processes"][0]
    assert (collector["service"], collector["instance"]) == ("collector", 0)
    assert collector["pid"] == 42
    assert collector["started_at"] == "2023-11-14T22:13:20.000000Z"
    assert collector["events_in"] == 200
    assert collector["events_in_per_s"] == 100
    assert collector["log_bytes"] == 77
    assert collector["events_out_per_s"] is None
    assert 0 <= collector["heard_ms_ago"] < 10000


def test_bad_reports_are_counted_and_harm_nothing(metrics):
    good = message("collector", PIPELINE)
    push = metrics.push()
    bad = [b"", b"x", good[:-1], good + b"\0", good[:100] + b"\xff" + good[101:],
           message("collector", PIPELINE[:-3]),
           message("../x", PIPELINE),
           message("collector", family("no name", "", GAUGE))]
    for data in bad:
        push.send(data)
    push.send(good)
    metrics.shows(RECEIVED + '{event_type="order.placed",source="shop"} 7')
    metrics.until(
        lambda: f'weft_metrics_refused_total{{service="metrics"}} {len(bad)}'
        in metrics.lines(), "all are counted")
    assert "stats_refused" in metrics.said()


def test_a_peer_that_sends_too_much_is_cut_off(metrics):
    greedy = metrics.push()
    with pytest.raises(OSError):
        greedy.send(bytes(64 << 20))
    metrics.push().send(message("collector", PIPELINE))
    metrics.shows(RECEIVED + '{event_type="order.placed",source="shop"} 7')


def test_paths_and_methods(metrics):
    assert json.loads(metrics.get("/health/live").text) == {"status": "live"}
    assert metrics.get("/health/ready").status == 200
    head = metrics.get("/metrics", method="HEAD")
    assert (head.status, head.text) == (200, "")
    answer = metrics.get("/metrics", method="POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    answer = metrics.get("/nothing")
    assert answer.status == 404
    assert json.loads(answer.text)["error"]["code"] == "not_found"


def test_it_stops_cleanly(metrics):
    metrics.push().send(message("collector", PIPELINE))
    metrics.shows(RECEIVED + '{event_type="order.placed",source="shop"} 7')
    assert metrics.stop() == 0
