"""Checking a signature outside a project: by the public key that the environment names, or the current project's."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.runtime.errors import InputError, VerificationFailed
from pipeline.runtime.params import PARAMS_FILE, read
from pipeline.versions.signing import Signer, SigningParams

PUBLIC_KEY = "SWITCHTENDER_PUBLIC_KEY"


def check_if_possible(folder: Path, signature: Path) -> str:
    """Prove a signed folder where there is something to prove it by.

    Returns:
        Nothing once it is proved; else why nobody looked.

    Raises:
        VerificationFailed: the folder is not what was signed.
    """
    if not signature.is_file():
        return f"there is no {signature.name} beside it"
    try:
        signer = _signer()
        found = signer.check(folder, signature) if signer else []
    except ModuleNotFoundError as error:
        return f"{error.name} is not installed"
    if signer is None:
        return f"no public key is at hand; name one in {PUBLIC_KEY}"
    if found:
        raise VerificationFailed(f"{folder / found[0].path} is {found[0].state}: this is not what was signed")
    return ""


def _signer() -> Signer | None:
    """By the key that is named; else by the params of the folder that this runs in, or of one above it."""
    if named := os.environ.get(PUBLIC_KEY, ""):
        key = Path(named).resolve()
        if not key.is_file():
            raise InputError(f"{PUBLIC_KEY} names {named}, which is not there")
        by_key = SigningParams(method="key", private_key=key.name, public_key=key.name, identity="", oidc_issuer="")
        return Signer(by_key, key.parent)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / PARAMS_FILE).is_file() and (folder / "dvc.yaml").is_file():
            signer = Signer(read("signing", SigningParams, folder / PARAMS_FILE), folder)
            return signer if signer.params.method == "sigstore" or signer.public_key.is_file() else None
    return None
