"""The command `eventbus`: a bus from the shell. It needs a client's installation and no more."""
