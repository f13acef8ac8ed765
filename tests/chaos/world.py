"""All that a run consists of: the pipeline, the servers at its ends, and what
stands between them to make trouble.

collector ─▶ transformer ×2 ─▶ eventhub-publisher ─▶ Kafka
                             ├▶ archive            ─▶ files
                             ├▶ onelake-writer     ─▶ Azurite, through a proxy
                             └▶ lake-local         ─▶ a folder
"""
import datetime
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from conftest import Pipeline, is_ours
from proxy import Proxy
from servers import Azurite, Kafka
from common import BUILD, alive, lasting_port, wait_for

from hosts import CENTRE, Hosts
from mishap import Mishap
from points import Points
from toxiproxy import Toxiproxy

LABELS = ("weftd", "collector.0", "transformer.0", "transformer.1",
          "eventhub-publisher.0", "archive.0", "onelake-writer.0",
          "lake-local.0", "metrics.0")
MAX_MESSAGE = "32KiB"
DISK_MB = 384
LONG_S = 120  # in a run beyond this, tables get fewer and larger files
START_S = 30.0


def label_of(words):
    """The label of a process by its command line."""
    row = dict(zip(words, words[1:]))
    if "--name" in row and "--instance" in row:
        return f"{row['--name']}.{row['--instance']}"
    return pathlib.Path(words[0]).name


class ProxiedKafka(Kafka):
    """Has one more address, where it says that it is reached at another, the
    port of a proxy."""

    def __init__(self, folder, proxy_port):
        super().__init__(folder)
        self.inner_port = lasting_port()
        text = self.config.read_text()
        text = text.replace("listeners=PLAINTEXT://", (
            f"listeners=PROXIED://127.0.0.1:{self.inner_port},PLAINTEXT://"))
        text = text.replace(
            f"advertised.listeners=PROXIED://127.0.0.1:{self.inner_port}",
            f"advertised.listeners=PROXIED://127.0.0.1:{proxy_port}")
        text = text.replace("protocol.map=PLAINTEXT",
                            "protocol.map=PROXIED:PLAINTEXT,PLAINTEXT")
        self.config.write_text(text)
        self.proxied = f"127.0.0.1:{proxy_port}"


