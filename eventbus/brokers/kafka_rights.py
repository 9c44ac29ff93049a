"""What Kafka's login may not do, in words that say what has to be allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient  # type: ignore[attr-defined]

from eventbus.errors import BrokerDeniedError

_ANSWER_TIMEOUT_S = 2.0
_OF_TOPICS = frozenset({
    KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED,
})  # fmt: skip
# The operations that Kafka's documentation names for the requests (Security, Authorization and
# ACLs); READ and WRITE have DESCRIBE in them.
MAY_NOT_READ = "the login may not read the topic {}: it needs READ on it"
MAY_NOT_WRITE = "the login may not write to the topic {}: it needs WRITE on it"
MAY_NOT_MAKE = (
    "the login may neither see nor make the topic {}: it needs WRITE on it, and CREATE on it "
    "unless somebody else makes it"
)
_MAY_NOT_JOIN = "the login may not be in the consumer group {}: it needs READ on that group"


def is_of_topic(error: KafkaError) -> bool:
    """Whether it says that the login may not do something with a topic."""
    return error.code() in _OF_TOPICS


def denied(error: KafkaError, group: str, topic: str, problem: str) -> BrokerDeniedError | None:
    """The error that says what has to be allowed, when the login is what is wrong.

    ``problem`` is one of the sentences above, for ``topic``.
    """
    if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
        return BrokerDeniedError(_MAY_NOT_JOIN.format(group))
    return BrokerDeniedError(problem.format(topic)) if is_of_topic(error) else None


def may_read(conf: Mapping[str, Any], topic: str) -> bool:
    """Ask the server. Raises KafkaException when it does not answer, or does not see the topic."""
    admin = AdminClient(dict(conf))
    asked = admin.describe_topics(
        TopicCollection([topic]),
        include_authorized_operations=True,
        request_timeout=_ANSWER_TIMEOUT_S,
    )
    try:
        allowed = asked[topic].result(_ANSWER_TIMEOUT_S).authorized_operations
    except KafkaException as error:
        if is_of_topic(error.args[0]):
            return False
        raise
    return AclOperation.READ in (allowed or ())
