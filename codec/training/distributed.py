"""Training of one network in several processes, started by `torchrun`.

In a single process it changes nothing.
    torchrun --nproc-per-node 2 -m -- aecodec.cli train codec --data PHOTOS --out RUN --hours 8

Each process draws its own batches. Gradients are averaged, and each process updates its share of the weights,
so all have the same weights. The first process keeps the time of the run and writes its files. Each process
writes its own checkpoint.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import Optimizer


def join() -> None:
    """Meet the other processes, if there are any."""
    if "RANK" in os.environ and not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(distributed.destroy_process_group)  # or its threads may abort the process as it ends


def rank() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def processes() -> int:
    """How many processes train."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def device() -> torch.device:
    """The device that this process trains on."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def bfloat16() -> torch.autocast:
    """A context in which products are computed in bfloat16, on a GPU or a processor that has them.

    Those with AMX have. Elsewhere a step took 1.15 times as long (AVX-512) or 10 times (AVX2) as in float32.
    """
    has_amx: Callable[[], bool] = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    kind = device().type
    return torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda" or has_amx())


def take_from_first(tensors: list[Tensor]) -> None:
    """Give every process the tensors of the first."""
    if distributed.is_initialized():
        for tensor in tensors:
            distributed.broadcast(tensor.detach(), 0)


def of_all(number: int) -> list[int]:
    """The numbers of all processes, in their order."""
    if not distributed.is_initialized():
        return [number]
    number_tensor = torch.tensor([number], device=device())
    numbers = [torch.empty_like(number_tensor) for _ in range(processes())]
    distributed.all_gather(numbers, number_tensor)
    return [int(tensor) for tensor in numbers]


def average_gradients(network: nn.Module) -> None:
    """The mean of the gradients of all processes, in each of them."""
    if not distributed.is_initialized():
        return
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in network.parameters()]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for parameter, gradient in zip(
        network.parameters(), flat.split([g.numel() for g in gradients]), strict=True
    ):
        parameter.grad = gradient.view_as(parameter).clone()


def shared(optimiser_class: type[Optimizer], parameters: Iterable[Any], **options: Any) -> Optimizer:
    """An optimiser for parameters or groups of them. The processes share its work and its state.

    Each process has the state of its own share. Source: Rajbhandari et al. 2020 (ZeRO, arXiv 1910.02054).
    """
    if not distributed.is_initialized():
        return optimiser_class(parameters, **options)
    return ZeroRedundancyOptimizer(parameters, optimiser_class, **options)


def of_this_process(optimiser: Optimizer) -> Optimizer:
    """The part of an optimiser, shared or not, that updates this process's share of the weights."""
    return optimiser.optim if isinstance(optimiser, ZeroRedundancyOptimizer) else optimiser
