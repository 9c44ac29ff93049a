"""Ends with 0 when the server in this container is alive; for HEALTHCHECK, without curl."""

from __future__ import annotations

import http.client
import os
import sys

TIMEOUT_S = 4.0


def is_alive(port: int) -> bool:
    """Whether /healthz answers 200 on the loopback address."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz", headers={"Host": "localhost"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_alive(int(os.environ.get("PORT") or 8000)) else 1)
