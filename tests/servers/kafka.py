"""A Kafka broker on a port of loopback, from the project's own artefacts: one node, KRaft, no ZooKeeper."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

from confluent_kafka.admin import AdminClient

from tests.servers.process import CACHE, Process, found, free_port

LIBRARIES = CACHE / "kafka"
_POM = Path(__file__).with_name("kafka.pom.xml")
_SETTINGS = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""


class Kafka:
    """One broker; each test takes topics of its own."""

    def __init__(self, libraries: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tidemill-kafka-"))
        self.port = free_port()
        settings = self.folder / "server.properties"
        settings.write_text(_SETTINGS.format(port=self.port, controller=free_port(), folder=self.folder))
        java = ["java", "-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-cp", f"{libraries}/*"]
        subprocess.run(
            [*java, "kafka.tools.StorageTool", "format", "-t", uuid.uuid4().hex[:22], "-c", str(settings)],
            check=True, capture_output=True,
        )  # fmt: skip
        self.process = Process([*java, "kafka.Kafka", str(settings)], self.folder / "log", self._ready)

    def __enter__(self) -> Kafka:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"kafka://127.0.0.1:{self.port}"

    def _ready(self) -> bool:
        try:
            AdminClient({"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0}).list_topics(
                timeout=2
            )
        except Exception:
            return False
        return True


def libraries() -> Path | None:
    """Where the broker's jars are: fetched into `.cache` at the first call, 43 MB."""
    if not found("java") or not found("mvn"):
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "kafka.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (LIBRARIES / "ready").exists():
            words = ["mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"]
            done = subprocess.run(
                [*words, f"-DoutputDirectory={LIBRARIES}"], capture_output=True, check=False
            )
            (CACHE / "kafka.log").write_bytes(done.stdout + done.stderr)
            if done.returncode != 0:
                return None
            (LIBRARIES / "ready").touch()
    return LIBRARIES
