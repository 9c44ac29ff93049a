"""A real nginx with the configuration of deploy/, on free ports, with a certificate of its own.

``python -m tests.helpers.nginx`` installs it where it is missing and that can be done.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.helpers.ports import free_port
from tests.helpers.waiting import wait_until
from tests.services.service import ServiceError, apt_install

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NAME = "bus.example.org"
IS_THERE = bool(shutil.which("nginx") and shutil.which("openssl"))
_AROUND = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {own}
}}
"""


class Nginx:
    """A context manager; ``plain_port`` and ``tls_port`` are where it listens."""

    def __init__(self, folder: Path, *server_ports: int) -> None:
        self.plain_port, self.tls_port = free_port(), free_port()
        self._folder = folder
        certificate, key = folder / "cert.pem", folder / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
             "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
             "-keyout", str(key), "-out", str(certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        own = CONFIGURATION.read_text(encoding="utf-8")
        for theirs, ours in (
            (
                "server 127.0.0.1:8000;",
                "".join(f"server 127.0.0.1:{port};\n" for port in server_ports),
            ),
            ("listen 80;", f"listen 127.0.0.1:{self.plain_port};"),
            ("listen 443 ssl http2;", f"listen 127.0.0.1:{self.tls_port} ssl http2;"),
            (f"/etc/ssl/certs/{NAME}.pem", str(certificate)),
            (f"/etc/ssl/private/{NAME}.key", str(key)),
        ):
            assert theirs in own, theirs
            own = own.replace(theirs, ours)
        user = "user root;" if os.geteuid() == 0 else ""
        text = _AROUND.format(folder=folder, own=own, user=user)
        self._file = folder / "nginx.conf"
        self._file.write_text(text, encoding="utf-8")
        self.tls = ssl.create_default_context(cafile=str(certificate))
        """Trusts this server alone; the host is NAME."""

    def connect(self, source: str = "127.0.0.1") -> ssl.SSLSocket:
        """A TLS connection from one of the loopback addresses."""
        raw = socket.create_connection(("127.0.0.1", self.tls_port), 10, (source, 0))
        return self.tls.wrap_socket(raw, server_hostname=NAME)

    def __enter__(self) -> Self:
        command = ["nginx", "-p", str(self._folder), "-c", str(self._file)]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_until(self._listens, "nginx listens")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _listens(self) -> bool:
        assert self._process.poll() is None, (self._folder / "error.log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.tls_port), 1).close()
        except OSError:
            return False
        return True


def main() -> int:
    """Install what is missing; returns 1 when that cannot be done."""
    if IS_THERE:
        return 0
    try:
        apt_install("nginx-light", "openssl")
    except ServiceError as error:
        print(f"nginx: cannot be had: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
