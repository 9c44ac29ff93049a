"""A Celery app whose tasks show on the bus: a chain, one that is retried, one that fails.

    EVENTBUS_URL=http://127.0.0.1:8000 celery -A docs.examples.celery_tasks worker --concurrency 2 &
    EVENTBUS_URL=http://127.0.0.1:8000 python -m docs.examples.celery_tasks

The broker is a directory (CELERY_DIRECTORY, by default below the system's temporary one), so it
needs no server; yours is at the address of your broker.
"""

import os
import tempfile
from pathlib import Path

from celery import Celery, chain

from eventbus.integrations.celery_signals import connect

directory = Path(os.environ.get("CELERY_DIRECTORY", tempfile.gettempdir() + "/eventbus-celery"))
for name in ("messages", "results", "control"):
    (directory / name).mkdir(parents=True, exist_ok=True)

app = Celery("shop", broker="filesystem://", backend=f"file://{directory}/results")
app.conf.broker_transport_options = {
    "data_folder_in": directory / "messages",
    "data_folder_out": directory / "messages",
    "control_folder": directory / "control",
}
connect()


@app.task(name="shop.add")
def add(x: int, y: int, eval_id: str | None = None) -> int:
    return x + y


@app.task(name="shop.flaky", bind=True, max_retries=2)
def flaky(self) -> str:
    """Succeeds at the second attempt."""
    if self.request.retries == 0:
        raise self.retry(exc=ConnectionError("the shop is closed"), countdown=0)
    return "open"


@app.task(name="shop.broken")
def broken() -> None:
    raise ValueError("no such order")


@app.task(name="shop.parent")
def parent() -> None:
    """Sends another task, which the bus then knows to be caused by this one."""
    add.delay(1, 1)


if __name__ == "__main__":
    chain(add.s(1, 2, eval_id="eval-42"), add.s(3)).apply_async()
    flaky.delay()
    broken.delay()
    parent.delay()
