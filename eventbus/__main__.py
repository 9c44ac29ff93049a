"""`python -m eventbus`, where the command `eventbus` is not on the path."""

from __future__ import annotations

import sys

from eventbus.command.main import main

if __name__ == "__main__":
    sys.exit(main())
