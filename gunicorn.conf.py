"""How gunicorn serves the app: one process, threads, and an end within three seconds."""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import resource
import socket
import sys
import threading
import time
from pathlib import Path

from gunicorn import glogging, systemd, util
from gunicorn.workers.gthread import ThreadWorker

# The app is importable from whatever directory gunicorn was started in.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from app import logs
from app.config import Settings, SettingsError
from app.pool import PatientPool
from eventbus.errors import EventBusError
from eventbus.log.address import is_on_server

IN_FLIGHT_S = 0.7
KEPT_ALIVE_S = 0.2
STOP_S = 0.6
LAST_ANSWERS_S = 0.1
# From the signal on, for all of it; the arbiter kills after graceful_timeout.
END_S = 2.0
OTHER_WORKER_S = 6.0
# glibc gives each of hundreds of threads a heap of its own if it may, and what one of them frees
# stays there: after hours that is memory for nothing. (mallopt(3); other C libraries lack it)
MALLOC_ARENAS = 2
M_ARENA_MAX = -8
BOOT_ERROR = 3  # gunicorn's own number for "stop instead of trying again" (Arbiter)

try:
    settings = Settings.from_environment(os.environ)
except SettingsError as error:
    print(logs.said(str(error), logging.ERROR, error.log_format), file=sys.stderr)
    sys.exit(BOOT_ERROR)

# Taken from gunicorn, which says "ready" as soon as it listens; post_worker_init says it.
notify_socket = os.environ.pop("NOTIFY_SOCKET", None)

is_shared = is_on_server(settings.database_url)
"""Whether several processes may have the bus of the database."""


class BusWorker(ThreadWorker):
    """A threaded worker that no client can hold up, and that ends soon and in order.

    gunicorn waits for every open connection and lets Ctrl-C cut all of them off; here, whichever
    signal asks for the end, the WebSockets are closed at once, requests get ``IN_FLIGHT_S`` to
    end, and then handlers get ``STOP_S`` (in ``worker_exit``).
    """

    asked_to_end: float | None = None

    def init_process(self) -> None:
        # This process's copy alone: the arbiter keeps its own, longer patience.
        self.cfg.settings["graceful_timeout"].value = IN_FLIGHT_S  # whose check takes whole seconds
        self.reading = {}  # connections that wait for the head of a request, and until when
        self.answering = set()  # those whose request the app has, until its answer is written
        super().init_process()

    def get_thread_pool(self) -> PatientPool:
        return PatientPool(max_workers=self.cfg.threads)

    def handle_exit(self, sig, frame) -> None:
        if self.alive:
            self.asked_to_end = time.monotonic()
            # Not here: the main thread, interrupted by the signal, may hold any of the locks.
            threading.Thread(target=close_sockets, args=(self,), name="close-sockets").start()
        super().handle_exit(sig, frame)

    handle_quit = handle_exit

    def handle(self, conn):
        self.reading[conn] = time.monotonic() + settings.read_timeout_s
        is_kept = super().handle(conn)
        self.reading.pop(conn, None)
        if not is_kept:
            # gunicorn waits up to 2 s for the client's end of the connection, and would do it in
            # the one thread that accepts: a slow client would hold up all others.
            conn.close(graceful=True)
            conn.close = closed_already
        return is_kept

    def handle_request(self, req, conn):
        self.reading.pop(conn, None)  # its head is here; the app bounds the wait for its body
        self.answering.add(conn)
        try:
            return super().handle_request(req, conn)
        finally:
            self.answering.discard(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        super().murder_keepalived(force)
        now = time.monotonic()
        for conn, deadline in list(self.reading.items()):
            if now > deadline:
                # Its thread, which gunicorn lets wait for ever, reads the end of the stream.
                with contextlib.suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)

    def _cap_keepalive(self, deadline: float) -> None:
        soon = time.monotonic() + KEPT_ALIVE_S
        for connection in self.pending_conns:
            connection.timeout = min(connection.timeout, soon)
        super()._cap_keepalive(min(deadline, soon))


def closed_already(graceful: bool = False) -> None:
    """Stands in for a connection's ``close`` after it."""


def close_sockets(worker: BusWorker) -> None:
    app = getattr(worker, "wsgi", None)  # the signal may come before there is one
    if app is not None:
        app.extensions["eventbus"].close_sockets()


