"""Attempts to break in: each is refused, told exactly, and costs nobody else.

Other attempts are beside what they try to break: HTTP's grammar, byte by byte,
in the unit tests of the server; TLS in test_collector_http.py; forged notices and
garbage on the control socket in test_supervisor.py.
"""

import base64
import contextlib
import ctypes
import hashlib
import json
import os
import pathlib
import re
import resource
import socket
import ssl
import stat
import subprocess
import threading

import pytest
import requests

from collector_helper import Collector, order
from conftest import LIBEXEC, wait_for
from test_check import CONTRACT, ctl  # noqa: F401
from test_collector_http import (BODY, GOOD, HEAD, certificate, handshake,
                                 secure)  # noqa: F401
from test_lake import add_writer, contracts_of
from test_supervisor import FakePipeline

LIBC = ctypes.CDLL(None, use_errno=True)

# Somebody else on this machine.
OTHER = 54321 if os.geteuid() == 0 else os.geteuid()


@pytest.fixture
def collectors(folder):
    made = []

    def make(**settings):
        place = folder / str(len(made))
        place.mkdir()
        made.append(Collector(place, **settings))
        return made[-1].start()
    yield make
    for one in made:
        one.clean_up()


@pytest.fixture
def fakes(folder):
    one = FakePipeline(folder)
    yield one
    one.clean_up()


# -- requests within requests --

CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize("headers", [
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Transfer-Encoding: chunked\x00\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding: identity, chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: chunke\r\n d\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b"X: y\nTransfer-Encoding: chunked\r\n",
    b"X: y\rTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\n",
    b"Transfer-Encoding\r\n: chunked\r\n",
    b"\xefTransfer-Encoding: chunked\r\nTransfer\xadEncoding: chunked\r\n",
    CHUNKED + b"Content-Length: 0\r\n",
    b"Content-Length: 0\r\n" + CHUNKED,
    CHUNKED + b"transfer-encoding: identity\r\n",
    b"Content-Length : 0\r\n",
    b"Content-Length: 0\r\nContent-Length: 0\r\n",
    b"Content-Length: 0, 0\r\n",
    b"Content-Length: \x0b0\r\n",
    b"Content-Length: 0\x00\r\n",
    b"Content-Length: 0\n",
    b"Content\r\n-Length: 0\r\n",
])
def test_no_request_hides_in_another(collectors, headers):
    """Ours and a proxy's ideas of where a request ends must not differ."""
    collector = collectors()
    hidden = json.dumps(order("smuggled")).encode()
    said = collector.raw(HEAD + headers + b"\r\n0\r\n\r\n" + HEAD +
                         b"Content-Length: %d\r\n\r\n%s" % (len(hidden),
                                                            hidden), end=True)
    assert len(said) == 1 and said[0][0] in (400, 501), said
    assert said[0][1]["connection"] == "close"
    assert b"smuggled" not in collector.stored()
    assert collector.post("/events", order(1)).status_code == 202


