"""One file a verb: how it is called, what it calls, and how it prints what came of it.

A verb's module has an `app` with its command, which `switchtender.app` registers. Heavy libraries, `flows` and the
rooms of `pipeline` are imported inside the functions that need them, so that `--help` answers at once.
"""
