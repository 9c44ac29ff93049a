"""What every client of Kafka is told, from an address; and what its errors say to people."""

from __future__ import annotations

import re
from typing import Any

from confluent_kafka import KafkaError

from eventbus.brokers.address import BrokerAddress
from eventbus.brokers.encryption import tls_context, untrusted

_WHEN = re.compile(r" \(after [0-9]+ms in state [A-Z_0-9]+(, [^)]*)?\)")
# What will not be otherwise a moment later.
FINAL = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})
# A commit that comes after the group was shared out anew: who has the partition now gets the
# messages again, and knows them by their ids.
SHARED_ANEW = frozenset({
    KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.STALE_MEMBER_EPOCH, KafkaError._NO_OFFSET, KafkaError._ASSIGNMENT_LOST,
})  # fmt: skip
# What goes away by itself: a partition that has no leader, yet or for the moment.
PASSING = frozenset({
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE, KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH, KafkaError._TRANSPORT, KafkaError._TIMED_OUT,
})  # fmt: skip


def client_conf(address: BrokerAddress, group: str) -> dict[str, Any]:
    """What producer, consumer and administration are all told.

    Raises BrokerAddressError when a file of certificates cannot be used.
    """
    conf: dict[str, Any] = {
        "bootstrap.servers": ",".join(f"{host}:{port}" for host, port in address.hosts),
        "client.id": f"eventbus {group}",
        "reconnect.backoff.max.ms": 2_000,
        "log_level": 0,  # what goes wrong is told by callbacks
    }
    if address.user is not None:
        conf |= {
            "security.protocol": "SASL_SSL" if address.is_encrypted else "SASL_PLAINTEXT",
            "sasl.mechanism": address.option("sasl", "PLAIN"),
            "sasl.username": address.user,
            "sasl.password": address.password or "",
        }
    elif address.is_encrypted:
        conf["security.protocol"] = "SSL"
    if tls_context(address) is not None:  # which has read the files
        files = {
            "ca": "ssl.ca.location",
            "cert": "ssl.certificate.location",
            "key": "ssl.key.location",
        }
        conf |= {files[name]: value for name, value in address.options if name in files}
        if address.option("cert", "") and not address.option("key", ""):
            conf["ssl.key.location"] = address.option("cert", "")
    return conf


def reason_of(error: KafkaError) -> str:
    """In one line, without a password."""
    text = _WHEN.sub("", " ".join(error.str().split()))
    if error.code() == KafkaError._SSL and "certificate verify failed" in text:
        detail = text.partition("certificate verify failed")[2].partition(":")[2].strip()
        return untrusted((detail.partition(", verify that")[0] or text)[:200])
    return text[:300]
