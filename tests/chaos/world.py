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
import tempfile

from conftest import Pipeline, is_ours
from proxy import Proxy
from servers import Azurite, Kafka
from common import BUILD, alive, wait_for

from points import Points

LABELS = ("weftd", "collector.0", "transformer.0", "transformer.1",
          "eventhub-publisher.0", "archive.0", "onelake-writer.0",
          "lake-local.0", "metrics.0")
MAX_MESSAGE = "32KiB"
START_S = 30.0


def label_of(words):
    """The label of a process by its command line."""
    row = dict(zip(words, words[1:]))
    if "--name" in row and "--instance" in row:
        return f"{row['--name']}.{row['--instance']}"
    return pathlib.Path(words[0]).name


class World:
    """Made in a folder of its own; start() and stop() in this order."""

    def __init__(self, env=None):
        # Unix sockets take about 100 bytes, so the name is short.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weft-chaos-"))
        self.servers_folder = pathlib.Path(
            tempfile.mkdtemp(prefix="weft-chaos-servers-"))
        self.azurite = Azurite(self.servers_folder / "azurite")
        self.azurite.launch()
        self.kafka = Kafka(self.servers_folder / "kafka")
        self.kafka.launch()
        self.front = None  # before Azurite
        self.pipeline = Pipeline(self.folder, BUILD / "libexec" / "weft")
        self.points = Points(self.folder / "points", LABELS)
        self.topic = "chaos"
        self.acts = open(self.folder / "acts", "w", encoding="utf-8",
                         buffering=1)  # what was done when, line by line
        self.pipeline.env.update(env or {})
        self.pipeline.env["WEFT_FAILPOINT_FILE"] = str(self.points.path)

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
        self._configure()
        self.pipeline.start()

    def _configure(self):
        small = {"segment_size": "1MiB"}
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
        p.sections["pipeline"].update(restart_burst=1000, drain_timeout="60s")
        p.sections["collector"].update(small)
        p.sections["identities"] = {"store": {
            "type": "account_key", "account": self.azurite.account,
            "key": self.azurite.key}}
        p.sections["eventhub-publisher"] = {
            "backend": "kafka", "bootstrap": self.kafka.bootstrap,
            "topic": self.topic, "max_message": MAX_MESSAGE, **small, **retry}
        p.sections["archive"] = {
            "backend": "file", "path": p.out_dir, "rotate_size": "256KiB",
            **small, **retry}
        lake = {"flush": "300ms", "checkpoint_interval": 5, **small, **retry}
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
        done = self.pipeline.ctl("start")
        assert done.code == 0, done

    # -- end --

    def stop(self, keep):
        """Ends everything; the folder stays when it is to be kept."""
        for label, pid in self.processes().items():
            if is_ours(pid, self.pipeline.config):
                os.kill(pid, signal.SIGCONT)
        self.pipeline.clean_up()
        if self.front:
            self.front.close()
        for server in (self.azurite, self.kafka):
            server.stop()
        shutil.rmtree(self.servers_folder, ignore_errors=True)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
