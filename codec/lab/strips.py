"""Pictures of the lab's page: strips of samples, maps of latents, samples and paths between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from aecodec.lab.generative import Generative
from aecodec.lab.training import Model, decode, encode

SHOWN = 16  # samples of a strip
GAP = 2  # pixels between samples
SIDE = 56  # pixels of a sample on the page, at least
MAP_SIDE, DOT = 200, 2  # pixels of a map of latents and of a dot's radius
MAPPED = 1000  # samples on a map
COLOURS = (
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
)

Pictures = NDArray[np.float32]  # (N, H, W), in [0, 1]


def strip(samples: Pictures) -> Image.Image:
    """Samples (N, H, W) side by side, enlarged by a whole factor."""
    factor = max(1, round(SIDE / samples.shape[2]))
    spaced = np.pad(samples, ((0, 0), (GAP, 0), (GAP, 0)), constant_values=0.5)
    levels = np.rint(np.nan_to_num(np.concatenate(list(spaced), 1)).clip(0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(levels)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def latent_map(latents: NDArray[np.floating[Any]], labels: NDArray[np.str_] | None) -> Image.Image:
    """The first two principal components of latents (N, K) as dots, coloured by their labels."""
    chosen = latents[:MAPPED].astype(np.float64)
    chosen = (chosen - chosen.mean(0)) / (chosen.std(0) + 1e-9)
    axes = np.linalg.svd(chosen, full_matrices=False)[2][:2]
    places = chosen @ axes.T
    places = np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
    extent = np.quantile(np.abs(places), 0.99) + 1e-9
    spots = (places / extent).clip(-1, 1) * (MAP_SIDE / 2 - 2 * DOT) + MAP_SIDE / 2
    image = Image.new("RGB", (MAP_SIDE, MAP_SIDE), "white")
    draw = ImageDraw.Draw(image)
    names = sorted(set(labels.tolist())) if labels is not None else []
    for number, (x, y) in enumerate(spots.tolist()):
        colour = COLOURS[names.index(str(labels[number])) % len(COLOURS)] if labels is not None else "black"
        draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), colour)
    return image


def drawn(network: Generative, seed: int = 0) -> Pictures:
    """New samples (16, H, W) of normal latents."""
    torch.manual_seed(seed)
    with torch.no_grad():
        samples: Pictures = network.draw(SHOWN)[:, 0].numpy()
    return samples


def interpolated(model: Model, first: Pictures, last: Pictures) -> Pictures:
    """A path (16, H, W) from one sample (H, W) to another, straight in the latents."""
    y = encode(model.network, np.stack([first, last]))
    shares = np.linspace(0, 1, SHOWN)[:, None]
    return decode(model.network, (1 - shares) * y[0] + shares * y[1])


def corrupted(model: Model, samples: Pictures, seed: int = 0) -> Pictures:
    """Samples (N, H, W) as the encoder of a denoising or inpainting network sees them."""
    torch.manual_seed(seed)
    spoiled: Pictures = model.network.corrupt(torch.from_numpy(samples)[:, None])[:, 0].numpy()
    return spoiled
