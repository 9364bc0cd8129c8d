"""The project's prompts as they are in the working copy now, looked up by id or by text."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from flows.workspace.project import Project
from pipeline.data.dataset import DATASET
from pipeline.data.outcomes import split_agents
from pipeline.runtime.errors import TableError
from pipeline.runtime.tables import read_table, sha256_text
from pipeline.runtime.track import AGENTS


@dataclass(frozen=True)
class CachedRow:
    """A prompt of the dataset as it is now. `agents` is its label; none where outcomes are graded instead."""

    prompt_id: str
    prompt: str
    agents: tuple[str, ...]


class DatasetCache:
    """The table of the project's track, read again when the file has changed. Safe to use from several threads."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._stamp: tuple[int, int] | None = None
        self._rows: dict[str, CachedRow] = {}
        self._by_text: dict[str, CachedRow] = {}
        self._lock = threading.Lock()

    def row(self, prompt_id: str) -> CachedRow | None:
        """The row with an id.

        Raises:
            TableError: the file is missing or malformed.
        """
        self._refresh()
        return self._rows.get(prompt_id)

    def with_text(self, text_sha256: str) -> CachedRow | None:
        """The row whose text has a digest; raises likewise."""
        self._refresh()
        return self._by_text.get(text_sha256)

    def _refresh(self) -> None:
        with self._lock:
            name = DATASET if self.project.track is AGENTS else self.project.table
            path = self.project.root / name
            try:
                facts = path.stat()
            except OSError as error:
                raise TableError(f"{name} cannot be read ({error.strerror}); run 'dvc checkout'") from error
            stamp = facts.st_mtime_ns, facts.st_size
            if stamp == self._stamp:
                return
            frame = read_table(path, required=("prompt_id", "prompt")).drop_duplicates("prompt_id", keep="last")
            labels = frame["agents"].astype(str) if "agents" in frame else [""] * len(frame)
            columns = (frame["prompt_id"].astype(str), frame["prompt"].astype(str), labels)
            rows = [CachedRow(one, prompt, split_agents(agents)) for one, prompt, agents in zip(*columns, strict=True)]
            # Replaced, never changed in place: lookups read them without the lock.
            self._by_text = {sha256_text(row.prompt): row for row in rows}
            self._rows, self._stamp = {row.prompt_id: row for row in rows}, stamp
