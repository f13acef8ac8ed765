"""A collector alone: no supervisor, no transformer; what it accepts stays in
its log, where stored() finds it."""

import os
import pathlib
import signal
import socket
import subprocess
import threading

import requests

from conftest import BUILD, LIBEXEC, ROOT, conf_text, free_port, wait_for

ORDER = {"event_type": "order.placed", "event_source": "store-front",
         "order_id": "o-1"}


def order(number, **more):
    return dict(ORDER, order_id=f"o-{number}", **more)


# The shim that makes syncs fail or hang on demand.
FAULTY_DISK = BUILD / "tests" / "preload" / "faultdisk.so"


class Collector:
    """One collector process over a folder of its own."""

    def __init__(self, folder, **settings):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.settings = {"listen": f"127.0.0.1:{self.port}"}
        self.settings.update(settings)
        scheme = "https" if "tls_key" in settings else "http"
        self.url = f"{scheme}://localhost:{self.port}"
        self.env = dict(os.environ)
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"):
            self.env.pop(name, None)
        self.process = None
        self.session = requests.Session()
        self.session.trust_env = False  # no proxies, no other authorities

    def configure(self, **settings):
        self.settings.update(settings)
        sections = {
            "pipeline": {"state_dir": self.folder / "state",
                         "run_dir": self.folder / "run",
                         "contracts": ROOT / "etc" / "contracts",
                         "drain_timeout": "1s"},
            "services": [{"name": "collector"}, {"name": "transformer"},
                         {"name": "eventhub-publisher"}],
            "collector": self.settings,
        }
        self.config.write_text("".join(
            f"{name} = {conf_text(value)};\n"
            for name, value in sections.items()))

    @property
    def config(self):
        return self.folder / "weft.conf"

    def start(self, wait=True):
        (self.folder / "run").mkdir(exist_ok=True)
        self.configure()
        with open(self.folder / "stderr", "ab") as log:
            self.process = subprocess.Popen(
                [LIBEXEC / "collector", "--config", self.config],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            wait_for(self.listens, what=self.log)
        return self

    def listens(self):
        assert self.process.poll() is None, self.log()
        try:
            self.connect().close()
            return True
        except ConnectionRefusedError:
            return False

    def stop(self, number=signal.SIGTERM):
        """Ends it and returns the exit code."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def clean_up(self):
        self.session.close()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def reload(self, **settings):
        """Returns when the new configuration is in place."""
        said = self.log().count("event=reload")
        self.configure(**settings)
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log().count("event=reload") > said)

    def log(self):
        return (self.folder / "stderr").read_text(errors="replace")

    # -- talking to it --

    def post(self, path, body=None, **more):
        return self.session.post(self.url + path, json=body, timeout=30, **more)

    def get(self, path, **more):
        return self.session.get(self.url + path, timeout=30, **more)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def raw(self, data, end=False):
        """Sends bytes and returns (status, head, body) of each answer, until
        the collector closes or, with end, our side is closed, too."""
        with self.connect() as s:
            # From a thread: it may answer and close before it has read all.
            def send():
                try:
                    s.sendall(data)
                    if end:
                        s.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            sender = threading.Thread(target=send)
            sender.start()
            text = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                text += piece
            sender.join()
        return answers(text)

    def metric(self, name, **labels):
        """The sum of all series of that name with these labels."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            if line.startswith("#") or not line.startswith(name):
                continue
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(
                    f'{k}="{v}"' in series for k, v in labels.items()):
                total += float(value)
        return total

    # -- its log --

    def stored(self):
        """All bytes of the log; events lie in it as JSON lines."""
        folder = self.folder / "state" / "collector.0"
        return b"".join(path.read_bytes()
                        for path in sorted(folder.glob("**/*.log")))


def answers(text):
    """Splits a stream of HTTP answers."""
    found = []
    while text:
        head, _, text = text.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        length = int(headers.get("content-length", 0))
        found.append((int(lines[0].split()[1]), headers,
                      text[:length].decode()))
        text = text[length:]
    return found
