"""A process with everything imported that forks the harness's children: a start takes 10 ms.

Reads one JSON list a line, ["library" | "client" | "compare", place, member, seed, name], and
writes the child's pid. It has one thread, so that a fork is safe, and ends with its standard input.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.crash.place import Place

ROOT = Path(__file__).resolve().parents[2]


class Zygote:
    """The harness's end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def fork(self, kind: str, place: Place, seed: int, name: str = "") -> int:
        """Start a child; gives its pid."""
        assert self._process.stdin is not None and self._process.stdout is not None
        line = json.dumps([kind, str(place.directory), place.member, seed, name])
        print(line, file=self._process.stdin)
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it; its children are the harness's to end."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _serve() -> None:
    from tests.crash.client import HttpClient
    from tests.crash.host import run_library
    from tests.crash.replayed import write_differences

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody has to reap them
    for line in sys.stdin:
        kind, directory, member, seed, name = json.loads(line)
        place = Place(Path(directory), member)
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            continue
        os.setpgid(0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        output = os.open(place.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            if kind == "client":
                HttpClient(place, name, seed).run()
            elif kind == "compare":
                write_differences(place)
            else:
                run_library(place, seed)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(0)


if __name__ == "__main__":
    _serve()
