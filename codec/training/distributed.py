"""Several processes that train one network, as `torchrun` starts them; alone, a process does nothing here.

    torchrun --nproc-per-node 2 -m -- cli train codec --data PHOTOS --out RUN --hours 8

Each draws batches of its own. Gradients are averaged, so the processes keep one set of weights; the first
writes the run's files and keeps its time.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor, distributed, nn


def join() -> None:
    """Meet the other processes, if there are any."""
    if "RANK" in os.environ and not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def rank() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


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
