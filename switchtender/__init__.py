"""The command line: parses, calls, prints. Everything else is in `flows` and `pipeline`."""
