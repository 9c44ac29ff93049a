"""A real Prometheus and promtool, of Debian's package unpacked below var/, installed nowhere.

``python -m tests.helpers.prometheus`` fetches them where they are missing and that can be done.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
SCRAPE = ROOT / "deploy" / "prometheus" / "prometheus.yml"
_UNPACKED = ROOT / "var" / "prometheus" / "usr" / "bin"
_PACKAGE = "prometheus"
_TIMEOUT_S = 120.0


def program(name: str) -> str | None:
    """Where ``prometheus`` or ``promtool`` is, if it is."""
    found = shutil.which(name, path=str(_UNPACKED)) or shutil.which(name)
    return str(found) if found else None


def fetch() -> None:
    """Download the package and unpack it. Raises OSError, subprocess.SubprocessError."""
    target = _UNPACKED.parents[1]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fresh = Path(folder) / "fresh"
        download = ["apt-get", "download", "-q", _PACKAGE]
        quiet = {"capture_output": True, "timeout": _TIMEOUT_S}
        if subprocess.run(download, cwd=folder, **quiet).returncode:
            subprocess.run(["apt-get", "update", "-qq"], **quiet)
            subprocess.run(download, cwd=folder, check=True, **quiet)
        (package,) = Path(folder).glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", str(package), str(fresh)], check=True, **quiet)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)


def main() -> int:
    """Fetch what is missing; returns 1 when that cannot be done."""
    if program("prometheus") and program("promtool"):
        return 0
    try:
        fetch()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"prometheus: cannot be had: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
