"""Signing a folder and checking the signature, by `model-signing`: a local EC key, or a Sigstore identity.

The signature lies beside the folder and covers every file in it; a file that is added, removed, changed or
replaced by a link is named.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.runtime.errors import InputError, VerificationFailed
from pipeline.runtime.params import Section
from pipeline.runtime.regular_files import irregular
from pipeline.runtime.tables import sha256_file
from pipeline.runtime.text import parse_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey


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

    @property
    def signs_unattended(self) -> bool:
        """Whether this process holds a key; with Sigstore, somebody has to say who they are."""
        return self.params.method == "key" and os.access(self.private_key, os.R_OK)

    def fingerprint(self) -> str:
        """The sha256 of the public key (DER, SubjectPublicKeyInfo); empty with Sigstore.

        Raises:
            VerificationFailed: the public key is not there, or is none.
        """
        if self.params.method == "sigstore":
            return ""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        der = self._public().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(der).hexdigest()

    def sign_text(self, text: str) -> str:
        """A signature over a text, in base64: ECDSA with SHA-256 by the key, or the bundle of a Sigstore identity.

        Raises:
            InputError: see `sign`.
        """
        if self.params.method == "sigstore":
            with tempfile.TemporaryDirectory() as place:
                folder, signature = _as_folder(Path(place), text), Path(place) / "signature"
                self.sign(folder, signature)
                return base64.b64encode(signature.read_bytes()).decode("ascii")
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(self.private_key.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"nothing can be signed ({_line(error)}); check signing in params.yaml") from error
        if not isinstance(key, EllipticCurvePrivateKey):
            raise InputError(f"{self.private_key} is no EC key; check signing in params.yaml")
        return base64.b64encode(key.sign(text.encode("utf-8"), ECDSA(SHA256()))).decode("ascii")

    def check_text(self, text: str, signature: str) -> None:
        """Hold a signature against a text.

        Raises:
            VerificationFailed: it is not by this key or identity, or the public key is not there.
        """
        if self.params.method == "sigstore":
            with tempfile.TemporaryDirectory() as place:
                folder, bundle = _as_folder(Path(place), text), Path(place) / "signature"
                bundle.write_bytes(base64.b64decode(signature))
                if self.check(folder, bundle):
                    raise VerificationFailed("the signature is of another text")
            return
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            self._public().verify(base64.b64decode(signature), text.encode("utf-8"), ECDSA(SHA256()))
        except (InvalidSignature, ValueError) as error:
            raise VerificationFailed(f"the signature is not by the key {self.public_key.name}") from error

    def _public(self) -> EllipticCurvePublicKey:
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            key = load_pem_public_key(self.public_key.read_bytes())
        except (OSError, ValueError) as error:
            raise VerificationFailed(f"{self.public_key} cannot be read ({_line(error)}); restore it") from error
        if not isinstance(key, EllipticCurvePublicKey):
            raise VerificationFailed(f"{self.public_key} is no EC key; restore it")
        return key

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


def _as_folder(place: Path, text: str) -> Path:
    """A text as what `model-signing` signs: the one file of a folder."""
    folder = place / "head"
    folder.mkdir()
    (folder / "text").write_text(text, encoding="utf-8")
    return folder


def _hashing() -> Any:
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False)


def signed_files(signature: Path) -> dict[str, str]:
    """The files that a signature claims to cover: sha256 by path.

    Raises:
        VerificationFailed: it is missing or cannot be read.
    """
    try:
        bundle = parse_json(signature.read_text(encoding="utf-8"))
        payload = parse_json(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        return {item["name"]: item["digest"] for item in payload["predicate"]["resources"]}
    except FileNotFoundError as error:
        raise VerificationFailed(f"{signature} is missing; do not use that version") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VerificationFailed(f"{signature} cannot be read ({_line(error)}); do not use that version") from error


def _differences(folder: Path, expected: dict[str, str]) -> list[FileDifference]:
    present = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if _is_entry(path)}
    found = [FileDifference(name, "missing", expected[name]) for name in sorted(expected.keys() - present.keys())]
    for name, path in present.items():
        if kind := irregular(path):
            state = "changed" if name in expected else "extra"
            found.append(FileDifference(name, state, expected.get(name, ""), kind))
        elif name not in expected:
            found.append(FileDifference(name, "extra", "", sha256_file(path)))
        elif (digest := sha256_file(path)) != expected[name]:
            found.append(FileDifference(name, "changed", expected[name], digest))
    return found


def _is_entry(path: Path) -> bool:
    return path.is_symlink() or not path.is_dir()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
