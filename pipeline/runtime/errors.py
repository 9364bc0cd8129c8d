"""The exceptions that a user of Switchtender can meet, and the exit code of each.

    SwitchtenderError             1  the work failed
    ├── InputError                2  an argument, setting, file or table cannot be used
    │   ├── ParamsError           2  params.yaml: unknown, missing or wrong key
    │   └── TableError            2  a table is missing, unreadable or of the wrong shape
    ├── GateNotPassed             3  the challenger was not registered
    ├── VerificationFailed        4  bytes, a signature or a format differ from what was recorded
    └── HeldByAnotherRun          5  another run holds the lock

Each message says what went wrong, where, and what to do next, in one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

NIGHT_COMMAND = "make nightly"
"""What makes a version, where params.yaml has a night train the track (else see `Project.night_command`)."""
_MOST_NAMES = 8


def listed(names: Iterable[object], most: int = _MOST_NAMES) -> str:
    """Names as one line of a message bears them: the first `most`, and how many more; `none` where there are none."""
    every = [str(name) for name in names]
    more = f", ... and {len(every) - most} more" if len(every) > most else ""
    return (", ".join(every[:most]) or "none") + more


def one_line(error: object, most: int = 160) -> str:
    """A text, or what an error says, with its white space folded, cut to so many characters."""
    return " ".join(str(error).split())[:most]


def as_piece(message: str) -> str:
    """What pydantic says of a value, fit to stand within a line: only its first letter is made small."""
    words = message.removeprefix("Value error, ")
    return words[:1].lower() + words[1:]


def suggestion(word: str, known: Iterable[str], otherwise: str, cutoff: float = 0.6) -> str:
    """`did you mean 'NAME'?` with the known name most like an unknown word, else `otherwise`.

    `cutoff` in 0..1 is how like it has to be (difflib's ratio).
    """
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"did you mean '{near[0]}'?" if near else otherwise


class SwitchtenderError(Exception):
    """The work could not be done.

    `message` is what every door may say; a way on that only the command line has ends the error's text there.
    """

    exit_code = 1

    def __init__(self, message: str = "", on_the_command_line: str = "") -> None:
        super().__init__("; ".join(filter(None, (message, on_the_command_line))))
        self.message = message


class InputError(SwitchtenderError):
    """Something that the user supplied cannot be used."""

    exit_code = 2


class ParamsError(InputError):
    """A setting in params.yaml is unknown, missing or of the wrong type."""


class TableError(InputError):
    """A table is missing, unreadable, or lacks what it needs."""


class GateNotPassed(SwitchtenderError):
    """At least one gate failed or could not decide, so nothing was registered."""

    exit_code = 3


class VerificationFailed(SwitchtenderError):
    """Bytes are not what was recorded."""

    exit_code = 4


class HeldByAnotherRun(SwitchtenderError):
    """Another run holds the lock."""

    exit_code = 5


def refused_by_the_system(error: OSError) -> SwitchtenderError:
    """What no code of ours foresaw and the operating system refused: a full or read-only disk, too many open files."""
    where = f"{error.filename}: " if error.filename else ""
    return SwitchtenderError(
        f"{where}{error.strerror or one_line(error)}; mend that, then run this again: what was finished is kept"
    )


def nothing_registered(why: str = "", night: str = NIGHT_COMMAND) -> InputError:
    """What is said wherever a version is asked for and none was ever registered; `why` where that is known, and `night`
    is the command that makes one."""
    return InputError(
        f"nothing is registered yet{f' ({why})' if why else ''}; run '{night}': it registers a version once every "
        "gate has passed, and puts the first one into service"
    )


def none_in_service(night: str = NIGHT_COMMAND) -> InputError:
    """What is said wherever the version in service is asked for and none is; `night` is the command that makes one."""
    return InputError(
        f"no version is in service yet; run '{night}', whose first version goes into service by itself, or put a "
        "registered one there with 'switchtender promote'"
    )
