"""`switchtender` and `python -m switchtender`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from pipeline.runtime.errors import InputError, SwitchtenderError, refused_by_the_system
from pipeline.runtime.text import valid_text
from switchtender.app import app
from switchtender.show import say_aside

INTERRUPTED = 130
_INTERRUPTED = "switchtender: interrupted; what was finished is kept, run the same command to go on"


def main() -> None:
    """Run a verb; a user's error is one line on stderr and its documented exit code."""
    # Before torch is imported: threads that spin while they wait starve each other on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        _require_text(sys.argv[1:])
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer takes Ctrl-C for itself, and says nothing
            say_aside(_INTERRUPTED)
        raise
    except SwitchtenderError as error:
        say_aside(f"switchtender: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say_aside(_INTERRUPTED)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(INTERRUPTED)
    except OSError as error:
        told = refused_by_the_system(error)
        say_aside(f"switchtender: {told}")
        sys.exit(told.exit_code)


def _require_text(arguments: Sequence[str]) -> None:
    """Bytes that are not UTF-8 would break whatever they are written into: a log, a table, a version's tags."""
    for number, argument in enumerate(arguments, start=1):
        try:
            valid_text(argument)
        except ValueError as error:
            raise InputError(f"argument {number}, {argument!a}, is not UTF-8; write it as UTF-8") from error


if __name__ == "__main__":
    main()
