"""A TCP proxy that nobody here wrote, before the broker, where it was built
(scripts/bootstrap --tier chaos)."""
import json
import subprocess
import urllib.error
import urllib.request

from common import ROOT, answers, lasting_port, wait_for
from servers import dies_with_us

PROGRAM = ROOT / ".deps" / "toxiproxy" / "toxiproxy-server"


class Toxiproxy:
    """Passes connections on from `port` to a loopback port; toxics, one at a
    time, change how."""

    def __init__(self, log):
        self.log = log
        self.control, self.port = lasting_port(), lasting_port()
        self.process = None

    @staticmethod
    def is_built():
        return PROGRAM.exists()

    def start(self, target):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "-host", "127.0.0.1", "-port", str(self.control)],
                stdout=log, stderr=log, preexec_fn=dies_with_us)
        wait_for(lambda: answers(self.control))
        self._call("POST", "/proxies", {
            "name": "kafka", "listen": f"127.0.0.1:{self.port}",
            "upstream": f"127.0.0.1:{target}", "enabled": True})

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(10)

    def _call(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.control}{path}", method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def toxic(self, kind, stream="downstream", **attributes):
        """Adds a toxic; see its README for the kinds and their attributes."""
        self._call("POST", "/proxies/kafka/toxics", {
            "name": "it", "type": kind, "stream": stream, "toxicity": 1.0,
            "attributes": attributes})

    def cut(self):
        """Ends all connections, and takes no new ones."""
        self._call("POST", "/proxies/kafka", {"enabled": False})

    def heal(self):
        self._call("POST", "/proxies/kafka", {"enabled": True})
        try:
            self._call("DELETE", "/proxies/kafka/toxics/it")
        except urllib.error.HTTPError:
            pass  # there was none
