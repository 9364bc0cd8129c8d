"""A router's folder made by `fit`, served as it was when the service started. There is no registry to follow."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.routers.calibrated import DESCRIPTION
from pipeline.runtime.errors import InputError, VerificationFailed
from pipeline.runtime.tables import sha256_folder
from pipeline.serving.engine.hot_swap import VersionPointer

FOLDER = "folder"


class FolderSource:
    """Law: what is loaded is what lay there when this object was made."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError where the folder holds no router."""
        if not (folder / DESCRIPTION).is_file():
            raise InputError(f"{folder} holds no router ({DESCRIPTION} is missing); make one with fit")
        self.folder = folder
        self._digest = sha256_folder(folder)

    def current(self) -> VersionPointer:
        """Always the same; nothing signed says where such a folder comes from."""
        return VersionPointer(FOLDER, "", "")

    @contextmanager
    def proved(self, pointer: VersionPointer) -> Iterator[Path]:
        """A private copy of the folder.

        Raises:
            VerificationFailed: it was changed since the start.
        """
        with tempfile.TemporaryDirectory(prefix="switchtender-") as place:
            copy = Path(place) / "router"
            # The copy is what is checked and then loaded, so nobody can change a file between the two.
            shutil.copytree(self.folder, copy)
            if sha256_folder(copy) != self._digest:
                raise VerificationFailed(f"{self.folder} was changed since the service started; start it again")
            yield copy

    def swapped(self, pointer: VersionPointer | None) -> None:
        """Noted nowhere: the served log is that of registered versions."""
