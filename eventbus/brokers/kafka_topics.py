"""Which of the topics that are to be read the server does not have, so that the others are read."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaException

logger = logging.getLogger("eventbus.brokers")

_LOOK_EVERY_S = 5.0
_ANSWER_TIMEOUT_S = 2.0


class ReadTopics:
    """Used on the receiving thread; ``warning`` may be read on any.

    A consumer takes a topic in by itself when it appears: its metadata are looked at all the time.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """``names`` are those that somebody else makes: any may be missing."""
        self._names = tuple(names)
        self._missing: dict[str, None] = {}
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

    def look(self, known: Sequence[str]) -> None:
        """Note which of them are missing in ``known``, all that the server has."""
        self._looked_at = time.monotonic()
        for name in self._names:
            if name not in known:
                self.is_missing(name)
        for name in self._missing:
            if name in known:
                logger.info("the topic %s is there now, and is read", name)
        self._set({name: None for name in self._missing if name not in known})

    def look_again(self, consumer: Consumer) -> None:
        """While any is missing: ask the server, every few seconds."""
        if self._missing and time.monotonic() - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = time.monotonic()
            try:
                self.look(list(consumer.list_topics(timeout=_ANSWER_TIMEOUT_S).topics))
            except KafkaException:
                return  # that it is away is found out by whoever sends or polls

    def _set(self, missing: dict[str, None]) -> None:
        self._missing = missing
        self.warning = (
            f"the server does not have {', '.join(missing)}, named in read=; "
            "what is sent there is read once it has"
            if missing
            else None
        )
