"""The catalogue of this server, put together from the code, a folder and the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventbus.catalogue import Catalogue, ModeRules, read_folder
from eventbus.catalogue.own import TYPES as OWN_TYPES
from handlers.types import TYPES as HANDLER_TYPES

if TYPE_CHECKING:
    from app.config import Settings


def open_catalogue(settings: Settings) -> Catalogue:
    """Raises DeclarationError for a folder that cannot be used."""
    from app.catalogue.types import TYPES as APP_TYPES  # beside what publishes them

    files = read_folder(settings.schemas) if settings.schemas else []
    return Catalogue(
        [*OWN_TYPES, *HANDLER_TYPES, *APP_TYPES, *files],
        rules=ModeRules(settings.schema_modes),
        unknown=settings.unknown_types,
    )
