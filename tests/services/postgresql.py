"""PostgreSQL: Debian's package, run as a plain process with data and a port of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from tests.services.container import Container
from tests.services.service import Process, ServiceError, apt_install, can_connect, kept_ports

_USER = "eventbus"
_DATABASE = "eventbus"
_CONF = """\
listen_addresses = '{addresses}'
port = {port}
unix_socket_directories = ''
max_connections = 300
# As SQLite here: what is acknowledged survives a power cut.
fsync = on
synchronous_commit = on
shared_buffers = 128MB
log_min_messages = warning
"""


class Postgresql:
    """One cluster, on loopback; ``root`` has its data and its port.

    It refuses to run as root: then it is the user of Debian's package who does. ``also_at`` is an
    address of this machine besides, at which it takes whoever is in the same /24.
    """

    name = "postgresql"

    def __init__(self, root: Path, also_at: str | None = None) -> None:
        self.root = root.resolve()
        self._addresses = ["127.0.0.1"] + ([also_at] if also_at else [])
        self._process = Process(self.root, self.name)
        self.container = Container(self.root, self.name)

    @property
    def port(self) -> int:
        return kept_ports(self.root, "postgresql")["postgresql"]

    @property
    def url(self) -> str:
        return self.url_of(_DATABASE)

    def url_of(self, database: str) -> str:
        """The URL of another database of this cluster."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{database}"

    def url_in(self, schema: str, *options: str) -> str:
        """The URL of a schema of the database; ``options`` of the server's hold for who uses it."""
        said = " ".join([*options, f"-csearch_path={schema}"])
        return f"{self.url}?options={quote(said)}"

    @contextmanager
    def schema(self, prefix: str) -> Iterator[str]:
        """An empty schema of its own, by name, which is dropped in the end."""
        name = f"{prefix}_{uuid4().hex[:12]}"
        self.sql(f"CREATE SCHEMA {name}")
        try:
            yield name
        finally:
            self.sql(f"DROP SCHEMA {name} CASCADE")

    def remove(self) -> None:
        """End it, and delete its data."""
        self.kill()
        shutil.rmtree(self._data, ignore_errors=True)

    @property
    def is_running(self) -> bool:
        is_started = self.container.is_used or self._process.pid is not None
        return is_started and can_connect(self.port)

    @property
    def is_installed(self) -> bool:
        return _programs() is not None

    def install(self) -> None:
        """Install Debian's package when it is not there. Raises ServiceError."""
        if _programs() is None:
            apt_install("postgresql")
        if _programs() is None:
            raise ServiceError("Debian's package postgresql has another layout than expected")

    def start(self) -> None:
        if self.is_running:
            return
        programs = _programs()
        if programs is None:
            raise ServiceError("PostgreSQL is not installed")
        data = self._data
        self.root.mkdir(parents=True, exist_ok=True)
        if not (data / "PG_VERSION").exists():
            data.mkdir(parents=True, exist_ok=True)
            if os.getuid() == 0:
                shutil.chown(data, "postgres", "postgres")
            self._run(
                programs / "initdb", "-D", str(data), "-U", _USER, "--auth=trust",
                # As most servers are set up: the log must not depend on how text is sorted there.
                "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
            )  # fmt: skip
        settings = _CONF.format(port=self.port, addresses=",".join(self._addresses))
        (data / "postgresql.auto.conf").write_text(settings)
        with (data / "pg_hba.conf").open("a") as rules:
            rules.writelines(f"host all all {each}/24 trust\n" for each in self._addresses[1:])
        self._process.start(
            [*_as_user(), str(programs / "postgres"), "-D", str(data)], _env(),
            lambda: self._answers(programs),
        )  # fmt: skip
        self._make_database(programs)

    def stop(self) -> None:
        """Its fast shutdown: sessions are ended, what they have not committed is undone."""
        if (pid := self._server_pid()) is not None:
            os.kill(pid, 2)
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def sql(self, statement: str, database: str = _DATABASE) -> str:
        """What ``psql`` prints for a statement. Raises ServiceError."""
        asked = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement]
        if self.container.is_used:
            return self.container.run("psql", "-U", _USER, "-d", database, *asked)
        programs = _programs()
        assert programs is not None, "it is installed"
        return self._run(programs / "psql", "-d", self.url_of(database), *asked)

    def _server_pid(self) -> int | None:
        file = self._data / "postmaster.pid"
        return int(file.read_text().split()[0]) if self.is_running and file.exists() else None

    def _answers(self, programs: Path) -> bool:
        command = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        return subprocess.run(command, check=False).returncode == 0

    def _make_database(self, programs: Path) -> None:
        found = self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{_DATABASE}'", "postgres")
        if not found.strip():
            self.sql(f"CREATE DATABASE {_DATABASE}", "postgres")

    @property
    def _data(self) -> Path:
        if os.getuid() != 0:
            return self.root / "data"
        # A checkout may be where only root can look.
        return (
            Path("/var/tmp/eventbus-postgresql") / hashlib.sha256(bytes(self.root)).hexdigest()[:12]
        )

    def _run(self, program: Path, *arguments: str) -> str:
        done = subprocess.run(
            [*_as_user(), str(program), *arguments], env=_env(), capture_output=True, text=True,
            timeout=120, check=False, cwd="/",
        )  # fmt: skip
        if done.returncode:
            raise ServiceError(f"{program.name} failed: {done.stdout}{done.stderr}")
        return done.stdout


def _programs() -> Path | None:
    """The folder of the newest server that is installed."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3])
    )
    if found:
        return found[-1].parent
    path = shutil.which("postgres")
    return Path(path).resolve().parent if path else None


def _as_user() -> list[str]:
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if (
        os.getuid() == 0
    ) else []  # fmt: skip


def _env() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
