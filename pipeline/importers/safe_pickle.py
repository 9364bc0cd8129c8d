"""A pickled pandas frame, read without running anything that the pickle names.

A pickle is a program: it names functions and asks for them to be called. Here every name that a frame needs stands for
an inert record of its arguments, so neither pandas nor numpy nor anything else is called while the program is read, and
every other name is refused before it is looked up. The columns are then put together from the records, each checked.
Frames of pandas 1.3 to 3 are understood, with columns of text, figures and truth values.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.importers.files import reading
from pipeline.runtime.errors import TableError, one_line

_KINDS = {
    "DataFrame": ("pandas", "pandas.core.frame"),
    "BlockManager": ("pandas.core.internals.managers",),
    "_unpickle_block": ("pandas._libs.internals",),
    "_new_Index": ("pandas.core.indexes.base",),
    "Index": ("pandas", "pandas.core.indexes.base"),
    "RangeIndex": ("pandas", "pandas.core.indexes.range"),
    "Int64Index": ("pandas.core.indexes.numeric",),
    "ArrowStringArray": ("pandas.arrays", "pandas.core.arrays.string_arrow"),
    "StringDtype": ("pandas", "pandas.core.arrays.string_"),
    "_restore_array": ("pyarrow.lib",),
    "py_buffer": ("pyarrow.lib",),
    "type_for_alias": ("pyarrow.lib",),
    "_reconstruct": ("numpy.core.multiarray", "numpy._core.multiarray"),
    "_frombuffer": ("numpy.core.numeric", "numpy._core.numeric"),
    "ndarray": ("numpy",),
    "dtype": ("numpy",),
    "slice": ("builtins", "__builtin__"),
    "bytearray": ("builtins", "__builtin__"),
    "encode": ("_codecs",),
}
_FIGURES = {"f8": "<f8", "f4": "<f4", "i8": "<i8", "i4": "<i4", "b1": "|b1"}
Columns = dict[str, list[Any]]


class _Record:
    """What the pickle asked to be made: `kind` and what it would have been made of."""

    kind = ""

    # Pickles make an object by calling its class, or by `cls.__new__` alone and then its state.
    def __new__(cls, *_: object, **__: object) -> _Record:
        return object.__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        self.arguments: tuple[Any, ...] = arguments
        self.state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _RecordUnpickler(pickle.Unpickler):
    """Resolves no name to anything but a record, made anew for each file."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file)
        self._path = path
        self._records: dict[str, type[_Record]] = {}

    def find_class(self, module: str, name: str) -> Any:
        # The only place where the unpickler turns a name into something that can be called.
        if module not in _KINDS.get(name, ()):
            raise TableError(
                f"{self._path} asks for {module}.{name}, which no table needs; it was not run. "
                "Save the table as CSV from where you trust it"
            )
        return self._records.setdefault(name, type(name, (_Record,), {"kind": name}))


def read_pickled_frame(path: Path) -> Columns:
    """The columns of a pickled frame, by name, in the frame's order; an empty field is None.

    Raises:
        TableError: the file cannot be read, is no pickle, names something that a frame does not need, or holds
            something else than a frame of text and figures.
    """
    with reading(path), path.open("rb") as file:
        try:
            frame = _RecordUnpickler(file, path).load()
        except (TableError, OSError):
            raise
        except Exception as error:  # a damaged pickle may raise anything
            reason = one_line(error, 80) or type(error).__name__
            raise TableError(f"{path} is not a pickle that can be read ({reason}); fetch it again") from error
    try:
        return _columns(frame)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise TableError(
            f"{path} is not a pickled table of text and figures ({one_line(error, 80)}); save the table as CSV instead"
        ) from error


def _columns(frame: Any) -> Columns:
    """The columns of a frame's record, put together from its blocks."""
    blocks, axes = _record(_record(frame, "DataFrame").state["_mgr"], "BlockManager").arguments
    _, names = _record(axes[0], "_new_Index").arguments
    columns: list[list[Any] | None] = [None] * len(_values(names["data"])[0])
    for block in blocks:
        values, places, _ = _record(block, "_unpickle_block").arguments
        for place, column in zip(_places(places), _values(values), strict=True):
            columns[place] = column
    header = _values(names["data"])[0]
    lengths = {len(column) for column in columns if column is not None}
    if len(lengths) != 1 or None in columns or len(set(header)) < len(header):
        raise ValueError("its columns do not fit together")
    return {str(name): column or [] for name, column in zip(header, columns, strict=True)}


