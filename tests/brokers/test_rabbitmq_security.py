"""RabbitMQ by amqps://: who is trusted, who is shown, and what is said; on the real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventbus import Pattern
from eventbus.brokers import Link, open_broker
from eventbus.errors import BrokerAwayError
from tests.brokers.stages import RabbitMqStage, make_event, numbers, opened, receive, run
from tests.brokers.untrusted import check_it_is_said
from tests.services import RabbitMq
from tests.services.service import can_connect


@pytest.fixture
def server(rabbitmq: RabbitMq) -> RabbitMq:
    if not can_connect(rabbitmq.tls_port):
        pytest.skip("RabbitMQ was started without TLS: `make services-stop services`")
    return rabbitmq


@pytest.fixture
def stage(server: RabbitMq) -> Iterator[RabbitMqStage]:
    with opened(RabbitMqStage(server.url)) as stage:
        stage.broker("q")  # so that its queue is cleared away
        yield stage


async def connected(stage: RabbitMqStage, server: RabbitMq, **files: Path) -> Link:
    options = "".join(f"&{name}={path}" for name, path in files.items())
    url = f"{server.tls_url}?exchange={stage.prefix}{options}"
    return await open_broker(url, name=stage.queue("q"), take=[Pattern("#")]).connect()


def test_events_pass_over_tls_with_an_authority_of_ones_own(
    server: RabbitMq, stage: RabbitMqStage
) -> None:
    async def scenario() -> None:
        link = await connected(stage, server, ca=server.certificates.ca)
        await link.publish([make_event(n) for n in range(50)])
        assert numbers(await receive(link, 50)) == list(range(50))
        await link.close()

    run(scenario())


def test_a_certificate_of_the_client_is_shown(server: RabbitMq, stage: RabbitMqStage) -> None:
    files = server.certificates

    async def scenario() -> None:
        link = await connected(
            stage, server, ca=files.ca, cert=files.client, key=files.client_key
        )  # fmt: skip
        await link.close()
        with pytest.raises(BrokerAwayError):  # the server refuses one that it does not trust
            await connected(
                stage, server, ca=files.ca, cert=files.other_client, key=files.other_key
            )  # fmt: skip

    run(scenario())


def test_a_server_whose_certificate_is_not_trusted_is_refused_and_said(
    server: RabbitMq, tmp_path: Path
) -> None:
    url = server.tls_url.replace("guest:guest@", "guest:s3cret-word@")
    check_it_is_said(tmp_path, f"{url}?ca={server.certificates.other_ca}", "s3cret-word")
