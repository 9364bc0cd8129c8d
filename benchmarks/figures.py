"""How the pages of several benchmarks write the same figure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from pipeline.metrics.bootstrap import Estimate, Resampled
from pipeline.runtime.arrays import Values


def signed(found: Estimate) -> str:
    """A difference with its interval."""
    return f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def difference(column: Values) -> str:
    """The mean of paired differences [n] with its 95 % bootstrap interval."""
    return signed(Resampled.of([column]).estimate(0))


def correlation(expected: Values, got: Values) -> float:
    """Over what is known of `got`; NaN where either does not vary."""
    known = ~np.isnan(got)
    if np.std(expected[known]) == 0 or np.std(got[known]) == 0:
        return float("nan")
    return float(np.corrcoef(expected[known], got[known])[0, 1])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table, line by line."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
