"""Tests of the message brokers: in process, and on the real servers."""
