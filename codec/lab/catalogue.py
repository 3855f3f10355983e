"""The catalogue: every network of the lab with its size and its steps of training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aecodec.errors import AecodecError
from aecodec.lab.attention import Attention
from aecodec.lab.autoencoder import Autoencoder
from aecodec.lab.components import Components, Denoising, Inpainting, Transform
from aecodec.lab.convolutional import Transposed, Upsampling
from aecodec.lab.dense import Dense
from aecodec.lab.generative import Adversarial, Variational
from aecodec.lab.penalised import Contractive, Sparse
from aecodec.lab.recurrent import Recurrent, SequenceToSequence

Shape = tuple[int, int]
NOISE = 0.5  # standard deviation of the tutorials' noise, on pixels in [0, 1]


@dataclass(frozen=True, slots=True)
class Entry:
    """One network: how it is built for samples of a shape, and how long and fast it learns."""

    name: str
    says: str
    build: Callable[[Shape], Autoencoder]
    steps: int  # of 128 samples; so many that the whole catalogue takes some minutes, see docs/lab.md
    rate: float = 2e-3  # learning rate; recurrent networks diverge at more than half of it


def hidden(shape: Shape) -> int:
    """Width of the branches of transforms: 512 for a digit of 784 pixels, less for smaller ones."""
    return min(512, 4 * shape[0] * shape[1])


ENTRIES = (
    Entry("components", "256 principal components, no training", lambda s: Components(s, 256), 0),
    Entry("linear", "linear, to 32", lambda s: Dense(s, 32), 1000),
    Entry("deep", "dense, 1024-128-64-32-16", lambda s: Dense(s, 16, (1024, 128, 64, 32)), 1500, 1e-3),
    Entry("convolutional", "convolutions 8-16-4, upsampling", lambda s: Upsampling(s, 4), 1000, 4e-3),
    Entry("transposed", "convolutions 32-64, dense, transposed", lambda s: Transposed(s, 64), 600),
    Entry(
        "transform",
        "principal components and learned branches",
        lambda s: Transform(s, 256, hidden(s)),
        3000,
        1e-3,
    ),
    Entry(
        "denoising",
        f"transform, given noise of {NOISE:g}",
        lambda s: Denoising(s, 64, hidden(s), NOISE),
        2500,
        1e-3,
    ),
    Entry("inpainting", "transform, given a hole", lambda s: Inpainting(s, 128, hidden(s)), 1500, 1e-3),
    Entry("sparse", "256 latents, most of them 0", lambda s: Sparse(s, 256), 1000),
    Entry(
        "contractive", "64 sigmoids, flat Jacobian, tied weights", lambda s: Contractive(s, 64), 1000, 4e-3
    ),
    Entry("vae", "variational, 20 latents", lambda s: Variational(s, 20), 2000, 1e-3),
    Entry("beta-vae", "vae, with beta 4", lambda s: Variational(s, 20, 4.0), 1500, 1e-3),
    Entry("adversarial", "critic of 16 latents", lambda s: Adversarial(s, 16), 2000, 1e-3),
    Entry("attention", "transformer over 4x4 patches", lambda s: Attention(s, 4), 600),
    Entry("recurrent", "GRU over rows", lambda s: Recurrent(s, 32, 128), 600),
    Entry("seq2seq", "GRU that sees what it wrote", lambda s: SequenceToSequence(s, 32, 128), 600),
)


def entries(names: list[str]) -> list[Entry]:
    """The entries of these names, all for none; raises AecodecError for a name that is not there."""
    known = {entry.name: entry for entry in ENTRIES}
    for name in names:
        if name not in known:
            raise AecodecError(f"{name!r} is not in the catalogue: choose of {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)] or list(ENTRIES)
