"""The collector against clients that speak HTTP badly, slowly, or over TLS."""

import json
import socket
import ssl
import subprocess

import pytest
import requests

from collector_helper import Collector, order
from conftest import wait_for

HEAD = b"POST /events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
BODY = json.dumps(order(1)).encode()
GOOD = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture
def collector(folder):
    one = Collector(folder, header_timeout="500ms", body_timeout="500ms")
    yield one.start()
    one.clean_up()


def chunked(data, size):
    pieces = [data[i:i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + \
        b"0\r\n\r\n"


@pytest.mark.parametrize("data, status", [
    (b"\x00\x01\x02\x03\r\n\r\n", 400),
    (b"POST\r\n\r\n", 400),
    (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
    (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (HEAD + b"X: " + b"y" * 20000 + b"\r\n\r\n", 431),
    (b"GET /" + b"y" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (HEAD + b"Content-Length: 100000000\r\n\r\n", 413),
])
def test_broken_requests_end_in_one_answer(collector, data, status):
    said = collector.raw(data + GOOD)
    assert [answer[0] for answer in said] == [status]
    body = json.loads(said[0][2])
    assert body["success"] is False
    assert body["message"] == body["error"]["message"]
    assert said[0][1]["connection"] == "close"
    assert collector.post("/events", order(1)).status_code == 202


def test_every_truncation_is_answered(collector):
    for cut in range(1, len(GOOD), 7):
        (status, _, body), = collector.raw(GOOD[:cut], end=True)
        assert status == 400 and "incomplete_request" in body, cut
    assert collector.raw(GOOD, end=True)[0][0] == 202


@pytest.mark.parametrize("size", [1, 7, 10000])
def test_chunked_requests(collector, size):
    data = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(BODY, size)
    assert [a[0] for a in collector.raw(data + GOOD, end=True)] == [202, 202]


def test_pipelined_requests_are_answered_in_order(collector):
    data = b"".join(
        HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        for body in (json.dumps(order(i, event_id=f"id-{i}")).encode()
                     for i in range(100)))
    said = collector.raw(data + b"GET /nope HTTP/1.1\r\nHost: a\r\n\r\n",
                         end=True)
    assert [a[0] for a in said] == [202] * 100 + [404]
    assert [json.loads(a[2])["event_id"] for a in said[:-1]] == \
        [f"id-{i}" for i in range(100)]


def test_a_request_byte_by_byte(collector):
    with collector.connect() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(GOOD)):
            s.sendall(GOOD[i:i + 1])
        assert s.recv(65536).startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize("data", [GOOD[:30], GOOD[:-5]])
def test_slow_requests_are_given_up(collector, data):
    (status, _, body), = collector.raw(data)
    assert status == 408 and "request_timeout" in body
    assert collector.metric("weft_http_timeouts_total") == 1


def test_expect_continue(collector):
    with collector.connect() as s:
        s.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
                  % len(BODY))
        assert s.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(BODY)
        assert s.recv(65536).startswith(b"HTTP/1.1 202 ")


def test_too_many_connections_are_told(folder):
    collector = Collector(folder, max_connections=3)
    try:
        collector.start()
        many = [collector.connect() for _ in range(3)]
        said = collector.raw(GOOD)
        assert said[0][0] == 503 and said[0][1]["retry-after"]
        assert json.loads(said[0][2])["success"] is False
        for s in many:
            s.close()
        wait_for(lambda: collector.raw(GOOD, end=True)[0][0] == 202)
    finally:
        collector.clean_up()


# ---- TLS ----

def certificate(folder, name):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         f"/CN={name}", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True)


@pytest.fixture
def secure(folder):
    certificate(folder, "first")
    one = Collector(folder, tls_certificate=folder / "cert.pem",
                    tls_key=folder / "key.pem")
    one.session.verify = str(folder / "cert.pem")
    yield one.start()
    one.clean_up()


def test_https(secure):
    assert secure.post("/events", order(1)).status_code == 202
    batch = [order(i) for i in range(5000)]
    assert secure.post("/events", batch).json()["events_accepted"] == 5000
    assert len(secure.get("/openapi.json").content) > 20000


def handshake(collector, **limits):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    for name, value in limits.items():
        setattr(context, name, value)
    with collector.connect() as s, \
            context.wrap_socket(s, server_hostname="localhost") as t:
        t.sendall(GOOD)
        assert t.recv(65536).startswith(b"HTTP/1.1 202 ")
        return (t.version(), t.cipher()[0], t.selected_alpn_protocol(),
                t.getpeercert(binary_form=True))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
def test_tls_versions_and_ciphers(secure):
    assert handshake(secure)[0] == "TLSv1.3"
    version, cipher, alpn, _ = handshake(
        secure, maximum_version=ssl.TLSVersion.TLSv1_2)
    assert version == "TLSv1.2" and alpn == "http/1.1"
    assert cipher.startswith("ECDHE-ECDSA-")
    with pytest.raises((ssl.SSLError, OSError)):
        handshake(secure, minimum_version=ssl.TLSVersion.TLSv1,
                  maximum_version=ssl.TLSVersion.TLSv1_1)
    assert secure.post("/events", order(1)).status_code == 202


def test_plain_http_on_the_tls_port_is_told(secure):
    before = secure.metric("weft_http_tls_failures_total")
    said = secure.raw(GOOD)
    assert said[0][0] == 400 and "tls_required" in said[0][2]
    assert secure.post("/events", order(1)).status_code == 202
    assert secure.metric("weft_http_tls_failures_total") == before + 1


def test_silent_tls_clients_are_given_up(folder):
    certificate(folder, "a")
    collector = Collector(folder, header_timeout="300ms",
                          tls_certificate=folder / "cert.pem",
                          tls_key=folder / "key.pem")
    try:
        collector.start()
        with collector.connect() as s:
            assert s.recv(1000) == b""
    finally:
        collector.clean_up()


def test_certificates_are_reloaded(secure):
    before = handshake(secure)[3]
    certificate(secure.folder, "second")
    secure.reload()
    after = handshake(secure)[3]
    assert after != before
    (secure.folder / "cert.pem").write_text("not a certificate")
    secure.reload()
    wait_for(lambda: "tls_reload_refused" in secure.log())
    assert handshake(secure)[3] == after
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(secure.url + "/health", timeout=10)
