"""Tests of several processes that share one log in PostgreSQL."""
