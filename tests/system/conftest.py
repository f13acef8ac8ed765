"""The fixture of all system tests: a pipeline of its own in a folder of its own.

    def test_something(pipeline):
        pipeline.start()
        requests.post(pipeline.url + "/events", json=...)
        wait_for(lambda: len(pipeline.delivered()) == 1)

A test that needs other services, keys or links changes `pipeline.services` and
`pipeline.sections` before start(). Whatever a test leaves running is stopped
behind it, by process id. Nothing here sleeps for a time: wait_for() polls.

The servers at the far ends are the fixtures `kafka` and `azurite` of
servers.py; proxy.py makes trouble on the way to them.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest

# Fixtures and names that tests take from here.
from common import BUILD, ROOT, WAIT_S, alive, free_port, wait_for
from proxy import proxy
from servers import (azurite, azurite_of_session, kafka, kafka_of_session,
                     servers_folder)

PIPELINECTL = BUILD / "bin" / "pipelinectl"
LIBEXEC = BUILD / "libexec" / "weft"


def conf_text(value):
    """A Python value in the syntax of the configuration file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, dict):
        pairs = " ".join(f"{k} = {conf_text(v)};" for k, v in value.items())
        return "{ " + pairs + " }"
    if isinstance(value, (list, tuple)):
        return "( " + ", ".join(conf_text(v) for v in value) + " )"
    return json.dumps(str(value))


class Result:
    """What a command gave."""

    def __init__(self, done):
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"code {self.code}\n{self.out}{self.err}"


