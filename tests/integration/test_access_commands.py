"""`flask users` and `flask tokens`, while the server runs and while it does not."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from app import create_app
from app.config import Settings
from eventbus.command.errors import NOT_FOUND
from tests.helpers.people import PASSWORD, Visitor, add_first, make_token, signed_in
from tests.helpers.server import ServerProcess


def flask(
    server: ServerProcess, *arguments: str, typed: str = "", **variables: str
) -> tuple[int, str, str]:
    """Run a command on the server's database; gives exit code, output and errors."""
    settings = {"EVENTBUS_DATABASE_URL": f"sqlite:///{server.database}", "PORT": "9"}
    app = create_app(Settings.from_environment(settings))
    done = app.test_cli_runner().invoke(args=arguments, input=typed, env=dict(variables))
    return done.exit_code, done.stdout, done.stderr


def test_a_first_user_is_added_before_the_first_start(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    code, said, wrong = flask(
        server, "users", "add", "ada", "--role", "admin", "--password-stdin", typed=PASSWORD
    )
    assert (code, said) == (0, "ada can sign in, as admin\n"), wrong
    with server:
        assert server.api.get("/api/stats").status == 401
        ada = signed_in(server)
        told = ada.get("/api/events?type=access.user.added").json["events"][0]
        assert told["data"]["from"] == "command line"


def test_users_and_tokens_change_while_the_server_runs(server: ServerProcess) -> None:
    code, _, wrong = flask(
        server, "users", "add", "ada", "--role", "admin", "--password-stdin", typed=PASSWORD
    )
    assert code == 0, wrong
    assert server.api.get("/api/stats").status == 401  # at once
    code, said, _ = flask(server, "tokens", "create", "ci", "--scope", "read", "--json")
    made = json.loads(said)
    program = Visitor(server, made["token"])
    assert program.get("/api/stats").status == 200
    assert flask(server, "tokens", "revoke", "ci", "--yes")[0] == 0
    assert program.get("/api/stats").status == 401
    code, said, _ = flask(server, "users", "list", "--json")
    assert [user["name"] for user in json.loads(said)["users"]] == ["ada"]
    code, _, wrong = flask(server, "users", "remove", "ada", "--yes")
    assert code == 1 and "--open" in wrong
    assert flask(server, "users", "remove", "ada", "--yes", "--open")[0] == 0
    assert server.new_api().get("/api/stats").status == 200  # nobody has to sign in any more


def test_the_other_commands_get_in_on_the_machine_of_the_server(server: ServerProcess) -> None:
    add_first(server)
    code, _, wrong = flask(server, "redrive", "--all", "--yes")
    assert code == NOT_FOUND, wrong  # it was let in
    code, _, wrong = flask(server, "rebuild", "--check")
    assert code == 0, wrong
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    code, _, wrong = flask(server, "redrive", "--all", "--yes", "--url", elsewhere)
    assert code == 5 and "EVENTBUS_TOKEN" in wrong
    token = make_token(signed_in(server), "ops", "admin")
    code, _, wrong = flask(
        server, "redrive", "--all", "--yes", "--url", elsewhere, EVENTBUS_TOKEN=token
    )
    assert code == NOT_FOUND, wrong


def test_only_the_owner_reads_the_way_in_and_it_ends_with_the_server(tmp_path: Path) -> None:
    door = tmp_path / "events.db-door"
    with ServerProcess(tmp_path) as server:
        mode = stat.S_IMODE(door.stat().st_mode)
        assert mode == 0o600
        first = json.loads(door.read_text())["secret"]
        server.kill9()
        server.start()
        secret = json.loads(door.read_text())["secret"]
        assert secret != first
        add_first(server)
        assert Visitor(server, secret).get("/api/stats").status == 200
        assert Visitor(server, first).get("/api/stats").status == 401
    assert not door.exists()


def test_a_wrong_password_is_told_before_anything_else(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    code, _, wrong = flask(server, "users", "add", "ada", "--password-stdin", typed="short\n")
    assert code == 1 and "10 to 256 characters" in wrong
    assert not server.database.exists()


def test_a_database_that_another_process_holds_is_told(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    with server:
        (tmp_path / "events.db-door").unlink()
        code, _, wrong = flask(server, "users", "list")
    assert code == 1 and "open for writing in another process" in wrong
    assert "Traceback" not in wrong
