"""A small table of one's own, and `switchtender` run on it as a user would."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pandas as pd
from sandbox import ROOT
from warm_command import run_warm

LABELS = ("billing", "repairs", "sales")
WORDS = {"billing": "invoice refund charge", "repairs": "broken leak noise", "sales": "price offer quote"}


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end."""
    return run_warm("switchtender", [str(one) for one in arguments], cwd, {**os.environ, "PYTHONPATH": str(ROOT)})


def write_prompts(path: Path) -> Path:
    """36 labelled prompts, every fourth with two labels, which their words give away."""
    rows = []
    for number in range(36):
        first, second = LABELS[number % 3], LABELS[(number + 1) % 3]
        both = number % 4 == 0
        text = f"{WORDS[first]} case {number}" + (f" and {WORDS[second]}" if both else "")
        rows.append((f"r{number}", text, f"{first}|{second}" if both else first))
    pd.DataFrame(rows, columns=["prompt_id", "prompt", "agents"]).to_csv(path, index=False)
    return path
