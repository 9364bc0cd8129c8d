"""Which of the project's own modules a module imports, directly or through others: read from the source."""

from __future__ import annotations

import ast
from pathlib import Path


def imported_files(module: Path, root: Path) -> set[str]:
    """Paths (relative to root) of the `pipeline` files that `module` reaches, itself included."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        path = waiting.pop()
        name = path.relative_to(root).as_posix()
        if name in seen:
            continue
        seen.add(name)
        waiting += [file for file in _imports(path, root) if file.relative_to(root).as_posix() not in seen]
    return seen


def _imports(path: Path, root: Path) -> list[Path]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    files: list[Path] = []
    for name in names:
        parts = name.split(".")
        if parts[0] != "pipeline":
            continue
        for end in range(1, len(parts) + 1):
            base = root.joinpath(*parts[:end])
            files += [p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()]
    return files
