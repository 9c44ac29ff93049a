"""Storage: the files that evaluations made, the stored results, the handler that keeps both."""

from handlers.storage.files import File, Files, FileTotals
from handlers.storage.handler import StorageHandler

__all__ = ["File", "FileTotals", "Files", "StorageHandler"]
