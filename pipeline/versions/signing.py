"""Signing a folder and checking the signature, by `model-signing`: a local EC key, or a Sigstore identity.

The signature lies beside the folder and covers every file in it; a file that is added, removed, changed or
replaced by a link is named.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipeline.runtime.errors import InputError, VerificationFailed
from pipeline.runtime.params import Section
from pipeline.runtime.tables import sha256_file


class SigningParams(Section):
    """Who signs: `key` with an EC key pair (PEM files), or `sigstore` with an identity of an OIDC issuer."""

    method: Literal["key", "sigstore"]
    private_key: str = Field(min_length=1)
    public_key: str = Field(min_length=1)
    identity: str
    oidc_issuer: str


@dataclass(frozen=True)
class FileDifference:
    """One file that is not as it was recorded: `missing`, `extra` or `changed`; digests are sha256, or empty."""

    path: str
    state: str
    expected: str = ""
    actual: str = ""


def make_key(private: Path, public: Path) -> None:
    """Make an EC P-256 key pair where there is none; the private half is readable by its owner only.

    Raises:
        InputError: one half is there without the other.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if private.exists() != public.exists():
        there, absent = (private, public) if private.exists() else (public, private)
        raise InputError(f"{there} is there without {absent}; restore the other half, or move this one away")
    if private.exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    private.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


class Signer:
    """Signs and checks as params.yaml says; key paths are relative to `root`."""

    def __init__(self, params: SigningParams, root: Path) -> None:
        self.params = params
        self.private_key = root / params.private_key
        self.public_key = root / params.public_key

    def sign(self, folder: Path, signature: Path) -> None:
        """Sign every file of a folder.

        Raises:
            InputError: the key is not there or is no EC key, or Sigstore gave no identity.
        """
        from model_signing import signing

        config = signing.Config().set_hashing_config(_hashing())
        try:
            if self.params.method == "sigstore":
                config.use_sigstore_signer(oidc_issuer=self.params.oidc_issuer or None)
            else:
                config.use_elliptic_key_signer(private_key=self.private_key)
            config.sign(folder, signature)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"{folder.name} cannot be signed ({_line(error)}); check signing in params.yaml"
            ) from error

    def check(self, folder: Path, signature: Path) -> list[FileDifference]:
        """Differences between a folder and what was signed; none where the signature holds for every file.

        Raises:
            VerificationFailed: the signature itself is missing, unreadable or not by this key or identity.
        """
        from model_signing import verifying

        found = _differences(folder, signed_files(signature))
        if found:
            return found
        config = verifying.Config().set_hashing_config(_hashing())
        try:
            if self.params.method == "sigstore":
                config.use_sigstore_verifier(identity=self.params.identity, oidc_issuer=self.params.oidc_issuer)
            else:
                config.use_elliptic_key_verifier(public_key=self.public_key)
            config.verify(folder, signature)
        except Exception as error:  # the library and those below it raise many kinds; each means "not proved"
            raise VerificationFailed(
                f"{signature} does not verify ({_line(error)}); do not use that version"
            ) from error
        return []


def _hashing() -> Any:
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False)


def signed_files(signature: Path) -> dict[str, str]:
    """The files that a signature claims to cover: sha256 by path.

    Raises:
        VerificationFailed: it is missing or cannot be read.
    """
    try:
        bundle = json.loads(signature.read_text(encoding="utf-8"))
        payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        return {item["name"]: item["digest"] for item in payload["predicate"]["resources"]}
    except FileNotFoundError as error:
        raise VerificationFailed(f"{signature} is missing; do not use that version") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VerificationFailed(f"{signature} cannot be read ({_line(error)}); do not use that version") from error


def _differences(folder: Path, expected: dict[str, str]) -> list[FileDifference]:
    present = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if _is_entry(path)}
    found = [FileDifference(name, "missing", expected[name]) for name in sorted(expected.keys() - present.keys())]
    for name, path in present.items():
        if path.is_symlink():
            found.append(
                FileDifference(name, "changed" if name in expected else "extra", expected.get(name, ""), "a link")
            )
        elif name not in expected:
            found.append(FileDifference(name, "extra", "", sha256_file(path)))
        elif (digest := sha256_file(path)) != expected[name]:
            found.append(FileDifference(name, "changed", expected[name], digest))
    return found


def _is_entry(path: Path) -> bool:
    return path.is_symlink() or not path.is_dir()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
