"""The settings: read from the environment, refused when wrong, and documented."""

from __future__ import annotations

import sys
from dataclasses import fields

import pytest

from app.access.oidc.client import client_of
from app.config import VARIABLES, Settings, SettingsError
from app.database import database_path
from app.settings_table import documentation_table
from app.variables import PROJECT_ROOT

DOCUMENT = PROJECT_ROOT / "docs" / "configuration.md"


def refused(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environ)
    return str(caught.value)


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings()
    assert Settings().bind == "127.0.0.1:8000"
    assert Settings().database_url.endswith("/var/events.db")


def test_an_empty_value_counts_as_not_set() -> None:
    assert Settings.from_environment({"PORT": "", "EVENTBUS_LOG_LEVEL": "  "}) == Settings()


def test_values_are_read_from_their_variables() -> None:
    settings = Settings.from_environment(
        {"HOST": "::1", "PORT": "9001", "EVENTBUS_BACKOFF_FIRST_S": "0.25", "UNRELATED": "x"}
    )
    assert (settings.host, settings.port, settings.backoff_first_s) == ("::1", 9001, 0.25)
    assert settings.bind == "[::1]:9001"
    assert "[::1]" in settings.allowed_hosts


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_a_wrong_value_is_refused_with_variable_value_and_rule(variable) -> None:
    any_text = variable.name in ("EVENTBUS_SOURCE", "EVENTBUS_FILES")
    wrong = "no\x00pe;" if any_text or variable.field.startswith("oidc_") else "n/a;"
    message = refused(**{variable.name: wrong})
    shown = "***" if variable.is_hidden else wrong
    assert f"{variable.name}={shown!r}" in message
    assert variable.allowed.replace("`", "") in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "8e3"),
        ("PORT", "٨٠٠٠"),
        ("PORT", "9" * 5000),
        ("EVENTBUS_HANDLER_TIMEOUT_S", "nan"),
        ("EVENTBUS_HANDLER_TIMEOUT_S", "inf"),
        ("EVENTBUS_HANDLER_TIMEOUT_S", "0"),
        ("EVENTBUS_DATABASE_URL", "sqlite://"),
        ("EVENTBUS_DATABASE_URL", "sqlite:///:memory:"),
        ("EVENTBUS_DATABASE_URL", "mysql://somewhere/db"),
        ("EVENTBUS_DATABASE_URL", "postgresql://somewhere"),
        ("EVENTBUS_DATABASE_URL", "postgresql://somewhere:port/db"),
        ("EVENTBUS_DATABASE_URL", "postgresql://db/x?password=secret"),
        ("EVENTBUS_FILES", str(PROJECT_ROOT / "wsgi.py")),
        ("EVENTBUS_INSECURE_BIND", "true"),
        ("EVENTBUS_ALLOWED_HOSTS", "a b"),
    ],
)
def test_values_at_and_past_the_edges_are_refused(name: str, value: str) -> None:
    assert name in refused(**{name: value})


def test_a_relative_database_is_below_the_project_wherever_the_server_was_started() -> None:
    def url(given: str) -> str:
        return Settings.from_environment({"EVENTBUS_DATABASE_URL": given}).database_url

    assert url("sqlite:///x/y.db?z=1") == f"sqlite:///{PROJECT_ROOT}/x/y.db?z=1"
    assert url("sqlite:////srv/y.db") == "sqlite:////srv/y.db"


def test_all_wrong_variables_are_named_at_once() -> None:
    message = refused(PORT="x", EVENTBUS_MAX_ATTEMPTS="0", EVENTBUS_LIVE_TICK_MS="fast")
    assert all(name in message for name in ("PORT", "MAX_ATTEMPTS", "LIVE_TICK_MS"))


def test_a_database_may_be_on_a_server_by_either_of_its_two_schemes() -> None:
    for scheme in ("postgresql", "postgres"):
        url = f"{scheme}://me:secret@db:5433/x?sslmode=require"
        settings = Settings.from_environment({"EVENTBUS_DATABASE_URL": url, "EVENTBUS_FILES": "x"})
        assert settings.database_url == "postgresql://me:secret@db:5433/x?sslmode=require"
        assert "secret" not in repr(settings)
        assert database_path(settings).parent == PROJECT_ROOT / "x"
        assert "secret" not in database_path(settings).name


def test_a_driver_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    message = refused(EVENTBUS_DATABASE_URL="postgresql://me:secret@db/x")
    assert "EVENTBUS_DATABASE_URL cannot be used" in message
    assert "pip install 'psycopg[binary]', the extra 'eventbus[postgresql]'" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:secret@db/x",
        "postgresql://me:pass@secret@db/x",
        "postgresql://me:pass/secret@db",
        "postgresql://me@db/x?password=secret",
    ],
)
def test_a_password_in_a_refused_url_is_not_shown(url: str) -> None:
    message = refused(EVENTBUS_DATABASE_URL=url)
    assert "secret" not in message
    assert "me:***@db" in message or "me@db/x?password=***" in message


