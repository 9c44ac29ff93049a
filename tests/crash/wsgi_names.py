"""The environment variables by which the server learns what it is tried with."""

PLACE_VARIABLE = "CRASH_PLACE"
SEED_VARIABLE = "CRASH_SEED"
