"""`switchtender` and `python -m switchtender`."""

from __future__ import annotations

import os
import sys

from pipeline.runtime.errors import SwitchtenderError
from switchtender.app import app

INTERRUPTED = 130


def main() -> None:
    """Run a verb; a user's error is one line on stderr and its documented exit code."""
    try:
        app()
    except SwitchtenderError as error:
        print(f"switchtender: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("switchtender: interrupted; what was finished is kept, run the same command to go on", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
