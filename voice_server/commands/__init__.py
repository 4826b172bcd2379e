"""The command line, one file for each command.

Each has `HELP`, `arguments(parser)` and `run(options) -> int`. What a command needs is
imported when it runs, so that `voice-server --help` answers at once.
"""
