"""The command line of the demo: options, the server that it may have to start, and the summary."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from queue import SimpleQueue

import click
from flask import current_app
from flask.cli import with_appcontext

from app.cli.server import default_url, token_for
from app.config import Settings
from app.demo.messages import Books
from app.demo.platform import Platform
from app.demo.server import OwnServer, TokenFor
from app.demo.simulation import Inbox, Outcome, Simulation, Stop
from app.demo.verdicts import Reader, ServerError, Verdicts
from eventbus.client import RemoteEventBus

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MAX_PENDING = 20_000
_LINGER_S = 0.05
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@click.command("demo")
@click.option("--url", help="Address of the bus; by default that of HOST and PORT.")
@click.option(
    "--rate",
    default=20.0,
    show_default=True,
    type=click.FloatRange(0.1, 5_000),
    help="Events per second, all together.",
)
@click.option(
    "--failure-rate",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of evaluations whose first attempt fails.",
)
@click.option("--seed", default=1, show_default=True, help="The same seed tells the same story.")
@click.option(
    "--duration",
    default=0.0,
    type=click.FloatRange(0, 1e7),
    help="Seconds until it ends by itself; 0, the default, means never.",
)
@click.option(
    "--serve/--no-serve",
    default=True,
    show_default=True,
    help="Start a server when none answers at the address, and stop it in the end.",
)
@with_appcontext
def demo(
    url: str | None, rate: float, failure_rate: float, seed: int, duration: float, serve: bool
) -> None:
    """Publish the events of a simulated, busy evaluation platform until Ctrl-C.

    Of the evaluations whose first attempt fails, some fail of something that no retry cures.
    """
    settings: Settings = current_app.extensions["eventbus"].settings
    url = (url or default_url(settings)).rstrip("/")

    def find_token() -> str | None:
        return token_for(url, settings)  # a server of the demo's own brings a new one

    inbox: Inbox = SimpleQueue()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: inbox.put(Stop()))
    with ExitStack() as parts:
        try:
            after, server = _reach(url, find_token, serve, inbox, parts)
        except (ServerError, ValueError) as error:
            raise click.ClickException(
                f"no event bus at {url} ({error}); `make run` starts one, --url chooses another"
            ) from None
        token = find_token()
        platform = Platform(seed=seed, rate=rate, failure_rate=failure_rate, run=_run_name())
        bus = RemoteEventBus(url, token=token, max_pending=_MAX_PENDING, linger_s=_LINGER_S)
        verdicts = Verdicts(url, after, inbox.put, token)
        verdicts.start()
        parts.callback(verdicts.close)
        click.echo(f"publishing {rate:g} events/s to {url}/ (Ctrl-C stops it)")
        outcome = Simulation(platform, bus, inbox).run(rate, duration)
        click.echo(_summary(outcome, platform.books))
        if server is not None and server.has_ended:
            raise click.ClickException("the server ended before the demo did")


def _reach(
    url: str, find_token: TokenFor, serve: bool, inbox: Inbox, parts: ExitStack
) -> tuple[int, OwnServer | None]:
    """The position of the log at ``url``, and the server if it had to be started."""
    reader = Reader(url, token=find_token())
    parts.callback(reader.close)
    try:
        return reader.sequence(), None
    except ServerError as error:
        if not serve or not isinstance(error.__cause__, ConnectionRefusedError):
            raise
    server = parts.enter_context(OwnServer(url, lambda: inbox.put(Stop()), find_token))
    return server.sequence, server


def _run_name() -> str:
    """What tells the ids of this run from those of earlier ones that are in the same log."""
    number, name = int(time.time()), ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        name = _DIGITS[digit] + name
    return name


def _summary(outcome: Outcome, books: Books) -> str:
    stats = outcome.stats
    unfinished = outcome.unfinished_count
    return "\n".join(
        (
            f"{outcome.rate:.1f} events/s for {outcome.steady_s:.1f} s",
            f"events: {stats.sent} published, {stats.refused} refused, {stats.dropped} dropped",
            f"evaluations: {books.started} started, {books.completed} completed, "
            f"{books.failed} failures, {books.exhausted} exhausted"
            + (f", {unfinished} unfinished" if unfinished else ""),
        )
    )
