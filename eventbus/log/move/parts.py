"""What a log's database consists of: the components that have tables, and which are copied."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Table, inspect, select

from eventbus.errors import MoveError
from eventbus.log.database import Database
from eventbus.log.migrations import Migration, migrate
from eventbus.log.move.bookmarks import BOOKMARKS
from eventbus.log.schema import schema_versions

LEFT_OUT: Mapping[str, str] = {
    "schema_versions": "both databases are brought to the same versions first",
    "log_head": "it is set to the newest event of what was copied",
    "in_flight": "it tells what runs now, and in which process",
    BOOKMARKS: "it tells how far a copy has come",
}
"""Tables that are not copied, each with the reason."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The migrations of each component that keeps tables in a log, and the tables as declared.

    ``left_out`` are further tables that a person has no need of in the target.
    """

    components: Mapping[str, Sequence[Migration]]
    declared: Sequence[Table]
    left_out: Collection[str] = ()

    def migrate(self, database: Database) -> None:
        """Bring a database to the versions of this software. Raises SchemaError."""
        for component, migrations in self.components.items():
            migrate(database.writer, component, migrations)

    def check_versions(self, conn: Connection, name: str) -> None:
        """Raise MoveError when a database is not of these components and their versions."""
        known = {component: len(steps) for component, steps in self.components.items()}
        rows = conn.execute(select(schema_versions.c.component, schema_versions.c.version))
        found = {row.component: row.version for row in rows}
        for component, version in sorted(found.items()):
            if known.get(component) != version:
                raise MoveError(
                    f"{name} has version {version} of the schema of {component!r}, this software "
                    f"knows {known.get(component, 'nothing of that')}"
                )
        if missing := sorted(known.keys() - found.keys()):
            raise MoveError(f"{name} has no tables of {', '.join(missing)}")

    def tables(self, conn: Connection, name: str) -> list[Table]:
        """The tables that are copied from the database of ``conn``, in the order of their names.

        Raises MoveError when it has a table or a column that nobody has declared.
        """
        inspector = inspect(conn)
        there = set(inspector.get_table_names())
        declared = {table.name: table for table in self.declared}
        if unknown := sorted(there - declared.keys() - LEFT_OUT.keys() - set(self.left_out)):
            raise MoveError(
                f"{name} has tables of which this software knows nothing: {', '.join(unknown)}; "
                "name each with --leave-out if nobody needs it"
            )
        skipped = LEFT_OUT.keys() | set(self.left_out)
        copied = [declared[each] for each in sorted(there - skipped) if each in declared]
        for table in copied:
            columns = {column["name"] for column in inspector.get_columns(table.name)}
            if columns != set(table.c.keys()):
                odd = sorted(columns.symmetric_difference(table.c.keys()))
                raise MoveError(f"{table.name} of {name} has other columns: {', '.join(odd)}")
        return copied
