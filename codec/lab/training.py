"""Training of an entry by the project's one loop, and the model file (.safetensors) that comes of it.

A model file holds the network's weights, the table of its latents and, as metadata, the entry's name and the
shape of samples. Its fingerprint is the first 4 bytes of its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from aecodec.errors import ModelError, one_line
from aecodec.lab.autoencoder import Autoencoder
from aecodec.lab.catalogue import Entry, entries
from aecodec.lab.latent_file import REACH, LatentCoder, fit_counts
from aecodec.lab.stopping import check_stop
from aecodec.training.loop import Schedule, load_weights, train

BATCH = 128  # samples a step: on a CPU more take as much time each, fewer take more
MEASURED = 500  # held-out samples that the loop's log goes by
LARGEST_SAMPLE = 2**14  # values of a sample that a model file may name: a picture of 128x128
COUNTS = "latents.counts"

Samples = NDArray[np.float32]  # (N, H, W)


class Learning:
    """The task of the loop (`aecodec.training.loop.Task`): an autoencoder, training and held-out samples."""

    def __init__(self, network: Autoencoder, samples: Tensor, held_out: Tensor) -> None:
        self.network: Autoencoder = network
        self.samples, self.held_out = samples, held_out[:MEASURED]
        self.random = torch.Generator()

    def configuration(self) -> dict[str, Any]:
        """See `aecodec.training.loop.Task`."""
        samples = hashlib.sha256(self.samples.numpy().tobytes()).hexdigest()
        return {"network": type(self.network).__name__, "data": samples}

    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=rate, betas=(0.9, 0.98))

    def seed(self, number: int) -> None:
        self.random.manual_seed(number)

    def loss(self, progress: float) -> Tensor:
        del progress
        check_stop()
        chosen = torch.randint(len(self.samples), (min(BATCH, len(self.samples)),), generator=self.random)
        return self.network.loss(self.samples[chosen])

    def validate(self, network: nn.Module) -> list[dict[str, float]]:
        assert isinstance(network, Autoencoder)
        y = network.encode(network.corrupt(self.held_out))
        error = float(((network.decode(y.round()) - self.held_out) ** 2).mean())
        return [{"psnr": -10 * math.log10(max(error, 1e-12))}]


@dataclass(frozen=True, slots=True)
class Model:
    """A trained network with the coder of its latents."""

    name: str
    network: Autoencoder
    coder: LatentCoder

    @property
    def parameters(self) -> int:
        """Numbers that the network learned."""
        return sum(weights.numel() for weights in self.network.parameters())


@torch.no_grad()
def encode(network: Autoencoder, samples: Samples) -> NDArray[np.float32]:
    """Latents (N, K) of samples (N, H, W) in quantiser steps."""
    return np.concatenate([network.encode(tensor(part)).numpy() for part in parts_of(samples)])


@torch.no_grad()
def decode(network: Autoencoder, latents: NDArray[Any]) -> Samples:
    """Samples (N, H, W) of latents (N, K)."""
    parts = [torch.from_numpy(part.astype(np.float32)) for part in parts_of(latents)]
    return np.concatenate([network.decode(part)[:, 0].numpy() for part in parts])


def parts_of(samples: NDArray[Any]) -> list[NDArray[Any]]:
    """Samples in parts of 500, so that memory stays small."""
    return [samples[start : start + 500] for start in range(0, len(samples), 500)]


def tensor(samples: NDArray[Any]) -> Tensor:
    """Samples (N, H, W) as (N, 1, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(samples, np.float32))[:, None]


def fit(
    entry: Entry, samples: Samples, held_out: Samples, folder: Path, share: float = 1.0, seed: int = 0
) -> Autoencoder:
    """Train the network of an entry on samples (N, H, W), in a folder; one that has a checkpoint is resumed.

    `share` of the entry's steps are made.
    """
    torch.manual_seed(seed)
    network = entry.build((samples.shape[1], samples.shape[2]))
    x = tensor(samples)
    with torch.no_grad():
        network.start(x)
    if steps := math.ceil(share * entry.steps):
        schedule = Schedule(steps=steps, rate=entry.rate, warm_up=min(100, steps // 10 + 1), seed=seed)
        load_weights(network, train(schedule, Learning(network, x, tensor(held_out)), folder))
    network.eval()
    with torch.no_grad():
        network.finish(x)
    return network


def seconds_of(folder: Path) -> float:
    """Seconds that training in a folder took in all, however often it was resumed; 0 without training."""
    log = folder / "log.jsonl"
    return 3600 * float(json.loads(log.read_text("utf-8").splitlines()[-1])["hours"]) if log.exists() else 0.0


def write_model(name: str, network: Autoencoder, samples: Samples, path: Path) -> Model:
    """Fit the table to the latents of training samples (N, H, W) and write the model file.

    A file that has this network already stays as it is, since files of latents name its fingerprint.
    """
    if known := written_before(name, network, path):
        return known
    counts = fit_counts(encode(network, samples))
    weights = {key: weight.contiguous() for key, weight in network.state_dict().items()}
    metadata = {"name": name, "shape": "x".join(map(str, network.shape))}
    data = save({**weights, COUNTS: torch.from_numpy(counts.astype(np.int32))}, metadata)
    path.write_bytes(with_sorted_metadata(data))
    return Model(name, network, LatentCoder(counts, fingerprint_of(path)))


def written_before(name: str, network: Autoencoder, path: Path) -> Model | None:
    """The model in a file if its weights are those of a network, but for rounding; else None."""
    try:
        known = read_model(path)
    except ModelError:  # of a file that is missing, too
        return None
    if (known.name, known.network.shape) != (name, network.shape):
        return None
    written = known.network.state_dict()
    # What is computed after training, and principal components, depend on the number of threads a little.
    alike = (torch.allclose(weight, written[key], 1e-3, 1e-5) for key, weight in network.state_dict().items())
    return known if all(alike) else None


def with_sorted_metadata(data: bytes) -> bytes:
    """A safetensors file whose metadata are in order of name; safetensors writes them in a random one."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # as tensors are aligned
    return len(text).to_bytes(8, "little") + text + data[start:]


def fingerprint_of(path: Path) -> bytes:
    """The first 4 bytes of the SHA-256 of a model file."""
    return hashlib.sha256(path.read_bytes()).digest()[:4]


def read_model(path: Path) -> Model:
    """The model in a file; raises ModelError where it is none, or damaged."""
    try:
        with safe_open(path, "pt") as file:
            says = file.metadata() or {}
        tensors = load_file(path)
        sides = [int(side) for side in says["shape"].split("x")]
        [entry] = entries([says["name"]])
        if len(sides) != 2 or min(sides) < 1 or sides[0] * sides[1] > LARGEST_SAMPLE:
            raise ValueError(f"samples of {says['shape']}")
        network = entry.build((sides[0], sides[1]))
        counts = tensors.pop(COUNTS).numpy()
        network.load_state_dict(tensors)
        if counts.shape != (network.latents, 2 * REACH) or counts.dtype != np.int32 or counts.min() < 1:
            raise ValueError("a table of other latents")
        if not all(torch.isfinite(weight).all() for weight in network.parameters()):
            raise ValueError("weights that are no numbers")
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError, AttributeError) as error:
        reason = one_line(str(error).splitlines()[-1]) if str(error) else type(error).__name__
        raise ModelError(f"{path} is no sound model of the lab ({reason}): train it anew") from error
    return Model(says["name"], network.eval(), LatentCoder(counts.astype(np.uint32), fingerprint_of(path)))