def _record(value: Any, *kinds: str) -> _Record:
    """The value, where it is a record of one of these kinds.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, _Record) or value.kind not in kinds:
        found = value.kind if isinstance(value, _Record) else type(value).__name__
        raise ValueError(f"{found} where {' or '.join(kinds)} is expected")
    return value


def _places(value: Any) -> list[int]:
    """The column numbers of a block."""
    record = _record(value, "slice", "_reconstruct", "_frombuffer")
    places = list(range(*record.arguments)) if record.kind == "slice" else _array(record).tolist()
    if any(place < 0 for place in places):
        raise ValueError("a column stands before the first")
    return places


def _values(value: Any) -> list[list[Any]]:
    """The columns that a block holds; an index is a block of one."""
    if isinstance(value, _Record) and value.kind == "ArrowStringArray":
        return [_texts(value)]
    array = _array(value)
    return [_plain(row) for row in np.atleast_2d(array)]


def _plain(row: np.ndarray[Any, Any]) -> list[Any]:
    values = [None if value is None or value != value else value for value in row.tolist()]  # NaN is not itself
    if wrong := next((v for v in values if not isinstance(v, str | float | int | None)), None):
        raise ValueError(f"a field holds a {type(wrong).__name__}")
    return values


def _array(value: Any) -> np.ndarray[Any, Any]:
    """An array from the record of its pickled form: raw figures, or a list of objects."""
    record = _record(value, "_reconstruct", "_frombuffer")
    if record.kind == "_frombuffer":
        content, kind, shape, order = record.arguments
        return _figures(content, kind, shape, order)
    _, shape, kind, is_fortran, content = record.state
    if _dtype(kind) != "O":
        return _figures(content, kind, shape, "F" if is_fortran else "C")
    array = np.empty(len(_listed(content)), dtype=object)
    array[:] = content
    return array.reshape(shape)


def _listed(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise ValueError("an array of objects that is no list")
    return content


def _dtype(value: Any) -> str:
    """A type's short name, such as f8, i8 or O.

    Raises:
        ValueError: its bytes are in big-endian order, which `_FIGURES` does not say.
    """
    record = _record(value, "dtype")
    if record.state is not None and record.state[1] == ">":
        raise ValueError("figures in big-endian order")
    return str(record.arguments[0]).rstrip("8") if str(record.arguments[0]) in ("O", "O8") else str(record.arguments[0])


def _figures(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    code = _FIGURES.get(_dtype(kind))
    if code is None:
        raise ValueError(f"figures of type {_dtype(kind)[:20]}")
    return np.frombuffer(_bytes(content), dtype=code).reshape(shape, order="F" if order == "F" else "C")


def _bytes(value: Any) -> bytes:
    """Bytes, out of the records in which pickle protocols before 3 and pyarrow wrap them."""
    while isinstance(value, _Record):
        record = _record(value, "bytearray", "py_buffer", "encode")
        if record.kind == "encode":
            letters, encoding = record.arguments
            if not isinstance(letters, str) or encoding != "latin1":
                raise ValueError("bytes in an unknown encoding")
            return letters.encode("latin1")
        value = record.arguments[0] if record.arguments else b""
    if not isinstance(value, bytes | bytearray):
        raise ValueError(f"{type(value).__name__} where bytes are expected")
    return bytes(value)


def _texts(value: _Record) -> list[Any]:
    """Text as pandas 3 keeps it: an Arrow array, whose offsets are checked before a letter is read."""
    import pyarrow as pa

    kind, length, _, offset, buffers, *_ = _record(value.state["_pa_array"], "_restore_array").arguments[0]
    aliases = {"large_string": pa.large_string(), "string": pa.string()}
    alias = aliases[_record(kind, "type_for_alias").arguments[0]]
    content = [None if buffer is None else pa.py_buffer(_bytes(buffer)) for buffer in buffers]
    array = pa.Array.from_buffers(alias, length, content, offset=offset)
    array.validate(full=True)
    return list(array.to_pylist())