def test_a_secret_in_a_refused_channel_or_mail_server_is_not_shown() -> None:
    message = refused(
        EVENTBUS_NOTIFY="ops pager https://hooks.test/secret-token",
        EVENTBUS_SMTP_URL="smtp://me:hunter/22@mail.test/x",
    )
    assert "EVENTBUS_NOTIFY='ops pager https://***'" in message
    assert not any(part in message for part in ("token", "hunter", "22@"))
    mail = refused(EVENTBUS_NOTIFY="night email ana@example.org")
    assert "the e-mail channel night, and EVENTBUS_SMTP_URL names no server" in mail


def test_channels_and_their_server_are_read() -> None:
    settings = Settings.from_environment(
        {
            "EVENTBUS_NOTIFY": "ops slack https://hooks.test/token for critical on raised; "
            "night email ana@example.org",
            "EVENTBUS_SMTP_URL": "smtps://me:secret@mail.test",
            "EVENTBUS_NOTIFY_LIMIT": "5/1h",
        }
    )
    assert [channel.name for channel in settings.channels] == ["ops", "night"]
    assert settings.notify_limit.window_s == 3600
    assert "token" not in repr(settings) and "secret" not in repr(settings)


OIDC = {
    "EVENTBUS_OIDC_ISSUER": "https://id.example.org/realms/a",
    "EVENTBUS_OIDC_CLIENT_ID": "bus",
    "EVENTBUS_OIDC_CLIENT_SECRET": "hunter22",
    "EVENTBUS_OIDC_ROLES": "CN=ops,OU=groups=operator; https://x/y=admin",
}


def test_a_provider_is_read_with_what_its_groups_may_do() -> None:
    settings = Settings.from_environment(OIDC)
    client = client_of(settings)
    assert client is not None and client.scopes == ("openid", "profile", "email")
    assert client.role_of({"groups": ["CN=ops,OU=groups"]}) == "operator"
    assert client.role_of({"groups": ["https://x/y", "CN=ops,OU=groups"]}) == "admin"
    assert client.role_of({"groups": ["ops"]}) is client.role_of({"groups": 7}) is None
    assert "hunter22" not in repr(settings) + repr(client)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"EVENTBUS_OIDC_CLIENT_ID": ""}, "needs EVENTBUS_OIDC_CLIENT_ID"),
        ({"EVENTBUS_OIDC_ROLES": ""}, "lets nobody in"),
        ({"EVENTBUS_OIDC_ISSUER": ""}, "needs EVENTBUS_OIDC_ISSUER"),
        ({"EVENTBUS_OIDC_ISSUER": "http://id.example.org"}, "EVENTBUS_OIDC_ISSUER='http:"),
        ({"EVENTBUS_OIDC_ISSUER": "https://me:pw@id.example.org"}, "EVENTBUS_OIDC_ISSUER='https:"),
        ({"EVENTBUS_OIDC_ROLES": "ops=god"}, "EVENTBUS_OIDC_ROLES='ops=god'"),
        ({"EVENTBUS_OIDC_ROLES": "=admin"}, "EVENTBUS_OIDC_ROLES='=admin'"),
    ],
)
def test_a_provider_that_cannot_be_used_is_refused(changes: dict[str, str], said: str) -> None:
    assert said in refused(**{**OIDC, **changes})


def test_without_passwords_and_without_a_provider_nobody_could_sign_in() -> None:
    assert "nobody could sign in" in refused(EVENTBUS_PASSWORD_LOGIN="no")
    assert not Settings.from_environment({**OIDC, "EVENTBUS_PASSWORD_LOGIN": "no"}).password_login


def test_single_sign_on_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)
    assert "pip install 'eventbus[oidc]'" in refused(**OIDC)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "events.example.org"])
def test_a_server_for_other_machines_answers_to_any_name(host: str) -> None:
    settings = Settings.from_environment({"HOST": host})
    assert settings.allowed_hosts == () and not settings.is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "[::1]", "localhost"])
def test_loopback_addresses_need_no_permission(host: str) -> None:
    assert Settings.from_environment({"HOST": host}).is_loopback


def test_the_servers_own_address_is_always_an_allowed_host() -> None:
    assert "127.0.0.9" in Settings.from_environment({"HOST": "127.0.0.9"}).allowed_hosts


def test_values_that_contradict_each_other_are_refused() -> None:
    assert "EVENTBUS_BACKOFF_FIRST_S" in refused(EVENTBUS_BACKOFF_FIRST_S="400")
    assert "EVENTBUS_MAX_EVENT_BYTES" in refused(
        EVENTBUS_MAX_EVENT_BYTES="4096", EVENTBUS_MAX_BODY_BYTES="2048"
    )


def test_every_setting_has_its_variable() -> None:
    assert sorted(variable.field for variable in VARIABLES) == sorted(
        field.name for field in fields(Settings)
    )


def test_the_documentation_lists_what_the_code_reads() -> None:
    table = documentation_table()
    assert table in DOCUMENT.read_text(), f"docs/configuration.md must hold this table:\n{table}"
