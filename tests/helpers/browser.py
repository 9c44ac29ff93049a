"""Finds a Chromium for the browser tests; run as a module it also installs one and prints its path.

    python -m tests.helpers.browser

In this order: the path in EVENTBUS_TEST_BROWSER, an installed browser, Playwright's own (which is
downloaded), the system's package by way of apt-get.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence

VARIABLE = "EVENTBUS_TEST_BROWSER"
# The one without windows first: it takes half of the processor.
NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
_MACOS = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
_VERSION_TIMEOUT_S = 30
_INSTALL_TIMEOUT_S = 900


def find_browser() -> str | None:
    """The path of a Chromium that starts; None when this machine has none yet."""
    return next((path for path in _candidates() if _starts(path)), None)


def install_browser() -> str | None:
    """Get a Chromium for this machine and give its path; None when all ways failed."""
    playwright = [sys.executable, "-m", "playwright"]
    _run([*playwright, "install", "chromium"])
    if found := find_browser():
        return found
    root = _as_root()
    if root is None or shutil.which("apt-get") is None:
        _say("neither root nor sudo without a password, or no apt-get: cannot install a package")
        return None
    _run([*root, "apt-get", "update"])
    own = _playwright_path()
    if own is not None:  # downloaded, but libraries of the system are missing
        _run([*root, *playwright, "install-deps", "chromium"])
        if found := find_browser():
            return found
    _run([*root, "apt-get", "install", "--yes", "--no-install-recommends", "chromium"])
    return find_browser()


def main() -> int:
    found = find_browser()
    if found is None:
        _say("no Chromium found; installing one")
        found = install_browser()
    if found is None:
        _say(
            f"no Chromium could be installed. Install one (for example apt-get install chromium) "
            f"or set {VARIABLE} to the path of one, then run the same command again."
        )
        return 1
    print(found)
    return 0


def _candidates() -> Iterator[str]:
    if path := os.environ.get(VARIABLE):
        yield path
        return
    for name in NAMES:
        if path := shutil.which(name):
            yield path
    yield _MACOS
    if path := _playwright_path():
        yield path


def _playwright_path() -> str | None:
    """Where Playwright keeps its own Chromium, should it have been downloaded."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if os.path.exists(path) else None  # noqa: PTH110 (a plain text path)


def _starts(path: str) -> bool:
    """Whether it really is one: some systems have a script there that only names a package."""
    try:
        answer = subprocess.run(
            [path, "--version"], capture_output=True, timeout=_VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and b"Chrom" in answer.stdout


def _as_root() -> list[str] | None:
    """What to put before a command that needs root."""
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "--non-interactive"]
    if shutil.which("sudo") and _run([*sudo, "true"]):
        return sudo
    return None


def _run(command: Sequence[str]) -> bool:
    """Run it; what it prints goes to standard error, since standard output is for the path."""
    _say("$ " + " ".join(command))
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            env=environment,
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _say(str(error))
        return False
    return done.returncode == 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
