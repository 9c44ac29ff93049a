"""The tests: unit, integration with a real server, browser, and crash."""
