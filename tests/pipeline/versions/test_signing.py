"""A signature covers every file of a folder, by the key that is trusted and no other."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pipeline.runtime.errors import InputError, VerificationFailed
from pipeline.runtime.tables import sha256_text
from pipeline.versions.signing import FileDifference, Signer, SigningParams, make_key, signed_files

PARAMS = SigningParams(method="key", private_key="k/a.pem", public_key="k/a.pub", identity="", oidc_issuer="")


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    make_key(tmp_path / "k" / "a.pem", tmp_path / "k" / "a.pub")
    return Signer(PARAMS, tmp_path)


@pytest.fixture
def folder(tmp_path: Path, signer: Signer) -> Path:
    made = tmp_path / "router"
    (made / "model").mkdir(parents=True)
    for name in ("model/one.bin", "two.json", ".hidden"):
        (made / name).write_text(name)
    signer.sign(made, tmp_path / "router.sig")
    return made


def differences(signer: Signer, folder: Path) -> list[tuple[str, str]]:
    return [(found.path, found.state) for found in signer.check(folder, folder.parent / "router.sig")]


def test_what_was_signed_is_sound(signer: Signer, folder: Path) -> None:
    assert differences(signer, folder) == []
    assert signed_files(folder.parent / "router.sig")["model/one.bin"] == sha256_text("model/one.bin")


def test_each_kind_of_difference_is_named_with_both_digests(signer: Signer, folder: Path) -> None:
    (folder / "two.json").write_text("other")
    (folder / "model" / "one.bin").unlink()
    (folder / "more").write_text("more")
    (folder / "link").symlink_to("/etc/hostname")
    found = signer.check(folder, folder.parent / "router.sig")
    assert FileDifference("two.json", "changed", sha256_text("two.json"), sha256_text("other")) in found
    assert FileDifference("model/one.bin", "missing", sha256_text("model/one.bin")) in found
    assert FileDifference("more", "extra", "", sha256_text("more")) in found
    assert FileDifference("link", "extra", "", "a link") in found
    assert len(found) == 4


def test_a_file_that_became_a_link_to_the_same_bytes_is_changed(signer: Signer, folder: Path) -> None:
    (folder / "two.json").rename(folder.parent / "elsewhere")
    (folder / "two.json").symlink_to(folder.parent / "elsewhere")
    assert differences(signer, folder) == [("two.json", "changed")]


def test_another_key_is_not_trusted(signer: Signer, folder: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "b.pem", tmp_path / "b.pub")
    other = Signer(PARAMS.model_copy(update={"private_key": "b.pem", "public_key": "b.pub"}), tmp_path)
    other.sign(folder, folder.parent / "router.sig")
    assert differences(other, folder) == []
    with pytest.raises(VerificationFailed, match="does not verify"):
        differences(signer, folder)


def test_a_missing_or_broken_signature_is_an_error(signer: Signer, folder: Path) -> None:
    place = folder.parent / "router.sig"
    place.write_text("{}")
    with pytest.raises(VerificationFailed, match="cannot be read"):
        differences(signer, folder)
    place.unlink()
    with pytest.raises(VerificationFailed, match="is missing"):
        differences(signer, folder)


def test_keys_are_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    private, public = tmp_path / "a.pem", tmp_path / "a.pub"
    make_key(private, public)
    before = private.read_bytes()
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    make_key(private, public)
    assert private.read_bytes() == before
    public.unlink()
    with pytest.raises(InputError, match="restore the other half"):
        make_key(private, public)


def test_signing_without_a_key_says_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "router").mkdir()
    with pytest.raises(InputError, match=r"signing in params\.yaml"):
        Signer(PARAMS, tmp_path).sign(tmp_path / "router", tmp_path / "router.sig")