@pytest.mark.parametrize("body, status", [
    (b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), 202),
    (b"%x;a=b;c=\"d\"\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), 202),
    (b"%x;a=b\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), 400),
    (b"%x;a\rb\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), 400),
    (b"%x \r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), 400),
    (b"0x%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), 400),
    (b"%x\r\n%sxx0\r\n\r\n" % (len(BODY), BODY), 400),
    (b"%x\r\n%s\n0\n\n" % (len(BODY), BODY), 400),
    (b"ffffffffffffffff\r\n", 400),
    (b"%x\r\n%s\r\n0\r\nContent-Length: 9\r\n\r\n" % (len(BODY), BODY), 400),
])
def test_chunks_are_read_one_way_only(collectors, body, status):
    collector = collectors(body_timeout="500ms")
    said = collector.raw(HEAD + CHUNKED + b"\r\n" + body + GOOD, end=True)
    assert [one[0] for one in said] == \
        ([202, 202] if status == 202 else said and [said[0][0]])
    assert said[0][0] in (status, 413)


def test_chunk_extensions_take_no_memory(collectors):
    collector = collectors(body_timeout="5s")
    before = collector.metric("weft_process_resident_memory_bytes")
    said = collector.raw(HEAD + CHUNKED + b"\r\n1;" + b"x" * 40_000_000)
    assert said[0][0] in (400, 408, 413, 431)
    after = collector.metric("weft_process_resident_memory_bytes")
    assert after < before + 20e6


# -- clients that take their time --

def test_slow_clients_hold_up_nobody_and_end(collectors):
    collector = collectors(header_timeout="1s", body_timeout="1s",
                           max_connections=500)
    half = [GOOD[:30], GOOD[:-5]]
    slow = [collector.connect() for _ in range(200)]
    try:
        for number, one in enumerate(slow):
            one.sendall(half[number % 2])
            one.settimeout(30)
        assert collector.post("/events", order(1)).elapsed.total_seconds() < 1

        def given_up():
            for one in list(slow):
                try:
                    one.sendall(b"x")  # a drop now and then buys no time
                    one.recv(65536, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    continue
                except OSError:
                    pass
                one.close()
                slow.remove(one)
            return not slow
        wait_for(given_up, 20)
    finally:
        for one in slow:
            one.close()
    wait_for(lambda: collector.metric("weft_http_open_connections") <= 1)
    assert collector.metric("weft_http_timeouts_total") == 200


def test_clients_that_read_no_answer_are_given_up(collectors):
    collector = collectors(body_timeout="1s")
    before = collector.metric("weft_process_resident_memory_bytes")
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 20000
    deaf = [collector.connect() for _ in range(10)]

    def talk(one):
        try:
            one.sendall(ask)
        except OSError:
            pass
    for one in deaf:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    threads = [threading.Thread(target=talk, args=(one,)) for one in deaf]
    for thread in threads:
        thread.start()
    assert collector.post("/events", order(1)).status_code == 202
    wait_for(lambda: collector.metric("weft_http_timeouts_total") >= 10, 30)
    assert collector.metric("weft_process_resident_memory_bytes") < \
        before + 30e6
    for one in deaf:
        one.close()
    for thread in threads:
        thread.join()


# -- keys --

def hashed(name, key, rate=""):
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}{rate}"


def test_the_limit_of_one_key_is_not_anothers(folder, collectors):
    (folder / "keys").write_text("\n".join([
        hashed("slow", "key-of-slow", ":5"), hashed("fast", "key-of-fast"),
        hashed("other", "key-of-other", ":5")]))
    (folder / "keys").chmod(0o600)
    collector = collectors(api_keys="${file:%s}" % (folder / "keys"))

    def post(key, count=1):
        return collector.post("/events", [order(i) for i in range(count)],
                              headers={"X-API-Key": key})
    assert post("key-of-slow", 50).status_code == 202
    answer = post("key-of-slow")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 10
    assert post("key-of-fast", 500).status_code == 202
    assert post("key-of-other", 5).status_code == 202
    # Who guesses learns nothing of names: there is one answer.
    wrong = [collector.post("/events", order(1), headers=headers)
             for headers in ({"X-API-Key": "slow"},
                             {"X-API-Key": "key-of-slo"},
                             {"X-API-Key": hashed("slow", "key-of-slow")},
                             {"X-API-Key": "x" * 4000})]
    assert {one.status_code for one in wrong} == {401}
    assert len({one.text for one in wrong}) == 1


# -- names from outside on their way to files --

@pytest.mark.parametrize("name", [
    "../x", "..", ".", "a/b", "/etc/passwd", "a b", "a%2fb", "", "x" * 300,
    "a\\nb", "a.b", "-x", "ü"])
@pytest.mark.parametrize("what", [
    'name = "visits"', 'extends = "base"', 'table = "t"', 'topic = "t"'])
def test_names_of_contracts_are_no_paths(ctl, folder, what, name):  # noqa: F811
    key = what.partition(" ")[0]
    if key == "topic" and name in ("a.b", "-x"):
        return  # Kafka takes these
    text = CONTRACT + 'lake = { table = "t"; mode = "append"; };\n' + \
        'eventhub = { topic = "t"; };\n'
    if key == "extends":
        text += 'extends = "base";\n'
    assert what in text
    (folder / "contracts" / "visits.conf").write_text(
        text.replace(what, f'{key} = "{name}"', 1))
    done = ctl("check", config='pipeline = { contracts = "contracts"; };')
    assert done.code == 1, done
    assert "visits.conf:" in done.err


@pytest.mark.parametrize("config", [
    'services = ( { name = "../x"; service = "collector"; } );',
    'services = ( { name = "collector"; service = "../../bin/sh"; } );',
    'services = ( { name = "collector"; }, { name = "eventhub-publisher"; '
    'in = "../x"; } );',
    'links = { "../x" = { endpoint = "ipc"; }; };',
    'collector = { tls_key = "none"; tls_certificate = "none"; };',
])
def test_names_of_services_and_links_are_no_paths(ctl, config):  # noqa: F811
    assert ctl("check", config=config).code == 1


EVENT_TYPES = [
    "../../x", "a/b", "..", ".", "/", "/etc/x", "%2e%2e", "%2e%2e%2f", "a\\b",
    "C:\\x", "x=y", "~", "-rf", "date=1", "x" * 64, "y" * 65, "z" * 5000, " ",
    "\t", "a\nb", "\x01\x1b[31m", "\u202e", "ü", "\U0001f600", "a?b#c", "*",
    "$(id)", "';--", "a\u0000b", "event_type=../..", "AUX", "."  * 60]


def test_types_of_events_are_no_paths(pipeline):
    """They name the folders of the raw archive."""
    lake = pipeline.folder / "lake"
    add_writer(pipeline, f"file://{lake}", archive=True)
    (contracts_of(pipeline) / "probe.conf").write_text(
        CONTRACT.replace("visits", "probe").replace("Visits", "Probe")
        .replace('event_type = "visit"', 'has = ["probe"]'))
    pipeline.start()
    before = {p.name for p in pipeline.folder.iterdir()} | {"lake", "out"}
    outside = set(pipeline.folder.parent.glob("x*"))
    accepted = 0
    for number, name in enumerate(EVENT_TYPES):
        done = requests.post(pipeline.url + "/events", timeout=30, json={
            "id": f"p-{number}", "probe": 1, "event_type": name})
        assert done.status_code in (202, 422), done.text
        accepted += done.status_code == 202
    assert accepted >= len(EVENT_TYPES) - 3

    def archived():
        return [p.relative_to(lake) for p in lake.rglob("*.zst")]
    wait_for(lambda: len(archived()) >= 15, what=pipeline.logs)
    for url in (pipeline.url, pipeline.metrics_url):
        text = requests.get(url + "/metrics", timeout=30).text
        for line in text.split("\n"):
            assert not line or line.startswith("# ") or re.fullmatch(
                r'[a-z_]+(\{([a-z_]+="([^"\\]|\\[n"\\])*",?)*\})? [0-9.e+-]+',
                line), line
        assert "\x1b" not in text and "\x01" not in text
    pipeline.stop()
    assert not re.search("[\x00-\x08\x0b-\x1f]", pipeline.logs())
    for path in archived():
        assert re.fullmatch(
            r"Files/bronze/raw_events/event_type=[A-Za-z0-9._%-]+/"
            r"date=\d{4}-\d\d-\d\d/[0-9a-f-]+-\d{20}\.ndjson\.zst", str(path))
        assert max(map(len, path.parts)) < 255
    assert {p.name for p in pipeline.folder.iterdir()} <= before
    assert {p.name for p in lake.iterdir()} <= {"Files", "Tables"}
    assert set(pipeline.folder.parent.glob("x*")) == outside
    assert all(re.fullmatch(r"[a-z_]+-[0-9a-f-]+-\d+\.ndjson|\..*", p.name)
               for p in pipeline.out_dir.iterdir())


# -- the sockets of weftd --

def test_a_child_of_a_service_does_not_speak_for_it(fakes):
    fakes.behave("transformer", "forging")
    fakes.write_config()
    fakes.ctl("start", "--timeout", "1s")
    wait_for(lambda: "forged transformer.0" in fakes.events())
    wait_for(lambda: fakes.status()["notices_ignored"] >= 4)
    assert fakes.state("transformer") == "starting"
    assert "forged" not in json.dumps(fakes.status())


def test_nobody_else_stops_or_feeds_a_service(fakes):
    fakes.behave("collector", "hang")
    fakes.sections["pipeline"]["watchdog"] = "2s"
    fakes.start()
    old = fakes.pid("collector")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(str(fakes.run_dir / "notify.sock"))
        for text in (b"STOPPING=1", b"MAINPID=%d\nSTOPPING=1" % os.getpid(),
                     b"STATUS=forged\nWATCHDOG=1"):
            s.send(text)
        wait_for(lambda: fakes.status()["notices_ignored"] >= 3)
        assert fakes.state("transformer") == "ready"
        # Whoever pings in its place does not keep a stuck one alive.
        fakes.behave("collector", "ok")

        def restarted():
            s.send(b"WATCHDOG=1")
            one = fakes.process("collector")
            return one["pid"] not in (None, old)
        wait_for(restarted)


def as_other(function, *arguments):
    """What a function returns or raises when somebody else calls it."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(OTHER)
                os.setuid(OTHER)
            said = function(*arguments)
        except BaseException as e:  # it must not go on as a second pytest
            said = repr(e)
        os.write(write_end, said.encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end) as f:
        said = f.read()
    os.waitpid(pid, 0)
    return said


def ask_to_stop(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(path))
        with contextlib.suppress(BrokenPipeError):  # told before we asked
            s.sendall(b'{"op":"shutdown"}\n')
        return s.recv(1000).decode()


def test_others_do_not_get_at_the_control_socket(fakes):
    fakes.start()
    control = fakes.run_dir / "control.sock"
    for name in ("control.sock", "notify.sock"):
        mode = (fakes.run_dir / name).stat()
        assert stat.S_IMODE(mode.st_mode) == 0o600
        assert mode.st_uid == os.geteuid()
    if os.geteuid() == 0:
        assert "PermissionError" in as_other(ask_to_stop, control)
        # Nor when every door stands open: the kernel says who asks.
        for path in (fakes.folder, fakes.run_dir):
            path.chmod(0o755)
        control.chmod(0o666)
        assert '"code":"not_allowed"' in as_other(ask_to_stop, control)
    assert fakes.status()["state"] == "running"


# -- what others put in the way --

@pytest.mark.parametrize("key", ["state_dir", "log_dir", "run_dir"])
def test_places_where_anybody_may_write_are_refused(fakes, key):
    place = fakes.folder / "open"
    place.mkdir()
    place.chmod(0o1777)  # as /tmp: others may still add what is not there
    fakes.sections["pipeline"][key] = place
    fakes.write_config()
    done = fakes.ctl("start")
    assert done.code == 1
    assert f"{key} {place} can be written by others" in done.err
    assert "chmod" in done.err and fakes.events() == []
    place.chmod(0o755)
    assert fakes.ctl("start").code == 0


@pytest.mark.parametrize("key", ["state_dir", "log_dir", "run_dir"])
def test_places_of_somebody_else_are_refused(fakes, key):
    if os.geteuid() != 0:
        pytest.xfail("only root can give a directory away")
    place = fakes.folder / "theirs"
    place.mkdir()
    os.chown(place, OTHER, OTHER)
    fakes.sections["pipeline"][key] = place
    fakes.write_config()
    done = fakes.ctl("start")
    assert done.code == 1
    assert f"{key} {place} belongs to another user" in done.err


@pytest.mark.parametrize("link", [
    "run/weftd.lock", "state/log/weftd.log", "state/log/collector.0.log"])
def test_links_in_the_way_are_not_followed(fakes, link):
    victim = fakes.folder / "victim"
    victim.write_text("precious")
    path = fakes.folder / link
    for place in (fakes.run_dir, fakes.log_dir):
        place.mkdir(parents=True)
    path.symlink_to(victim)
    fakes.write_config()
    done = fakes.ctl("start")
    assert done.code == 1 and str(path) in done.err, done
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["lock", "log/lock"])
def test_a_log_does_not_follow_links_either(folder, name):
    victim = folder / "victim"
    victim.write_text("precious")
    collector = Collector(folder)
    path = folder / "state" / "collector.0" / name
    path.parent.mkdir(parents=True)
    path.symlink_to(victim)
    try:
        collector.start(wait=False)
        assert collector.process.wait(30) == 78
    finally:
        collector.clean_up()
    assert str(path) in collector.log()
    assert victim.read_text() == "precious"


# -- secrets --

HUB_KEY = base64.b64encode(b"key of the hub, secret to all 01").decode()
LAKE_KEY = base64.b64encode(b"key of the lake, secret to all 2").decode()
HASH_KEY = "secret-of-the-hash-mask-33"
API_KEY = "key-that-a-client-sends-44"
ALL_SECRETS = (HUB_KEY, LAKE_KEY, HASH_KEY, API_KEY)

PTRACE_ATTACH, PTRACE_DETACH = 16, 17


def spy(pid):
    """What of a process another one of the same user gets at."""
    found = []
    for name in ("environ", "mem", "maps", "fd", "cwd"):
        path = f"/proc/{pid}/{name}"
        try:
            if name in ("fd", "cwd"):
                os.listdir(path)
            else:
                os.close(os.open(path, os.O_RDONLY))
            found.append(name)
        except OSError:
            pass
    if LIBC.ptrace(PTRACE_ATTACH, pid, None, None) == 0:
        found.append("ptrace")
        os.waitpid(pid, 0x40000000)  # __WALL
        LIBC.ptrace(PTRACE_DETACH, pid, None, None)
    return " ".join(found) or "nothing"


class Silent:
    """A server with a certificate; what came behind the handshake."""

    def __init__(self, folder):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.context = context
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.handshakes, self.received = 0, b""
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            client.settimeout(5)
            self.handshakes += 1
            try:
                with self.context.wrap_socket(client, server_side=True) as s:
                    self.received += s.recv(65536)
            except OSError:
                pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


@pytest.fixture
def impostor(folder):
    """Says that it is localhost; nobody we trust says so."""
    place = folder / "impostor"
    place.mkdir()
    certificate(place, "impostor")
    one = Silent(place)
    yield one
    one.close()


@pytest.fixture
def guarded(pipeline, impostor):
    """Secrets of all kinds; both destinations are not who they should be."""
    keys = pipeline.folder / "keys"
    keys.write_text(hashed("shop", API_KEY))
    pipeline.sections["pipeline"].update(secret=HASH_KEY, log_level="debug",
                                         drain_timeout="1s")
    pipeline.sections["collector"]["api_keys"] = "${file:keys}"
    pipeline.sections["identities"] = {
        "hub": {"type": "connection_string",
                "connection_string": "${env:HUB}"},
        "store": {"type": "account_key", "account": "acc",
                  "key": "${file:lake.key}"}}
    pipeline.env["HUB"] = (
        f"Endpoint=sb://localhost:{impostor.port}/;SharedAccessKeyName=weft;"
        f"SharedAccessKey={HUB_KEY};EntityPath=events")
    (pipeline.folder / "lake.key").write_text(LAKE_KEY + "\n")
    pipeline.sections["eventhub-publisher"] = {
        "backend": "kafka", "preset": "eventhubs", "identity": "hub",
        "bootstrap": f"localhost:{impostor.port}", "retry_max": "1s"}
    add_writer(pipeline, f"https://localhost:{impostor.port}/acc/lake",
               identity="store")
    pipeline.write_config()
    pipeline.config.chmod(0o600)
    for name in ("keys", "lake.key"):
        (pipeline.folder / name).chmod(0o600)
    return pipeline


def allow_cores():
    """As far as we may; others have their shells so."""
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def status_of(pipeline, label):
    one = pipeline.process(label)
    return one["status"] if one else ""


def test_who_cannot_prove_its_name_gets_nothing(guarded, impostor):
    guarded.start()
    requests.post(guarded.url + "/events", json=order(1), timeout=30,
                  headers={"X-API-Key": API_KEY})
    for label, words in (
            ("eventhub-publisher", "certificate verify failed"),
            ("onelake-writer", "certificate")):
        wait_for(lambda label=label, words=words:
                 words in status_of(guarded, label), 30,
                 lambda label=label: status_of(guarded, label) +
                 guarded.logs())
    assert impostor.handshakes > 1 and impostor.received == b""


def test_a_certificate_of_another_host_is_refused(pipeline, folder):
    """Its authority is trusted; the name is not the one that was asked for."""
    place = folder / "other"
    place.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=other.example", "-addext", "subjectAltName=DNS:other.example",
         "-keyout", place / "key.pem", "-out", place / "cert.pem"],
        check=True, capture_output=True)
    other = Silent(place)
    try:
        pipeline.sections["identities"] = {"hub": {
            "type": "plain", "username": "u", "password": "${env:PASSWORD}"}}
        pipeline.env["PASSWORD"] = HUB_KEY
        pipeline.sections["pipeline"]["drain_timeout"] = "1s"
        pipeline.sections["eventhub-publisher"] = {
            "backend": "kafka", "bootstrap": f"localhost:{other.port}",
            "topic": "t", "identity": "hub", "tls": True,
            "ca_file": place / "cert.pem", "retry_max": "1s"}
        pipeline.start()
        requests.post(pipeline.url + "/events", json=order(1), timeout=30)
        wait_for(lambda: "certificate verify failed" in
                 status_of(pipeline, "eventhub-publisher"), 30, pipeline.logs)
        assert other.handshakes and other.received == b""
    finally:
        other.close()


def test_secrets_stay_where_they_are_needed(guarded):
    """Not even another process of the same user gets at them."""
    user = {}
    # To root all is open anyway; a checkout may be out of reach for others.
    if os.geteuid() == 0 and as_other(
            lambda: str(os.access(LIBEXEC / "weftd", os.X_OK))) == "True":
        user = {"user": OTHER, "group": OTHER, "extra_groups": []}
        for path in [guarded.folder, *guarded.folder.rglob("*")]:
            os.chown(path, OTHER, OTHER)
    done = guarded.ctl("start", preexec_fn=allow_cores, **user)
    assert done.code == 0, f"{done}\n{guarded.logs()}"
    answer = requests.post(guarded.url + "/events", json=order(1), timeout=30,
                           headers={"X-API-Key": API_KEY})
    assert answer.status_code == 202, answer.text
    wait_for(lambda: "waiting" in status_of(guarded, "eventhub-publisher"))
    pids = guarded.pids()
    assert len(pids) == 6
    for pid in pids:
        proc = pathlib.Path(f"/proc/{pid}")
        assert not any(one.encode() in (proc / "cmdline").read_bytes()
                       for one in ALL_SECRETS)
        cores, = re.findall(r"^Max core file size +(\S+) +(\S+)",
                            (proc / "limits").read_text(), re.MULTILINE)
        assert cores == ("0", "0")
        if user or os.geteuid() != 0:
            assert as_other(spy, pid) == "nothing", (proc / "comm").read_text()
    shown = "".join(
        str(guarded.ctl(*command)) for command in (
            ["status"], ["status", "--json"], ["check"], ["check", "--json"],
            ["config"], ["config", "--json"], ["logs", "-n", "1000"]))
    shown += guarded.logs() + (guarded.run_dir / "topology").read_text()
    shown += requests.get(guarded.metrics_url + "/metrics", timeout=30).text
    shown += requests.get(guarded.url + "/metrics", timeout=30).text
    assert "***" in shown
    assert not [one for one in ALL_SECRETS if one in shown]
    # What is on disk has the hash of a client's key at most.
    for path in guarded.state_dir.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(one.encode() in data for one in ALL_SECRETS), path
            assert not path.stat().st_mode & stat.S_IWOTH
    assert stat.S_IMODE(guarded.state_dir.stat().st_mode) == 0o700


@pytest.mark.parametrize("text", [
    f"SharedAccessKey={HUB_KEY}",
    f"Endpoint=;SharedAccessKeyName=x;SharedAccessKey={HUB_KEY}",
    f"Endpoint=sb://;SharedAccessKey={HUB_KEY}",
    f"Endpoint=http//x;SharedAccessKeyName;SharedAccessKey={HUB_KEY};;=;",
    f"DefaultEndpointsProtocol=https;AccountKey={HUB_KEY}",
    HUB_KEY,
])
def test_a_bad_connection_string_is_told_without_its_key(pipeline, text):
    pipeline.sections["identities"] = {"hub": {
        "type": "connection_string", "connection_string": "${env:HUB}"}}
    pipeline.env["HUB"] = text
    pipeline.sections["eventhub-publisher"] = {
        "backend": "kafka", "preset": "eventhubs", "identity": "hub",
        "topic": "t"}
    add_writer(pipeline, "https://acc.blob.core.windows.net/c", identity="hub")
    pipeline.sections["pipeline"]["log_level"] = "debug"
    pipeline.write_config()
    said = "".join(str(pipeline.ctl(*command)) for command in (
        ["check"], ["check", "--json"], ["start"], ["status", "--json"]))
    said += pipeline.logs()
    assert re.search("connection.string", said) and "hub" in said
    assert HUB_KEY not in said and HUB_KEY[:12] not in said


def test_files_with_secrets_that_all_can_read_are_told(ctl, folder):  # noqa: F811
    certificate(folder, "x")
    (folder / "token").write_text("0123456789abcdef0123")
    config = """
collector = { tls_certificate = "cert.pem"; tls_key = "key.pem"; };
pipeline = { secret = "${file:token}"; contracts = "contracts"; };
generator = { api_key = "hush-hush-hush"; };
"""
    for mode, told in ((0o644, True), (0o640, False), (0o600, False)):
        for name in ("key.pem", "token", "weft.conf"):
            if name != "weft.conf":
                (folder / name).chmod(mode)
        (folder / "weft.conf").write_text(config)
        (folder / "weft.conf").chmod(mode)
        done = ctl("check")
        assert done.code == 0, done
        assert ("weft.conf:2: warning: collector.tls_key: everybody on this "
                in done.err) == told
        assert ("weft.conf:3: warning: pipeline.secret: everybody on this "
                in done.err) == told
        assert ("in this file, which everybody on this machine can read;"
                in done.err) == told
        assert "cert.pem" not in done.err, "that is for all to read"


# -- TLS --

@pytest.mark.parametrize("ciphers", [
    "AES128-GCM-SHA256", "AES256-SHA", "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES128-SHA256", "NULL-SHA256:@SECLEVEL=0",
    "DHE-RSA-AES128-GCM-SHA256", "ADH-AES128-SHA:@SECLEVEL=0"])
def test_weak_ciphers_are_refused(secure, ciphers):  # noqa: F811
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    with secure.connect() as s, pytest.raises(OSError):
        context.wrap_socket(s, server_hostname="localhost")
    assert handshake(secure, maximum_version=ssl.TLSVersion.TLSv1_2)[1] \
        .startswith("ECDHE-ECDSA-")


def test_a_key_with_a_passphrase_is_told_and_not_asked_for(folder):
    certificate(folder, "x")
    subprocess.run(["openssl", "pkey", "-in", folder / "key.pem", "-aes256",
                    "-passout", "pass:hidden-phrase", "-out",
                    folder / "locked.pem"], check=True, capture_output=True)
    collector = Collector(folder, tls_certificate=folder / "cert.pem",
                          tls_key=folder / "locked.pem")
    try:
        collector.start(wait=False)
        assert collector.process.wait(30) == 78
    finally:
        collector.clean_up()
    assert "locked.pem is protected by a passphrase" in collector.log()
