"""RouterBench's pickles: read like the CSV, and never run. Each attack here would leave a file behind."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.importers import import_outcomes
from pipeline.importers.safe_pickle import read_pickled_frame
from pipeline.runtime.errors import TableError

CSV = Path(__file__).with_name("fixtures") / "routerbench.csv"


def as_pandas_two(frame: pd.DataFrame) -> pd.DataFrame:
    """Text in object columns, as before pandas 3."""
    texts = {name: frame[name].astype(object) for name in frame if not pd.api.types.is_numeric_dtype(frame[name])}
    older = frame.assign(**texts)
    older.columns = pd.Index(list(frame.columns), dtype=object)
    return older


def with_older_names(content: bytes) -> bytes:
    """A protocol 2 pickle with the names that pandas 2 and numpy 1 write."""
    for new, old in (
        (b"cnumpy._core.", b"cnumpy.core."),
        (b"cpandas\nDataFrame\n", b"cpandas.core.frame\nDataFrame\n"),
        (b"cpandas\nIndex\n", b"cpandas.core.indexes.base\nIndex\n"),
        (b"cpandas\nRangeIndex\n", b"cpandas.core.indexes.range\nRangeIndex\n"),
    ):
        assert new in content, new
        content = content.replace(new, old)
    return content


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("shape", [lambda frame: frame, as_pandas_two], ids=["pandas 3", "pandas 2"])
def test_a_pickle_reads_like_the_csv(protocol: int, shape: Callable[[Any], Any], tmp_path: Path) -> None:
    frame = shape(pd.read_csv(CSV))
    source = tmp_path / "routerbench_0shot.pkl"
    source.write_bytes(pickle.dumps(frame, protocol=protocol))
    done = import_outcomes("routerbench", source, tmp_path / "pickle.parquet")
    assert import_outcomes("routerbench", CSV, tmp_path / "csv.parquet") == done
    read = [pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("pickle", "csv")]
    pd.testing.assert_frame_equal(*read)


def test_a_pickle_of_pandas_two_and_numpy_one_reads_alike(tmp_path: Path) -> None:
    source = tmp_path / "routerbench_0shot.pkl"
    source.write_bytes(with_older_names(pickle.dumps(as_pandas_two(pd.read_csv(CSV)), protocol=2)))
    done = import_outcomes("routerbench", source, tmp_path / "out.csv")
    assert done == import_outcomes("routerbench", CSV, tmp_path / "csv.csv")


def test_blocks_of_several_columns_keep_their_order(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.arange(6.0).reshape(2, 3), columns=pd.Index(list("abc"), dtype=object))
    frame.insert(1, "between", ["x", None])
    frame["count"], frame["flag"] = [7, 8], [True, False]
    (tmp_path / "frame.pkl").write_bytes(pickle.dumps(frame, protocol=5))
    assert read_pickled_frame(tmp_path / "frame.pkl") == {
        "a": [0.0, 3.0], "between": ["x", None], "b": [1.0, 4.0], "c": [2.0, 5.0], "count": [7, 8],
        "flag": [True, False],
    }  # fmt: skip


class Runs:
    """Runs a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.arguments


def short(text: str) -> bytes:
    return b"\x8c" + struct.pack("<B", len(text)) + text.encode()


def attacks(trace: Path) -> dict[str, bytes]:
    command, name = f"touch {trace}", str(trace)
    frame = pd.DataFrame({"sample_id": ["a"], "hidden": [0]}).astype(object)
    frame.loc[0, "hidden"] = Runs(os.system, command)
    method = b"\x80\x04" + short("pandas") + short("DataFrame.to_csv") + b"\x93" + short(name) + b"\x85R."
    return {
        "a system call": pickle.dumps(Runs(os.system, command)),
        "a file opened": pickle.dumps(Runs(open, name, "w")),
        "the oldest protocol": f"cos\nsystem\n(S'{command}'\ntR.".encode(),
        "an instance": f"(S'{command}'\nios\nsystem\n.".encode(),
        "a method of a frame": method,
        "pandas evaluating": pickle.dumps(Runs(pd.eval, f"__import__('os').system('{command}')")),
        "numpy writing": pickle.dumps(Runs(np.savetxt, name, [1])),
        "pandas unpickling": pickle.dumps(Runs(pd.read_pickle, name)),
        "within a column": pickle.dumps(frame),
        "beside a frame": pickle.dumps((pd.DataFrame({"a": [1]}), Runs(os.system, command))),
        "getattr": b"cbuiltins\ngetattr\n(cos\nS'system'\ntR.",
    }


@pytest.mark.parametrize("attack", attacks(Path("/nowhere")))
def test_a_malicious_pickle_is_refused_and_not_run(attack: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    source = tmp_path / "routerbench_0shot.pkl"
    source.write_bytes(attacks(trace)[attack])
    with pytest.raises(TableError, match=r"not run|not a pickle") as refused:
        import_outcomes("routerbench", source, tmp_path / "out.csv")
    assert "\n" not in str(refused.value)
    assert str(source) in str(refused.value)
    assert not trace.exists()
    assert not (tmp_path / "out.csv").exists()


def test_the_attacks_are_real(tmp_path: Path) -> None:
    """What the reader refuses would have left its trace."""
    for name in ("a system call", "a file opened", "the oldest protocol", "an instance", "within a column"):
        trace = tmp_path / name.replace(" ", "-")
        pickle.loads(attacks(trace)[name])
        assert trace.exists(), name


def object_array_of_bytes() -> bytes:
    """Objects given as raw memory: numpy itself would take them for addresses."""
    frame = as_pandas_two(pd.DataFrame({"a": ["x"]}))
    content = pickle.dumps(frame, protocol=2)
    listed = b"]q"
    assert content.count(listed) >= 1
    return content.replace(listed, b"U\x08" + b"A" * 8 + b"q", 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle at all",
        pickle.dumps(pd.DataFrame({"a": [1]}))[:-20],
        pickle.dumps([1, 2, 3]),
        pickle.dumps({"_mgr": 1}),
        pickle.dumps(np.arange(3)),
        pickle.dumps(pd.Series([1, 2])),
        pickle.dumps(pd.DataFrame({"a": [[1, 2]]}, dtype=object)),
        pickle.dumps(pd.DataFrame({"a": pd.to_datetime(["2024-01-01"])})),
        b"\x80\x02Pid\n.",
        object_array_of_bytes(),
    ],
    ids=["empty", "text", "cut off", "list", "dict", "array", "series", "nested", "dates", "persistent", "raw objects"],
)
def test_what_is_no_pickled_table_gets_one_clear_line(content: bytes, tmp_path: Path) -> None:
    source = tmp_path / "routerbench_0shot.pkl"
    source.write_bytes(content)
    with pytest.raises(TableError) as refused:
        import_outcomes("routerbench", source, tmp_path / "out.csv")
    assert str(refused.value).startswith(str(source))
    assert "\n" not in str(refused.value)


def test_the_long_raw_table_is_told_apart(tmp_path: Path) -> None:
    frame = pd.DataFrame({"sample_id": ["a"], "model_name": ["m"], "prompt": ["p"], "performance": [1.0]})
    (tmp_path / "routerbench_raw.pkl").write_bytes(pickle.dumps(frame))
    with pytest.raises(TableError, match="long raw table"):
        import_outcomes("routerbench", tmp_path / "routerbench_raw.pkl", tmp_path / "out.csv")
