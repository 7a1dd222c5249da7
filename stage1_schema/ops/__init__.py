"""One module per operator task. The command line only parses, calls one of these, and prints."""
