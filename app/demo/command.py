"""The command line of the demo: options, the server that it may have to start, and the summary."""

from __future__ import annotations

import click


@click.command("demo")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True)
def demo(url: str) -> None:
    """Publish the events of a simulated, busy evaluation platform."""
    raise click.ClickException(f"cannot simulate at {url} yet")
