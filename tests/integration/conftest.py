"""Fixtures that several files of these tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.oidc_provider import OidcProvider
from tests.helpers.stores import empty_schema


@pytest.fixture(scope="module")
def started() -> Iterator[OidcProvider]:
    """An OpenID provider, for all tests of a module."""
    with OidcProvider() as provider:
        yield provider


@pytest.fixture
def provider(started: OidcProvider) -> OidcProvider:
    """The same as it was at its start."""
    started.reset()
    return started


@pytest.fixture
def target() -> Iterator[str]:
    """The URL of an empty schema in PostgreSQL, to move a log to."""
    with empty_schema() as url:
        yield url