class Pipeline:
    """One pipeline: its configuration, its processes, its files."""

    def __init__(self, folder, libexec=LIBEXEC):
        self.folder = pathlib.Path(folder)
        self.state_dir = self.folder / "state"
        self.run_dir = self.folder / "run"
        self.log_dir = self.state_dir / "log"
        self.out_dir = self.folder / "out"
        self.config = self.folder / "weft.conf"
        self.port = free_port()
        self.metrics_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.metrics_url = f"http://127.0.0.1:{self.metrics_port}"
        self.env = dict(os.environ, WEFT_LIBEXEC=str(libexec))
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"):
            self.env.pop(name, None)
        self.services = [
            {"name": "collector"},
            {"name": "transformer"},
            {"name": "eventhub-publisher"},
            {"name": "metrics"},
        ]
        self.sections = {
            "pipeline": {
                "name": "test",
                "state_dir": self.state_dir,
                "run_dir": self.run_dir,
                "contracts": ROOT / "etc" / "contracts",
                "drain_timeout": "10s",
                "restart_burst": 100,
            },
            "collector": {"listen": f"127.0.0.1:{self.port}"},
            "eventhub-publisher": {"backend": "file", "path": self.out_dir},
            "metrics": {"listen": f"127.0.0.1:{self.metrics_port}"},
        }
        self.text = None  # when set, it is the whole configuration

    # -- configuration --

    def write_config(self, text=None):
        """Writes the configuration: `text`, or services and sections."""
        self.text = text if text is not None else self.text
        if self.text is not None:
            self.config.write_text(self.text)
            return
        lines = [f"services = {conf_text(self.services)};"]
        lines += [f"{k} = {conf_text(v)};" for k, v in self.sections.items()]
        self.config.write_text("\n".join(lines) + "\n")

    # -- pipelinectl --

    def ctl(self, *arguments, timeout=120, **more):
        """Runs `pipelinectl ARGUMENTS --config <ours>`."""
        return Result(subprocess.run(
            [PIPELINECTL, *map(str, arguments), "--config", self.config],
            env=self.env, capture_output=True, text=True, timeout=timeout,
            stdin=subprocess.DEVNULL, check=False, **more))

    def start(self, *arguments):
        """Starts it; all processes are ready when this returns."""
        self.write_config()
        done = self.ctl("start", *arguments)
        assert done.code == 0, f"start failed: {done}\n{self.logs()}"
        return done

    def stop(self):
        """Stops it cleanly: when this returns nothing is in flight."""
        done = self.ctl("stop")
        assert done.code == 0, f"stop failed: {done}\n{self.logs()}"
        return done

    def status(self):
        """The answer of `pipelinectl status --json`, None when not running."""
        done = self.ctl("status", "--json")
        return None if done.code == 3 else done.json

    def process(self, label):
        """One process of status, by "collector" or "transformer.1"."""
        row, _, number = label.partition(".")
        for one in (self.status() or {"services": []})["services"]:
            if (one["service"], one["instance"]) == (row, int(number or 0)):
                return one
        return None

    def state(self, label):
        one = self.process(label)
        return one and one["state"]

    def pid(self, label):
        """Process id; "weftd" is the supervisor."""
        if label == "weftd":
            status = self.status()
            return status and status["pid"]
        one = self.process(label)
        return one and one["pid"]

    def wait_state(self, label, state, timeout=WAIT_S):
        """Waits for the state and returns the process."""
        def reached():
            one = self.process(label)
            return one if one and one["state"] == state else None
        return wait_for(reached, timeout,
                        lambda: f"{label} {state}: {self.process(label)}\n"
                                f"{self.logs()}")

    def kill(self, label, number=signal.SIGKILL):
        """Sends a signal to one process; returns its pid."""
        pid = self.pid(label)
        assert pid, f"{label} has no process"
        os.kill(pid, number)
        return pid

    def wait_restarted(self, label, old_pid, timeout=WAIT_S):
        """Waits until another process than old_pid is ready."""
        def back():
            one = self.process(label)
            return one if one and one["state"] == "ready" and \
                one["pid"] != old_pid else None
        return wait_for(back, timeout,
                        lambda: f"{label} back: {self.process(label)}\n"
                                f"{self.logs()}")

    # -- files --

    def log(self, label):
        """Everything that a process logged ("weftd", "collector.0")."""
        text = ""
        for name in (f"{label}.log.2", f"{label}.log.1", f"{label}.log"):
            path = self.log_dir / name
            if path.exists():
                text += path.read_text(errors="replace")
        return text

    def logs(self):
        """The ends of all logs, for messages."""
        if not self.log_dir.exists():
            return "(no logs)"
        return "\n".join(
            f"--- {path.name}\n" + path.read_text(errors="replace")[-3000:]
            for path in sorted(self.log_dir.glob("*.log")))

    def topology(self):
        return json.loads((self.run_dir / "topology").read_text())

    def delivered(self, stream="*"):
        """The events in the publisher's files, in their order per file."""
        events = []
        for path in sorted(self.out_dir.glob(f"{stream}-*.ndjson")):
            with open(path, encoding="utf-8") as f:
                events += [json.loads(line) for line in f
                           if line.endswith("\n")]
        return events

    # -- the end --

    def pids(self):
        status = self.status()
        if not status:
            return []
        return [status["pid"]] + [one["pid"] for one in status["services"]
                                  if one["pid"]]

    def clean_up(self):
        """Leaves no process behind, however the test ended."""
        if not self.config.exists():
            return
        try:
            pids = self.pids()
            self.ctl("stop", timeout=60)
        except (subprocess.TimeoutExpired, ValueError):
            pids = []
        lock = self.run_dir / "weftd.lock"
        if lock.exists() and lock.read_text().strip().isdigit():
            pids.append(int(lock.read_text()))
        for pid in set(pids):
            if alive(pid) and is_ours(pid, self.config):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not any(alive(p) and is_ours(p, self.config)
                                 for p in pids))


def is_ours(pid, config):
    """Whether a process was started with our configuration."""
    try:
        return str(config).encode() in pathlib.Path(
            f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


@pytest.fixture
def folder():
    """A folder with a short name: Unix sockets take about 100 bytes."""
    path = tempfile.mkdtemp(prefix="weft-")
    yield pathlib.Path(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def pipeline(folder):
    """A configured pipeline that does not run yet; see the top of the file."""
    one = Pipeline(folder)
    yield one
    one.clean_up()


@pytest.fixture
def pipelines():
    """Makes any number of pipelines: `pipelines()` is a new one."""
    made = []

    def make(libexec=LIBEXEC):
        one = Pipeline(tempfile.mkdtemp(prefix="weft-"), libexec)
        made.append(one)
        return one
    yield make
    for one in made:
        one.clean_up()
        shutil.rmtree(one.folder, ignore_errors=True)