def write_problem(sock, status_int: int, reason: str, mesg: str) -> None:
    """What a request gets that is not even HTTP: the same kind of document as from the app."""
    problem = {"title": reason, "status": status_int, "detail": mesg or "the request is not HTTP"}
    body = json.dumps(problem) + "\n"
    head = (
        f"HTTP/1.1 {status_int} {reason}\r\nConnection: close\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(sock, (head + body).encode("ascii"))


util.write_error = write_problem  # gunicorn has no setting for its page


class BusLogger(glogging.Logger):
    """gunicorn's own messages in the form of all others."""

    def setup(self, cfg) -> None:
        super().setup(cfg)
        self.error_log.handlers[:] = [logs.handler("json")]


if settings.log_format == "json":
    logger_class = BusLogger

chdir = str(Path(__file__).resolve().parent)
wsgi_app = "wsgi:app"
bind = settings.bind
worker_class = BusWorker
workers = 1
threads = settings.threads
worker_connections = settings.threads + 1_000
backlog = 2_048
limit_request_line = 8_190
keepalive = 15
timeout = 60
graceful_timeout = 3
control_socket_disable = True
forwarded_allow_ips = ""  # app/proxies.py decides whom to believe
loglevel = "warning" if settings.log_level == "info" else settings.log_level
proc_name = "eventbus"


def on_starting(server) -> None:
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, MALLOC_ARENAS)
    if server.cfg.workers != 1 and not is_shared:
        refuse(
            f"{server.cfg.workers} workers were asked for, but one process has the bus of an "
            "SQLite database; with PostgreSQL there may be several (docs/scaling.md), and for more "
            "requests at once there is EVENTBUS_REQUEST_THREADS"
        )
    refuse_taken_port(settings.host, settings.port)
    if sys.stdin.isatty():
        server.handle_hup = server.handle_term  # a closed terminal ends what was started in it
    raise_open_files_limit(settings.threads * 2 + 1_000)


def nworkers_changed(server, new_value: int, old_value: int | None) -> None:
    if old_value is not None and new_value != 1 and not is_shared:
        server._num_workers = 1
        server.log.warning("not changing to %d workers: the database has one bus", new_value)


def post_worker_init(worker: BusWorker) -> None:
    logs.configure(settings.log_level, settings.log_format)
    try:
        # A worker that follows another one, after a reload or a crash, may find it still closing.
        wait_s = OTHER_WORKER_S if worker.age > 1 else 0.0
        worker.wsgi.extensions["eventbus"].start(wait_for_lock_s=wait_s)
    except (EventBusError, OSError) as error:
        say(f"error: Event Bus cannot start: {error}", sys.stderr)
        sys.exit(BOOT_ERROR)
    host, port = worker.sockets[0].getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}"
    worker.wsgi.extensions["eventbus"].access.open_door(
        url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    )
    say(f"Event Bus is live at {url}/ (Ctrl-C stops it)", sys.stdout)
    tell_systemd(f"READY=1\nSTATUS=Live at {url}/", worker.log)


def worker_exit(server, worker: BusWorker) -> None:
    if not worker.booted or worker.pid != os.getpid():
        return
    # In a thread, because a handler that blocks the bus's loop would make this wait for longer.
    stop = worker.wsgi.extensions["eventbus"].stop
    stopping = threading.Thread(target=stop, args=(STOP_S,), name="stop", daemon=True)
    stopping.start()
    # To the last moment: a log that was not closed in order is checked whole at the next start.
    began = worker.asked_to_end or time.monotonic()
    stopping.join(max(STOP_S + 0.2, began + END_S - time.monotonic()))
    # Who waited for the bus has just been told that it is closed; let those answers out whole.
    deadline = time.monotonic() + LAST_ANSWERS_S
    while worker.answering and time.monotonic() < deadline:
        time.sleep(0.01)
    sys.stdout.flush()
    sys.stderr.flush()
    # A handler or request that hangs would keep the interpreter from ending, as it joins threads.
    os._exit(0)


def say(text: str, stream) -> None:
    """What is said whatever the log's level is."""
    level = logging.ERROR if stream is sys.stderr else logging.INFO
    print(logs.said(text, level, settings.log_format), file=stream, flush=True)


def tell_systemd(state: str, logger) -> None:
    """Send ``state`` to the service manager that waits for it, if there is one: sd_notify(3)."""
    if notify_socket is not None:
        os.environ["NOTIFY_SOCKET"] = notify_socket
        systemd.sd_notify(state, logger, unset_environment=True)


def refuse(problem: str) -> None:
    say(f"error: {problem}", sys.stderr)
    sys.exit(BOOT_ERROR)


def refuse_taken_port(host: str, port: int) -> None:
    """Say at once what gunicorn says after five seconds of trying."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            refuse(f"cannot listen on {settings.bind}: {error.strerror}; PORT chooses another port")


def raise_open_files_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
