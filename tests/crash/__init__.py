"""The crash harness: random load, kills at any instruction, and a checker that trusts nobody."""