class World:
    """Made in a folder of its own; start() and stop() in this order."""

    def __init__(self, seconds, hosts):
        self.flush = "300ms" if seconds <= LONG_S else "1s"
        # Unix sockets take about 100 bytes, so the name is short.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weft-chaos-"))
        self.servers_folder = pathlib.Path(
            tempfile.mkdtemp(prefix="weft-chaos-servers-"))
        self.hosts = Hosts.make(self.folder) if hosts > 1 else None
        self.azurite = Azurite(self.servers_folder / "azurite")
        self.azurite.launch()
        self.toxiproxy = Toxiproxy(self.servers_folder / "toxiproxy.log") \
            if Toxiproxy.is_built() else None
        self.kafka = ProxiedKafka(
            self.servers_folder / "kafka", self.toxiproxy.port) \
            if self.toxiproxy else Kafka(self.servers_folder / "kafka")
        self.kafka.launch()
        self.front = None  # before Azurite
        self.pipeline = Pipeline(
            self.folder, self.hosts.libexec if self.hosts
            else BUILD / "libexec" / "weft")
        self.points = Points(self.folder / "points", LABELS)
        self.topic = "chaos"
        self.acts = open(self.folder / "acts", "w", encoding="utf-8",
                         buffering=1)  # what was done when, line by line
        self.mishap = Mishap(self.folder / "mishap", self.folder)
        self.pipeline.env.update(self.mishap.env())
        self.pipeline.env["WEFT_FAILPOINT_FILE"] = str(self.points.path)
        self.disk = None  # a small one of its own for the state

    def note(self, text):
        """Writes down what is done, for who looks into a failed run."""
        at = datetime.datetime.now(datetime.timezone.utc)
        self.acts.write(f"{at:%H:%M:%S.%f} {text}\n")

    # -- begin --

    def start(self):
        """Waits for the servers, and starts the pipeline."""
        self.azurite.start()
        self.kafka.start()
        self.kafka.create_topic(self.topic, partitions=3)
        self.azurite.make_container("chaos")
        self.front = Proxy(self.azurite.port)
        if self.toxiproxy:
            self.toxiproxy.start(self.kafka.inner_port)
        self._mount()
        self._configure()
        self.pipeline.start()

    def _mount(self):
        """A small disk for the state, where that is allowed."""
        folder = self.pipeline.state_dir
        folder.mkdir(mode=0o700)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700",
             "weft-chaos", folder], capture_output=True, check=False)
        if done.returncode == 0:
            self.disk = folder

    def _configure(self):
        small = {"segment_size": "1MiB"}
        sink = {**small, "log_reserve": "8MiB"}
        retry = {"retry_first": "50ms", "retry_max": "500ms"}
        p = self.pipeline
        p.services = [
            {"name": "collector"}, {"name": "transformer", "instances": 2},
            {"name": "eventhub-publisher"},
            {"name": "archive", "in": "archive",
             "service": "eventhub-publisher"},
            {"name": "onelake-writer"},
            {"name": "lake-local", "in": "local",
             "service": "onelake-writer"},
            {"name": "metrics"}]
        p.sections["pipeline"].update(
            restart_burst=1000, restart_backoff_max="1s", drain_timeout="60s")
        p.sections["collector"].update(small)
        if self.hosts:
            p.sections["links"] = {"raw": {
                "endpoint": f"tcp://{CENTRE}:{lasting_port()}",
                "insecure": True}}
        p.sections["identities"] = {"store": {
            "type": "account_key", "account": self.azurite.account,
            "key": self.azurite.key}}
        p.sections["eventhub-publisher"] = {
            "backend": "kafka", "topic": self.topic,
            "bootstrap": getattr(self.kafka, "proxied", self.kafka.bootstrap),
            "max_message": MAX_MESSAGE, **sink, **retry}
        p.sections["archive"] = {
            "backend": "file", "path": p.out_dir, "rotate_size": "256KiB",
            **sink, **retry}
        lake = {"flush": self.flush, "checkpoint_interval": 5, **sink,
                **retry}
        p.sections["onelake-writer"] = {
            "lake": f"{self.azurite.url_at(self.front.port)}/chaos",
            "identity": "store", **lake}
        p.sections["lake-local"] = {"lake": f"file://{self.local_lake}",
                                    "archive": True, **lake}

    @property
    def local_lake(self):
        return self.folder / "lake"

    @property
    def secret(self):
        return (self.pipeline.state_dir / "secret").read_text().strip() \
            .encode()

    # -- processes --

    def processes(self):
        """{label: pid} of the pipeline's processes, by looking at all there
        are: nothing of the pipeline needs to answer."""
        found = {}
        for folder in pathlib.Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                words = (folder / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if str(self.pipeline.config) in words and "libexec" in words[0] \
                    and alive(int(folder.name)):
                found[label_of(words)] = int(folder.name)
        return found

    def signal(self, label, number):
        """Sends a signal to the process of that label; its pid, or None."""
        pid = self.processes().get(label)
        if pid and is_ours(pid, self.pipeline.config):
            self.note(f"{signal.Signals(number).name} {label} {pid}")
            os.kill(pid, number)
            return pid
        return None

    def wait_back(self, label, old_pid, timeout=START_S):
        """Waits until another process than old_pid has the label."""
        return wait_for(lambda: self.processes().get(label, old_pid) != old_pid
                        or None, timeout, lambda: f"{label} did not come back")

    def start_again(self):
        """After weftd was killed, and with it everything."""
        wait_for(lambda: not self.processes(), START_S,
                 lambda: f"still there without weftd: {self.processes()}")
        until = time.monotonic() + START_S
        # A disk may be full just now.
        while (done := self.pipeline.ctl("start")).code != 0:
            assert time.monotonic() < until, done
            time.sleep(0.1)  # pause between polls

    # -- end --

    def _unmount(self, keep):
        """What is kept is copied from the small disk."""
        if not self.disk:
            return
        copy = self.folder / "state-copy"
        if keep:
            shutil.copytree(self.disk, copy, symlinks=True,
                            ignore_dangling_symlinks=True)
        subprocess.run(["umount", "-l", self.disk], check=True)
        if keep:
            self.disk.rmdir()
            copy.rename(self.disk)

    def stop(self, keep):
        """Ends everything; the folder stays when it is to be kept."""
        for label, pid in self.processes().items():
            if is_ours(pid, self.pipeline.config):
                os.kill(pid, signal.SIGCONT)
        self.pipeline.clean_up()
        if self.front:
            self.front.close()
        for server in (self.azurite, self.kafka, self.toxiproxy):
            if server:
                server.stop()
        if self.hosts:
            self.hosts.remove()
        self._unmount(keep)
        shutil.rmtree(self.servers_folder, ignore_errors=True)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
