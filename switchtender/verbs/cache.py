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
    """What `fit`, `predict`, `crossval`, `recommend` and `evaluate --train` keep of prompts: vectors, no text."""
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
    others = store.engines, folder / ENCODERS
    try:
        if clear:
            store.path.unlink(missing_ok=True)
            for other in others:
                if other.exists():
                    shutil.rmtree(other)
        readings, size = store.size()
        models = sum(path.stat().st_size for other in others for path in other.rglob("*") if path.is_file())
    except (OSError, sqlite3.Error) as error:
        raise SwitchtenderError(f"{folder} cannot be used ({error}); remove it") from error
    if as_json:
        facts = {"folder": str(folder), "prompts": readings, "bytes": size, "most_bytes": most, "model_bytes": models}
        print_json(facts)
    elif clear:
        say("erased")
    else:
        vectors = f"{readings} prompts, {size / 1e6:.1f} of at most {most / 1e6:.0f} MB"
        say(f"{folder}: {vectors}; models, {models / 1e6:.1f} MB")
