"""Starts and stops the servers below var/services/: ``make services``, ``make services-stop``."""

from __future__ import annotations

import argparse
import sys

from tests.services import ROOT, SERVICES, ServiceError


def main() -> int:
    """Returns 1 when a service that was asked for cannot be had; the others are started."""
    parser = argparse.ArgumentParser(prog="python -m tests.services", description=__doc__)
    parser.add_argument("command", choices=("start", "stop", "status"))
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(SERVICES)}; all by default")
    asked = parser.parse_args()
    if unknown := set(asked.names) - SERVICES.keys():
        parser.error(f"there is no service {', '.join(sorted(unknown))}")
    status = 0
    for name in asked.names or SERVICES:
        service = SERVICES[name](ROOT / name)
        try:
            if asked.command == "start":
                service.install()
                service.start()
            elif asked.command == "stop":
                service.stop()
            print(f"{name}: {service.url}" if service.is_running else f"{name}: not running")
        except ServiceError as error:
            print(f"{name}: cannot be started: {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
