"""Copying a whole log from one database to another: SQLite to PostgreSQL, and back."""
