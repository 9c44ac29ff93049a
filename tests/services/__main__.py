"""Starts and stops the servers below var/services/: ``make services``, ``make services-stop``.

They are containers where Docker runs, else processes.
"""

from __future__ import annotations

import argparse
import sys

from tests.services import ROOT, SERVICES, Service, ServiceError
from tests.services.container import docker_runs


def main() -> int:
    """Returns 1 when a service that was asked for cannot be had; the others are started."""
    parser = argparse.ArgumentParser(prog="python -m tests.services", description=__doc__)
    parser.add_argument("command", choices=("start", "stop", "status"))
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(SERVICES)}; all by default")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--native", action="store_true", help="processes, also where Docker runs")
    way.add_argument("--docker", action="store_true", help="containers or nothing")
    asked = parser.parse_args()
    if unknown := set(asked.names) - SERVICES.keys():
        parser.error(f"there is no service {', '.join(sorted(unknown))}")
    in_containers = asked.command == "start" and not asked.native and docker_runs()
    if asked.docker and asked.command == "start" and not in_containers:
        parser.error("Docker Compose is not here, or Docker does not answer (`docker info`)")
    status = 0
    for name in asked.names or SERVICES:
        service = SERVICES[name](ROOT / name)
        try:
            if asked.command == "start":
                _start(service, in_containers)
            elif asked.command == "stop":
                _stop(service)
            print(f"{name}: {service.url}" if service.is_running else f"{name}: not running")
        except ServiceError as error:
            print(f"{name}: cannot be started: {error}", file=sys.stderr)
            status = 1
    return status


def _start(service: Service, in_container: bool) -> None:
    if service.is_running:
        return
    if in_container:
        service.container.start(service.port)
        return
    service.container.forget()
    service.install()
    service.start()


def _stop(service: Service) -> None:
    if service.container.is_used:
        service.container.stop()
    else:
        service.stop()


if __name__ == "__main__":
    sys.exit(main())
