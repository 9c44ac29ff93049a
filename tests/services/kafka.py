"""Kafka: Apache's own jars from Maven Central, one node in KRaft mode, as a plain process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.services.certificates import Certificates
from tests.services.container import Container
from tests.services.service import Process, ServiceError, can_connect, kept_ports

VERSION = "4.1.2"
_ROOT = Path(__file__).resolve().parent.parent.parent / "var" / "services" / "kafka"
LIBS = _ROOT / f"libs-{VERSION}"
"""The jars, which all nodes of a checkout share."""
_CLUSTER = "ZXZlbnRidXMta2Fma2EtdA"
_HEAP = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-node</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
    <version>{VERSION}</version>
  </dependency></dependencies>
</project>
"""
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{client},LOGIN://127.0.0.1:{login},SECURE://127.0.0.1:{secure},\
MUTUAL://127.0.0.1:{mutual},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised},LOGIN://127.0.0.1:{login},\
SECURE://127.0.0.1:{secure},MUTUAL://127.0.0.1:{mutual}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT,\
SECURE:SASL_SSL,MUTUAL:SSL
listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
{logins}listener.name.mutual.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={certificates.server_both}
ssl.truststore.type=PEM
ssl.truststore.location={certificates.ca}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
log.dirs={data}
num.partitions=3
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
# Who comes without a login may do everything; others what is not kept for somebody.
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
log.cleaner.dedupe.buffer.size=4194304
"""
_PORTS = ("client", "controller", "login", "secure", "mutual")
LOGIN = ("app", "s3cret-of-app")
"""Who may log in by PLAIN; users of SCRAM are kept in the cluster, and made by tests."""
_MODULES = "org.apache.kafka.common.security"


class Kafka:
    """One node, on loopback. ``advertised`` is the port that clients are told, a proxy's say."""

    name = "kafka"

    def __init__(self, root: Path, advertised: int = 0) -> None:
        self.root = root.resolve()
        self._advertised = advertised
        self._process = Process(self.root, self.name)
        self.container = Container(self.root, self.name)

    @property
    def port(self) -> int:
        """Where clients connect."""
        return kept_ports(self.root, *_PORTS)["client"]

    @property
    def url(self) -> str:
        return f"kafka://127.0.0.1:{self.port}"

    def at(self, listener: str) -> str:
        """Host and port of another listener: ``login`` (SASL), ``secure`` (SASL and TLS) or
        ``mutual`` (TLS with certificates on both sides).
        """
        return f"127.0.0.1:{kept_ports(self.root, *_PORTS)[listener]}"

    @property
    def certificates(self) -> Certificates:
        return Certificates(self.root / "certificates")

    @property
    def is_running(self) -> bool:
        is_started = self.container.is_used or self._process.pid is not None
        return is_started and can_connect(self.port)

    @property
    def is_installed(self) -> bool:
        return LIBS.exists()

    def install(self) -> None:
        """Get the jars when they are not there, with checked checksums. Raises ServiceError."""
        _java()
        if LIBS.exists():
            return
        if shutil.which("mvn") is None:
            raise ServiceError("needs Maven (mvn) to get Kafka's jars, and there is none")
        _ROOT.mkdir(parents=True, exist_ok=True)
        pom = _ROOT / "pom.xml"
        pom.write_text(_POM)
        part = _ROOT / "libs.part"
        shutil.rmtree(part, ignore_errors=True)
        done = subprocess.run(
            ["mvn", "-q", "-B", "--strict-checksums", "-f", str(pom),
             "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={part}"],
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        if done.returncode:
            raise ServiceError(f"Kafka's jars could not be had: {done.stdout[-500:]}")
        part.rename(LIBS)

    def start(self) -> None:
        if self.is_running:
            return
        if not LIBS.exists():
            raise ServiceError("Kafka is not installed: `make services` does it")
        ports = kept_ports(self.root, *_PORTS)
        data = self.root / "data"
        properties = self.root / "server.properties"
        advertised = self._advertised or ports["client"]
        properties.write_text(_PROPERTIES.format(
            **ports, data=data, advertised=advertised, logins=_logins(),
            certificates=self.certificates,
        ))  # fmt: skip
        java = [_java(), *_HEAP, "-cp", f"{LIBS}/*"]
        if not data.exists():
            done = subprocess.run(
                [*java, "kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(properties)],
                capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            if done.returncode:
                raise ServiceError(f"Kafka's storage could not be made: {done.stderr[-500:]}")
        self._process.start(
            [*java, "kafka.Kafka", str(properties)],
            dict(os.environ),
            lambda: can_connect(self.port),
        )

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()


def _logins() -> str:
    user, password = LOGIN
    plain = f'{_MODULES}.plain.PlainLoginModule required user_{user}="{password}";'
    scram = f"{_MODULES}.scram.ScramLoginModule required;"
    return "".join(
        f"listener.name.{listener}.{mechanism}.sasl.jaas.config={module}\n"
        for listener in ("login", "secure")
        for mechanism, module in (
            ("plain", plain), ("scram-sha-256", scram), ("scram-sha-512", scram),
        )
    )  # fmt: skip


def _java() -> str:
    """A Java that Kafka 4 runs on, which is 17 and later. Raises ServiceError."""
    java = shutil.which("java")
    if java is None:
        raise ServiceError("needs Java 17, and there is none")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60).stderr
    found = re.search(r'version "(\d+)', told)
    if found is None or int(found[1]) < 17:
        raise ServiceError(f"needs Java 17, and there is {told.splitlines()[0] if told else '?'}")
    return java
