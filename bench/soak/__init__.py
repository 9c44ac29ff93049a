"""A soak: the real server under a steady load for long, every socket's stream checked whole."""
