"""What a preview says of the rows that would change."""

from __future__ import annotations

import handlers  # noqa: F401  brings the tables
from app.pages import foresight
from handlers.tables import metadata


def test_every_table_of_the_handlers_has_a_name_for_readers_or_is_left_out_on_purpose() -> None:
    told = foresight._TABLES.keys() | foresight._UNTOLD_TABLES
    assert told == {table.name for table in metadata.sorted_tables}
