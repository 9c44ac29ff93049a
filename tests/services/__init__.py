"""Real servers for tests and development: ``python -m tests.services start`` and ``stop``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.services.kafka import Kafka
from tests.services.postgresql import Postgresql
from tests.services.rabbitmq import RabbitMq
from tests.services.service import Service, ServiceError

_HERE = Path(__file__).resolve().parent.parent.parent / "var" / "services"
ROOT = Path(os.environ.get("EVENTBUS_TEST_SERVICES", _HERE))
SERVICES: dict[str, Callable[[Path], Service]] = {
    Postgresql.name: Postgresql,
    RabbitMq.name: RabbitMq,
    Kafka.name: Kafka,
}

__all__ = ["ROOT", "SERVICES", "Kafka", "Postgresql", "RabbitMq", "Service", "ServiceError"]
