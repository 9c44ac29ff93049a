"""The Celery app of ``bench.shared``; its settings come by the environment."""

from __future__ import annotations

import os
import threading

import psycopg
from celery import Celery

app = Celery("bench", broker=os.environ.get("BENCH_BROKER", "amqp://"))
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"confirm_publish": True},
    task_default_queue=os.environ.get("BENCH_QUEUE", "bench"),
)
_own = threading.local()


@app.task(name="bench.job")
def job(sent_us: int) -> None:
    """Insert the row; each thread has a connection."""
    if not hasattr(_own, "conn"):
        _own.conn = psycopg.connect(os.environ["BENCH_URL"], autocommit=True)
    _own.conn.execute("INSERT INTO done (sent_us) VALUES (%s)", (sent_us,))
