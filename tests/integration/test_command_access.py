"""The command on a server that asks who comes: tokens, and what each of them may."""

from __future__ import annotations

import json

from tests.helpers.commands import line_of, run, start
from tests.helpers.people import add_first, make_token, signed_in
from tests.helpers.server import ServerProcess


def test_a_token_is_shown_with_everything_and_may_no_more_than_its_scopes(
    server: ServerProcess,
) -> None:
    add_first(server)
    admin = signed_in(server)
    reader = make_token(admin, "reader", "read")
    publisher = make_token(admin, "publisher", "publish", "read")

    nobody = run(server.url, "stats")
    assert nobody.code == 5 and "EVENTBUS_TOKEN" in nobody.err
    assert run(server.url, "tail").code == 5
    assert run(server.url, "stats", "--token", "wrong").code == 5
    assert run(server.url, "stats", "--token", "no token at all").code == 2

    following = start(
        server.url, "tail", "a.b", "--since", "1h", "--count", "3", "--json", EVENTBUS_TOKEN=reader
    )
    assert run(server.url, "stats", EVENTBUS_TOKEN=reader).code == 0
    refused = run(server.url, "publish", "a.b", EVENTBUS_TOKEN=reader)
    assert refused.code == 5 and "Traceback" not in refused.err

    for _ in range(2):
        assert run(server.url, "publish", "a.b", "n=1", "--token", publisher).code == 0
    piped = run(server.url, "publish", "--batch", "--token", publisher, input='{"type": "a.b"}\n')
    assert (piped.code, piped.err.splitlines()[-1]) == (0, "1 recorded"), piped.err
    assert json.loads(line_of(following))["type"] == "a.b"
    assert following.wait(30) == 0
