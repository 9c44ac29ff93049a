"""The tables of users, tokens and sessions; the one part of the app that has SQL of its own."""
