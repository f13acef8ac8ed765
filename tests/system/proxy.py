"""An HTTP proxy in front of a server, that makes trouble when told to.

    def test_a_lost_answer(proxy, azurite):
        front = proxy(azurite.port)                   # front.port, front.url
        front.answer(503, times=2, method="PUT", path="_delta_log",
                     headers={"Retry-After": "1"})
        front.lose_answer(path=r"00001\\.json")

Each call adds a rule for the next `times` requests (None: for all from now on)
whose method is the given one and in whose path and query the regular expression
is found. The oldest rule that fits a request is used up first; a request that
none fits passes through. A call returns its rule, and `rule.used` says how often
it has acted. All requests are kept in `front.requests` in the order in which they
came in.

Signatures of Azure's shared keys hold the path and not the host, so that a client
signs for the proxy and the server accepts it.
"""
import http.client
import http.server
import re
import socket
import struct
import threading

import pytest

HELD_S = 60.0
# Those of one connection, which are the proxy's own on each of its two sides.
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length",
       "proxy-connection", "te", "trailer", "upgrade", "expect"}


class Rule:
    """What to do with which requests."""

    def __init__(self, act, times, method, path):
        self.act = act
        self.left = times
        self.method = method
        self.path = re.compile(path)
        self.used = 0
        self.released = threading.Event()

    def fits(self, method, path):
        return self.left != 0 and self.method in (None, method) and \
            self.path.search(path)

    def release(self):
        """Lets the requests go that a hold() has stopped."""
        self.released.set()


class Request:
    """One request that came in; `status` is the answer that was given to the
    client, `forwarded` the server's; None where there was none."""

    def __init__(self, method, path):
        self.method = method
        self.path = path
        self.status = None
        self.forwarded = None

    def __repr__(self):
        return f"{self.method} {self.path} {self.forwarded}->{self.status}"


class Proxy(http.server.ThreadingHTTPServer):
    """Listens on a loopback port of its own until close()."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, target_port, target_host="127.0.0.1"):
        super().__init__(("127.0.0.1", 0), Handler)
        self.target = (target_host, target_port)
        self.port = self.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests = []
        self.rules = []
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.05,),
                         daemon=True).start()

    # -- rules --

    def answer(self, status, headers=None, body=b"", **which):
        """Answers by itself; the server hears nothing of it."""
        return self._add(lambda h, rule: h.reply(
            status, list((headers or {}).items()), body), **which)

    def reset_before(self, **which):
        """Resets the connection; the server hears nothing of it."""
        return self._add(lambda h, rule: h.reset(), **which)

    def lose_answer(self, **which):
        """Has the server do it, then resets the connection instead of
        answering."""
        def act(handler, _):
            handler.forward()
            handler.reset()
        return self._add(act, **which)

    def delay(self, seconds, **which):
        """Passes the request on after a time."""
        return self._add(lambda h, rule: h.pass_after(rule, seconds), **which)

    def hold(self, **which):
        """Passes the request on when the rule's release() is called."""
        return self._add(lambda h, rule: h.pass_after(rule, HELD_S), **which)

    def clear(self):
        """Forgets the rules, and lets go what they hold."""
        with self.lock:
            rules, self.rules = self.rules, []
        for rule in rules:
            rule.release()

    def _add(self, act, times=1, method=None, path=""):
        rule = Rule(act, times, method, path)
        with self.lock:
            self.rules.append(rule)
        return rule

    # -- what happened --

    def count(self, method=None, path="", status=None):
        """How many requests came in (with this answer to the client)."""
        with self.lock:
            return sum(method in (None, r.method) and
                       status in (None, r.status) and
                       bool(re.search(path, r.path)) for r in self.requests)

    # -- for the handler --

    def take(self, request):
        """Notes a request, and uses up the rule that fits, if any."""
        with self.lock:
            self.requests.append(request)
            for rule in self.rules:
                if rule.fits(request.method, request.path):
                    rule.used += 1
                    if rule.left is not None:
                        rule.left -= 1
                    return rule
        return None

    def shutdown_request(self, request):
        # Without a shutdown before it, so that a reset stays a reset.
        request.close()

    def handle_error(self, request, client_address):
        # A client that went away is no matter of the test's output.
        pass

    def close(self):
        self.clear()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_any(self):
        self.note = Request(self.command, self.path)
        rule = self.server.take(self.note)
        self.body = self.read_body()
        if rule:
            rule.act(self, rule)
        else:
            self.pass_on()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_any
    do_OPTIONS = do_any

    def log_message(self, *_):
        pass

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return self.read_chunks()
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def read_chunks(self):
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return body

    def forward(self):
        """The server's (status, headers, body)."""
        connection = http.client.HTTPConnection(*self.server.target,
                                                timeout=HELD_S)
        try:
            connection.putrequest(self.command, self.path, skip_host=True,
                                  skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP:
                    connection.putheader(name, value)
            if self.body or "Content-Length" in self.headers:
                connection.putheader("Content-Length", str(len(self.body)))
            connection.endheaders(self.body or None)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        self.note.forwarded = response.status
        headers = response.getheaders()
        if self.command == "HEAD":
            body = None
        else:
            headers = [h for h in headers if h[0].lower() != "content-length"]
        return response.status, headers, body

    def pass_on(self):
        try:
            answer = self.forward()
        except OSError:
            self.reset()  # as the client would see it without us
            return
        self.reply(*answer)

    def pass_after(self, rule, seconds):
        rule.released.wait(seconds)
        self.pass_on()

    def reply(self, status, headers, body):
        """Answers; a body of None is that of an answer to HEAD."""
        self.note.status = status
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP or body is None and \
                    name.lower() == "content-length":
                self.send_header(name, value)
        if body is not None and status >= 200 and status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(body)

    def reset(self):
        """Ends the connection with a reset (RST), not in order."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   struct.pack("ii", 1, 0))
        self.close_connection = True


@pytest.fixture
def proxy():
    """Makes proxies: `proxy(port)` is a new one in front of that port."""
    made = []

    def make(target_port):
        made.append(Proxy(target_port))
        return made[-1]
    yield make
    for one in made:
        one.close()
