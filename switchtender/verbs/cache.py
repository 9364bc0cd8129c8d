"""`cache`: the vectors of prompts that were read before."""

from __future__ import annotations

import shutil
import sqlite3
from typing import Annotated

import typer

from pipeline.runtime.errors import SwitchtenderError
from switchtender.options import Json
from switchtender.show import print_json, say

app = typer.Typer()


@app.command(epilog="Example: switchtender cache --clear")
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Erase all that is in it.")] = False,
    as_json: Json = False,
) -> None:
    """What `fit`, `predict`, `crossval`, `recommend` and `evaluate --train` keep of prompts that they read: vectors, and no text."""
    from pipeline.encoders.converted import ENCODERS
    from pipeline.encoders.vector_cache import OFF, PLACE, VectorCache, cache_folder, most_bytes

    folder, most = cache_folder(), most_bytes()
    if folder is None:
        if as_json:
            print_json({"folder": None, "prompts": 0, "bytes": 0, "most_bytes": most})
        else:
            say(f"there is none: {PLACE}={OFF}")
        return
    store = VectorCache(folder, most)
    try:
        if clear:
            store.path.unlink(missing_ok=True)
            shutil.rmtree(store.engines, ignore_errors=True)
            shutil.rmtree(folder / ENCODERS, ignore_errors=True)
        readings, size = store.size()
    except (OSError, sqlite3.Error) as error:
        raise SwitchtenderError(f"{store.path} cannot be used ({error}); remove it") from error
    if as_json:
        print_json({"folder": str(folder), "prompts": readings, "bytes": size, "most_bytes": most})
    else:
        say("erased" if clear else f"{folder}: {readings} prompts, {size / 1e6:.1f} of at most {most / 1e6:.0f} MB")
