"""The event catalogue of the app: what is declared, what was seen, and both side by side."""

from app.catalogue.opening import open_catalogue

__all__ = ["open_catalogue"]
