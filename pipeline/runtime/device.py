"""Where encoders and language models compute: on the CPU, or on one GPU.

On a GPU what is trained, and a language model, computes in bf16 (autocast) on weights in fp32; vectors and held-out
scores stay in fp32, since thresholds chosen on them have to hold for the encoder that answers.
"""

from __future__ import annotations

import os
import platform
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.runtime.errors import InputError

if TYPE_CHECKING:
    import torch

Device = Literal["cpu", "cuda"]
Wanted = Literal["auto", "cpu", "cuda"]
_device: Device = "cpu"


def resolved(wanted: Wanted) -> Device:
    """`auto` is the GPU where torch finds one. torch is imported only where the machine may have one.

    Raises:
        InputError: a GPU is wanted and there is none.
    """
    if wanted == "cpu":
        return "cpu"
    if (wanted == "cuda" or _may_have_gpu()) and _torch_finds_gpu():
        return "cuda"
    if wanted == "cuda":
        raise InputError(
            "the device is to be cuda, and torch finds no GPU here; set run.device (--device) to auto or cpu"
        )
    return "cpu"


def use_device(wanted: Wanted) -> None:
    """Load encoders and language models there from now on, in this process.

    Raises:
        InputError: as `resolved`.
    """
    global _device
    _device = resolved(wanted)
    if _device == "cuda":
        # Without it cuBLAS gives other bytes each time, and torch refuses to compute deterministically.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def device() -> Device:
    """Where a model that is loaded now goes: the CPU, until `use_device` says otherwise."""
    return _device


def gpu_name() -> str:
    """The GPU in use, as its driver names it."""
    import torch

    return str(torch.cuda.get_device_name())


def bf16_on_gpu(where: torch.device, wanted: bool = True) -> AbstractContextManager[object]:
    """While the block runs a model on a GPU computes in bf16; one on the CPU as ever."""
    if where.type != "cuda" or not wanted:
        return nullcontext()
    import torch

    return torch.autocast("cuda", torch.bfloat16)


def bf16_in_training(where: torch.device) -> AbstractContextManager[object]:
    """While the block runs a model computes in bf16 where the device does so natively: a GPU, AMX, AVX-512 BF16."""
    import torch

    native = where.type == "cuda" or (
        where.type == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
    )
    return torch.autocast(where.type, torch.bfloat16) if native else nullcontext()


def _may_have_gpu() -> bool:
    """Without a driver's file there is none, and torch need not be imported to say so."""
    drivers = (*Path("/dev").glob("nvidia*"), Path("/dev/kfd"), Path("/dev/dxg"))
    return platform.system() != "Linux" or any(path.exists() for path in drivers)


def _torch_finds_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
