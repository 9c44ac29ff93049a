"""Who may do what: users, tokens, sessions, roles, and the one place where they are checked."""

from __future__ import annotations

from flask import Flask


def register(app: Flask) -> None:
    """Check every request of ``app``, and add login, account and administration."""
    # Here, since the configuration imports values of this package and all of these need it.
    from app.access import account, api, guard, login, people
    from app.access.oidc import routes as oidc

    guard.register(app)
    for part in (login, oidc, account, people):
        app.register_blueprint(part.blueprint)
    app.register_blueprint(api.blueprint, url_prefix="/api/access")
