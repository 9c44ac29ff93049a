"""Which topics to be read are missing or denied to the login, so that the others are read."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from eventbus.brokers.kafka_rights import MAY_NOT_READ, may_read

logger = logging.getLogger("eventbus.brokers")

_LOOK_EVERY_S = 5.0
_ANSWER_TIMEOUT_S = 2.0


class ReadTopics:
    """Used on the receiving thread; ``warning`` may be read on any.

    A consumer takes a topic in by itself when it appears: its metadata are looked at all the time.
    """

    def __init__(self, names: Sequence[str], conf: Mapping[str, Any]) -> None:
        """``names`` are those that somebody else makes: any may be missing.

        ``conf`` is what a client is told who asks what the login may do.
        """
        self._names = tuple(names)
        self._conf = conf
        self._missing: dict[str, None] = {}
        self._denied: dict[str, None] = {}
        self._looked_at = 0.0
        self.warning: str | None = None

    def is_missing(self, name: str) -> bool:
        """Note that the server does not have ``name``; whether that is borne."""
        if name not in self._names:
            return False
        if name not in self._missing:
            logger.warning("the topic %s is not there: nothing is read from it", name)
            self._set({**self._missing, name: None})
        return True

    def deny(self, consumer: Consumer, topic: str, partition: int) -> None:
        """Note that the login may not read it; nothing is fetched until that is otherwise."""
        if partition >= 0:
            consumer.pause([TopicPartition(topic, partition)])
        if topic not in self._denied:
            logger.warning(MAY_NOT_READ.format(topic))
            self._denied[topic] = None
            self._looked_at = time.monotonic()
            missing = {name: None for name in self._missing if name != topic}
            self._set(missing)

    def look(self, known: Sequence[str]) -> None:
        """Note which of them are missing in ``known``, all that the server has."""
        self._looked_at = time.monotonic()
        for name in self._names:
            if name not in known and name not in self._denied:
                self.is_missing(name)
        for name in self._missing:
            if name in known:
                logger.info("the topic %s is there now, and is read", name)
        self._set({name: None for name in self._missing if name not in known})

    def look_again(self, consumer: Consumer) -> str | None:
        """While any is missing or denied: ask the server, every few seconds.

        Returns one that may be read now. Only a new consumer begins it where the group stands:
        for this one, which could not note where that is, it would begin with its oldest message.
        """
        is_waiting = self._missing or self._denied
        if not is_waiting or time.monotonic() - self._looked_at < _LOOK_EVERY_S:
            return None
        try:
            if self._missing:
                self.look(list(consumer.list_topics(timeout=_ANSWER_TIMEOUT_S).topics))
            return next((name for name in self._denied if may_read(self._conf, name)), None)
        except KafkaException:
            return None  # that it is away is found out by whoever sends or polls
        finally:
            self._looked_at = time.monotonic()

    def _set(self, missing: dict[str, None]) -> None:
        self._missing = missing
        told = [MAY_NOT_READ.format(name) for name in self._denied]
        if missing:
            told.append(
                f"the server does not have {', '.join(missing)}, named in read=; "
                "what is sent there is read once it has"
            )
        self.warning = "; ".join(told) or None
