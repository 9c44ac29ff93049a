"""Real servers for tests and development: ``python -m tests.services start`` and ``stop``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.services.kafka import Kafka
from tests.services.postgresql import Postgresql
from tests.services.rabbitmq import RabbitMq
from tests.services.service import Service, ServiceError

ROOT = Path(__file__).resolve().parent.parent.parent / "var" / "services"
SERVICES: dict[str, Callable[[Path], Service]] = {
    Postgresql.name: Postgresql,
    RabbitMq.name: RabbitMq,
    Kafka.name: Kafka,
}

__all__ = ["ROOT", "SERVICES", "Kafka", "Postgresql", "RabbitMq", "Service", "ServiceError"]
