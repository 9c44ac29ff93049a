"""RabbitMQ: Debian's package, run as a plain process with data and ports of its own."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.services.certificates import Certificates
from tests.services.container import Container
from tests.services.service import Process, ServiceError, apt_install, can_connect, kept_ports

_BIN = Path("/usr/lib/rabbitmq/bin")
_EPMD_TIMEOUT_S = 3.0
_CONF = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
listeners.ssl.1 = 127.0.0.1:{tls}
ssl_options.cacertfile = {certificates.ca}
ssl_options.certfile = {certificates.server}
ssl_options.keyfile = {certificates.server_key}
# Clients need no certificate, but one that they show must be good.
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
# A test that fills the disk of the machine must not stop the server of another.
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 512MB
log.file.level = warning
"""


class RabbitMq:
    """One node, on loopback; ``root`` has its data, its cookie and its ports."""

    name = "rabbitmq"

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._process = Process(self.root, self.name)
        self.container = Container(self.root, self.name)

    @property
    def port(self) -> int:
        """Where it speaks AMQP 0-9-1."""
        return kept_ports(self.root, "amqp", "dist", "epmd")["amqp"]

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def tls_port(self) -> int:
        """Where it speaks TLS, with its ``certificates``."""
        return kept_ports(self.root, "tls")["tls"]

    @property
    def tls_url(self) -> str:
        return f"amqps://guest:guest@127.0.0.1:{self.tls_port}/"

    @property
    def certificates(self) -> Certificates:
        return Certificates(self.root / "certificates")

    @property
    def is_running(self) -> bool:
        is_started = self.container.is_used or self._process.pid is not None
        return is_started and can_connect(self.port)

    @property
    def is_installed(self) -> bool:
        return (_BIN / "rabbitmq-server").exists()

    def install(self) -> None:
        """Install Debian's package when it is not there. Raises ServiceError."""
        if not (_BIN / "rabbitmq-server").exists():
            apt_install("rabbitmq-server")
        if not (_BIN / "rabbitmq-server").exists():
            raise ServiceError("Debian's package rabbitmq-server has another layout than expected")

    def start(self) -> None:
        if self.is_running:
            return
        if not (_BIN / "rabbitmq-server").exists():
            raise ServiceError("RabbitMQ is not installed")
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "rabbitmq.conf").write_text(_conf(self.root, self.certificates))
        (self.root / "enabled_plugins").write_text("[].\n")
        server = [str(_BIN / "rabbitmq-server")]
        self._process.start(server, self._env(), lambda: can_connect(self.port))
        self.ctl("await_startup")

    def stop(self) -> None:
        self._process.stop()
        self._stop_epmd()

    def kill(self) -> None:
        self._process.kill()
        # The emulator is the script's child, and may listen for a moment longer: who starts the
        # server again would take it for the new one.
        deadline = time.monotonic() + _EPMD_TIMEOUT_S
        while can_connect(self.port) and time.monotonic() < deadline:
            time.sleep(0.02)

    def ctl(self, *command: str) -> str:
        """What ``rabbitmqctl`` says to a command. Raises ServiceError."""
        if self.container.is_used:
            return self.container.run("rabbitmqctl", "--quiet", *command)
        done = subprocess.run(
            [str(_BIN / "rabbitmqctl"), "-n", self._node, "--quiet", *command],
            env=self._env(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            raise ServiceError(f"rabbitmqctl {command[0]} failed: {done.stdout}{done.stderr}")
        return done.stdout

    @property
    def _node(self) -> str:
        return f"eventbus-{self.port}@localhost"

    def _env(self) -> dict[str, str]:
        ports = kept_ports(self.root, "amqp", "dist", "epmd")
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.root),  # of the cookie that node and tool share
            "ERL_EPMD_PORT": str(ports["epmd"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": str(ports["dist"]),
            "RABBITMQ_CONFIG_FILE": str(self.root / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.root / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.root / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.root / "log"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{loopback} +S 2:2",
        }

    def _stop_epmd(self) -> None:
        """End the port mapper that the node has started: it is this node's alone.

        It refuses while it has not seen that the node has ended.
        """
        port = kept_ports(self.root, "epmd")["epmd"]
        deadline = time.monotonic() + _EPMD_TIMEOUT_S
        while can_connect(port) and time.monotonic() < deadline:
            subprocess.run(
                ["epmd", "-port", str(port), "-kill"], capture_output=True, timeout=10, check=False
            )
            time.sleep(0.1)


def _conf(root: Path, certificates: Certificates) -> str:
    return _CONF.format(**kept_ports(root, "amqp", "tls"), certificates=certificates)
