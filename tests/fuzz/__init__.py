"""Random requests and frames against a real server; `python -m tests.fuzz` for a long run."""
