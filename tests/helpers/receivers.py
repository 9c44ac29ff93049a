"""Servers that take notifications: a real HTTP one and a real SMTP one, both as told by a test."""

from __future__ import annotations

import http.server
import socketserver
import time
from dataclasses import dataclass
from typing import Any

from tests.helpers.in_thread import InThread
from tests.helpers.waiting import wait_until


@dataclass
class Taken:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


class HttpReceiver(InThread):
    """Takes every POST; the next answers come from ``answers``, then 200.

    ``consent`` are headers of what is answered to OPTIONS; ``asked_by`` is who asked. An answer is
    a status, or a status with headers and a body; a callable is called with the
    handler and answers itself.
    """

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.answers: list[Any] = []
        self.asked_by: list[str] = []
        self.consent: dict[str, str] = {}
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = receiver.answers.pop(0) if receiver.answers else 200
                receiver.taken.append(Taken(self.path, dict(self.headers.items()), body))
                if callable(answer):
                    answer(self)
                    return
                status, headers, text = answer if isinstance(answer, tuple) else (answer, {}, b"")
                self.send_response(status)
                for name, value in {"Content-Length": str(len(text)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def do_OPTIONS(self) -> None:
                receiver.asked_by.append(self.headers["WebHook-Request-Origin"])
                self.send_response(200)
                for name, value in receiver.consent.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))

    def wait_for(self, count: int) -> list[Taken]:
        wait_until(lambda: len(self.taken) >= count, f"{count} requests came")
        return self.taken


class SmtpReceiver(InThread):
    """A small SMTP server (RFC 5321) without TLS; ``refusals`` by command replace its answers.

    ``letters`` are pairs of recipients and content; ``password`` is what AUTH PLAIN must give.
    """

    def __init__(self, password: str | None = None) -> None:
        self.letters: list[tuple[list[str], str]] = []
        self.refusals: dict[str, list[str]] = {}
        self.logins: list[str] = []
        receiver = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self._say("220 test")
                recipients: list[str] = []
                while line := self.rfile.readline():
                    words = line.decode().strip()
                    command = words.partition(" ")[0].upper()
                    if receiver.refusals.get(command):
                        self._say(receiver.refusals[command].pop(0))
                    elif command == "EHLO":
                        self._say("250-test\r\n250 AUTH PLAIN" if password else "250 test")
                    elif command == "AUTH":
                        receiver.logins.append(words)
                        self._say("235 welcome")
                    elif command == "RCPT":
                        recipients.append(words[words.index("<") + 1 : words.index(">")])
                        self._say("250 ok")
                    elif command == "DATA":
                        self._say("354 go on")
                        lines = []
                        while (part := self.rfile.readline()) != b".\r\n":
                            lines.append(part)
                        receiver.letters.append((recipients, b"".join(lines).decode()))
                        self._say("250 taken")
                    elif command == "QUIT":
                        self._say("221 bye")
                        return
                    else:
                        self._say("250 ok")

            def _say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        super().__init__(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler))


def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
    """An answer that never ends: a byte now and then, each within any time-out of a step."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    try:
        for _ in range(200):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass  # cut off, as it should be
