"""Several processes that train one network, as `torchrun` starts them; alone, a process does nothing here.

    torchrun --nproc-per-node 2 -m -- cli train codec --data PHOTOS --out RUN --hours 8

Each draws batches of its own. Gradients are averaged and each process moves its share of the weights, so the
processes keep one set of them; the first keeps the run's time and writes its files, but for each one's
checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import Optimizer


def join() -> None:
    """Meet the other processes, if there are any."""
    if "RANK" in os.environ and not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


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


def take_from_first(tensors: list[Tensor]) -> None:
    """Give every process the tensors of the first."""
    if distributed.is_initialized():
        for tensor in tensors:
            distributed.broadcast(tensor.detach(), 0)


def of_all(number: int) -> list[int]:
    """The numbers of all processes, in their order."""
    if not distributed.is_initialized():
        return [number]
    own = torch.tensor([number], device=device())
    found = [torch.empty_like(own) for _ in range(processes())]
    distributed.all_gather(found, own)
    return [int(each) for each in found]


def average_gradients(network: nn.Module) -> None:
    """The mean of the gradients of all processes, in each of them."""
    if not distributed.is_initialized():
        return
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in network.parameters()]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for parameter, part in zip(network.parameters(), flat.split([g.numel() for g in gradients]), strict=True):
        parameter.grad = part.view_as(parameter).clone()


def shared(kind: type[Optimizer], parameters: Iterable[Any], **options: Any) -> Optimizer:
    """An optimiser of a kind, for parameters or groups of them, whose work and state the processes share.

    Its state is that of this process's share alone. Source: Rajbhandari et al. 2020 (ZeRO, arXiv 1910.02054).
    """
    if not distributed.is_initialized():
        return kind(parameters, **options)
    return ZeroRedundancyOptimizer(parameters, kind, **options)


def of_this_process(optimiser: Optimizer) -> Optimizer:
    """The part of an optimiser, shared or not, that moves this process's share of the weights."""
    return optimiser.optim if isinstance(optimiser, ZeroRedundancyOptimizer) else optimiser
