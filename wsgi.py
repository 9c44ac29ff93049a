"""The app for any WSGI server and for the `flask` command."""

from __future__ import annotations

import logging
import sys

from app import create_app, logs
from app.config import SettingsError

try:
    app = create_app()
except SettingsError as error:
    sys.exit(logs.said(str(error), logging.ERROR, error.log_format))
