"""The training tasks of the stages: to restore noisy, coded or small pictures.

    aecodec train denoise --data PHOTOS --out RUN --hours 1

Losses are mean PSNRs, by which the stages are measured. So every strength of damage has the same weight.
"""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pytorch_optimizer import SOAP
from torch import Tensor, nn
from torch.nn import functional as F

from aecodec.api import compress, decompress
from aecodec.errors import AecodecError
from aecodec.restoration.denoising import LARGEST_SIGMA
from aecodec.restoration.upscaling import SCALES
from aecodec.sampling import evenly_spaced
from aecodec.training.data import Crops, Photographs, Pixels, digest_of, to_tensor
from aecodec.training.distributed import bfloat16, device, shared
from aecodec.training.stages import SRCNN, SubPixel, denoiser, enhancer

LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)  # ITU-R BT.601
VALIDATION_IMAGES = 8  # more tell more of a run, and take longer at each checkpoint
VALIDATION_SIDE = 240  # pixels: a multiple of 2, 3 and 4, the scales of upscaling, and of 8
LARGEST_SHARE = LARGEST_SIGMA / 255
JPEG_QUALITIES = (5, 95)  # of libjpeg: beyond, pictures are beyond help or need none
CODED_QUALITIES = (0, 100)  # all of aecodec's
# Largest factor of a photograph's colours in training, since prints and drawings have such colours. Its
# effect was not measured apart (docs/experiments.md, stages).
STRONGEST_COLOURS = 2.5
CODED_IMAGES = (
    120  # training pictures that are coded by aecodec: more are more varied, and take longer to start
)


def gray(images: Tensor) -> Tensor:
    """The luma (B, 1, H, W) of images (B, 3, H, W)."""
    return (images * LUMA.to(images.device)).sum(1, keepdim=True)


def mean_psnr(restored: Tensor, images: Tensor, floor: float = 1e-5) -> Tensor:
    """Mean PSNR in dB over a batch (B, C, H, W) in [0, 1]; `floor` is a squared error too small to matter."""
    error = (restored.float() - images.to(restored.device)).square().mean((1, 2, 3))
    return -10 * (error + floor).log10().mean()


class Restoration(ABC):
    """The common part of all tasks: crops of photographs, half of them gray if `grays`, and validation."""

    network: nn.Module

    def __init__(
        self, images: Sequence[Pixels], held_out: Sequence[Pixels], batch: int, side: int, grays: bool = True
    ) -> None:
        self.images, self.batch, self.side, self.grays = images, batch, side, grays
        centres = [centre(image) for image in held_out[:VALIDATION_IMAGES]]
        self.held_out = to_tensor(np.stack(centres)) if centres else torch.empty(0)
        self.seed(0)

    def seed(self, number: int) -> None:
        self.crops = Crops(self.images, self.side, number)
        self.random = np.random.default_rng(number)

    def configuration(self) -> dict[str, Any]:
        """See `aecodec.training.loop.Task`."""
        data, validation = digest_of(self.images), hashlib.sha256(self.held_out.numpy().tobytes()).hexdigest()
        settings = {"batch": self.batch, "side": self.side, "grays": self.grays}
        return {"task": type(self).__name__, **settings, "data": data, "validation": validation}

    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        """SOAP, which gains as much as Adam in a fraction of the time.

        Source: Vyas et al. 2024 (arXiv 2409.11321).
        """
        return shared(SOAP, self.network.parameters(), lr=rate, weight_decay=0)

    @abstractmethod
    def loss(self, progress: float) -> Tensor:
        """See `aecodec.training.loop.Task`."""

    @abstractmethod
    def validate(self, network: nn.Module) -> list[dict[str, float]]:
        """See `aecodec.training.loop.Task`."""

    def clean(self) -> Tensor:
        """Crops (B, 3, H, W), the second half of them gray if `grays`."""
        images = self.crops.batch(self.batch, self.side)
        if self.grays:
            images[self.batch // 2 :] = gray(images[self.batch // 2 :])
        return images


def centre(image: Pixels) -> Pixels:
    """The square of VALIDATION_SIDE pixels in the middle; raises AecodecError for a smaller picture."""
    if min(image.shape[:2]) < VALIDATION_SIDE:
        sides = f"{image.shape[1]}x{image.shape[0]}"
        raise AecodecError(
            f"a validation picture has {sides} pixels: give {VALIDATION_SIDE} or more each way"
        )
    top, left = ((side - VALIDATION_SIDE) // 2 for side in image.shape[:2])
    return image[top : top + VALIDATION_SIDE, left : left + VALIDATION_SIDE]


def in_full(network: nn.Module, *inputs: Tensor | int) -> Tensor:
    """A network's output, in full precision unless the caller chose another."""
    return network(
        *(x.to(device(), memory_format=torch.channels_last) if isinstance(x, Tensor) else x for x in inputs)
    )


def restore(network: nn.Module, *inputs: Tensor | int) -> Tensor:
    """A network's output, computed in bfloat16 where that is enough and fast: in training."""
    with bfloat16():
        return in_full(network, *inputs)


class Denoising(Restoration):
    """White Gaussian noise of up to LARGEST_SIGMA (of 255), clipped to bytes in half of the pictures.

    Half of the coloured pictures have stronger colours than photographs, as drawings and prints do.
    """

    def __init__(
        self, images: Sequence[Pixels], held_out: Sequence[Pixels], batch: int = 16, side: int = 128
    ) -> None:
        super().__init__(images, held_out, batch, side)
        self.network = denoiser().to(device())

    def noisy(self, shares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy images (B, 3, H, W), sigma (B, 1, 1, 1) as shares (B,) of the largest, and clean images."""
        images, sigma = self.clean(), LARGEST_SHARE * shares[:, None, None, None]
        vivid = images[: self.batch // 4]
        strength = 1 + (STRONGEST_COLOURS - 1) * torch.rand(len(vivid))
        images[: len(vivid)] = with_stronger_colours(vivid, strength)
        noisy = add_noise(images, sigma, self.batch // 2)
        noisy[::2] = (noisy[::2] * 255).round().clamp(0, 255) / 255
        return noisy, sigma, images

    def loss(self, progress: float) -> Tensor:
        noisy, sigma, images = self.noisy(torch.rand(self.batch))
        return -mean_psnr(restore(self.network, noisy, sigma.expand_as(images[:, :1])), images)

    def validate(self, network: nn.Module) -> list[dict[str, float]]:
        points = []
        for deviation in (15, 25, 50) if len(self.held_out) else ():
            sigma = torch.full((len(self.held_out), 1, 1, 1), deviation / 255)
            for colour in (False, True):
                images = self.held_out if colour else gray(self.held_out).expand_as(self.held_out)
                torch.manual_seed(deviation)
                noisy = add_noise(images, sigma, len(images) if colour else 0)
                restored = in_full(network, noisy, sigma.expand_as(images[:, :1])).clamp(0, 1)
                points.append(
                    {"sigma": deviation, "colour": colour, "psnr": float(mean_psnr(restored, images, 0))}
                )
        return points


def with_stronger_colours(images: Tensor, strength: Tensor) -> Tensor:
    """Images (B, 3, H, W) with colours `strength` (B,) times as strong, clipped to [0, 1]."""
    luma = gray(images)
    return (luma + strength[:, None, None, None] * (images - luma)).clamp(0, 1)


def add_noise(images: Tensor, sigma: Tensor, coloured: int) -> Tensor:
    """Images (B, 3, H, W) and noise of standard deviation sigma (B, 1, 1, 1), the same for all three channels
    after the first `coloured`."""
    noise = torch.randn_like(images)
    noise[coloured:] = noise[coloured:, :1]
    return images + sigma * noise


class Enhancement(Restoration):
    """Artefacts of JPEG at any quality and subsampling, and of aecodec."""

    def __init__(
        self,
        images: Sequence[Pixels],
        held_out: Sequence[Pixels],
        batch: int = 16,
        side: int = 64,
        with_our_codec: bool = True,
    ) -> None:
        chosen = evenly_spaced(images, CODED_IMAGES) if with_our_codec else []
        self.coded = [np.concatenate([image, coded(image, number)], 2) for number, image in enumerate(chosen)]
        super().__init__(images, held_out, batch, side)
        self.network = enhancer().to(device())

    def seed(self, number: int) -> None:
        super().seed(number)
        self.pairs = Crops(self.coded, self.side, number + 1) if self.coded else None

    def loss(self, progress: float) -> Tensor:
        """Of a batch a quarter are gray JPEGs, half of it (or less) ours, the rest colour JPEGs."""
        images = self.clean().roll(self.batch // 2, 0)
        damaged = torch.stack([self.jpeg(image) for image in images])
        if self.pairs:
            pairs = self.pairs.batch(self.batch // 2, self.side)
            images[-len(pairs) :], damaged[-len(pairs) :] = pairs[:, :3], pairs[:, 3:]
        return -mean_psnr(restore(self.network, damaged), images)

    def jpeg(self, image: Tensor) -> Tensor:
        quality = int(self.random.integers(*JPEG_QUALITIES, endpoint=True))
        return through_jpeg(image, quality, ("4:2:0", "4:4:4")[self.random.integers(2)])

    def validate(self, network: nn.Module) -> list[dict[str, float]]:
        points = []
        for quality in (10, 20, 40, 80) if len(self.held_out) else ():
            for colour in (False, True):
                images = self.held_out if colour else gray(self.held_out).expand_as(self.held_out)
                damaged = torch.stack([through_jpeg(image, quality, "4:2:0") for image in images])
                before = float(mean_psnr(damaged, images, 0))
                restored = float(mean_psnr(in_full(network, damaged).clamp(0, 1), images, 0))
                points.append({"quality": quality, "colour": colour, "before": before, "psnr": restored})
        return points


def through_jpeg(image: Tensor, quality: int, subsampling: str) -> Tensor:
    """An image (3, H, W) in [0, 1] as JPEG makes it, a gray one as a gray JPEG."""
    pixels = (image * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    is_gray = bool((pixels == pixels[:, :, :1]).all())
    file = io.BytesIO()
    source = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if is_gray else pixels))
    source.save(file, "JPEG", quality=quality, **({} if is_gray else {"subsampling": subsampling}))
    decoded = np.asarray(Image.open(file).convert("RGB"))
    return torch.from_numpy(decoded.copy()).permute(2, 0, 1).float() / 255


def coded(image: Pixels, number: int) -> Pixels:
    """An image after coding by aecodec, at a quality that follows from `number`."""
    low, high = CODED_QUALITIES
    quality = low + (high - low) * (number * 0.618034 % 1)  # the golden ratio spreads any count evenly
    return np.asarray(decompress(compress(image, quality, effort=0)).convert("RGB"))


class SuperResolution(Restoration):
    """Luma, made smaller by bicubic interpolation, by each of `scales`."""

    def __init__(
        self,
        images: Sequence[Pixels],
        held_out: Sequence[Pixels],
        batch: int = 16,
        side: int = 96,
        scales: tuple[int, ...] = SCALES,
    ) -> None:
        super().__init__(images, held_out, batch, side, grays=False)
        self.scales = scales
        self.network = self.make_network().to(device())

    def configuration(self) -> dict[str, Any]:
        return {**super().configuration(), "scales": self.scales}

    def make_network(self) -> nn.Module:
        return SubPixel()

    def inputs(self, luma: Tensor, scale: int) -> tuple[Tensor | int, ...]:
        """The inputs from which the network restores this luma."""
        return *downscale(luma, scale), scale

    def loss(self, progress: float) -> Tensor:
        luma, scale = gray(self.clean()), int(self.random.choice(self.scales))
        return -mean_psnr(restore(self.network, *self.inputs(luma, scale)), luma, 3e-5)

    def validate(self, network: nn.Module) -> list[dict[str, float]]:
        points = []
        for scale in self.scales if len(self.held_out) else ():
            luma = gray(self.held_out)
            before = float(mean_psnr(downscale(luma, scale)[1], luma, 0))
            restored = float(mean_psnr(in_full(network, *self.inputs(luma, scale)).clamp(0, 1), luma, 0))
            points.append({"scale": scale, "before": before, "psnr": restored})
        return points


class SRCNNTask(SuperResolution):
    """SRCNN for one scale."""

    def __init__(
        self,
        images: Sequence[Pixels],
        held_out: Sequence[Pixels],
        scale: int,
        batch: int = 16,
        side: int = 48,
    ) -> None:
        super().__init__(images, held_out, batch, side, (scale,))

    def make_network(self) -> nn.Module:
        return SRCNN()

    def inputs(self, luma: Tensor, scale: int) -> tuple[Tensor | int, ...]:
        return downscale(luma, scale)[1:]


def downscale(luma: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """Luma (B, 1, H, W) made smaller, in bytes' steps, and enlarged again, both by bicubic interpolation."""
    size = luma.shape[2] // scale, luma.shape[3] // scale
    small = F.interpolate(luma, size, mode="bicubic", antialias=True)
    small = (small * 255).round().clamp(0, 255) / 255
    return small, F.interpolate(small, luma.shape[2:], mode="bicubic", antialias=True)


def make_task(name: str, data: list[Path], validation: list[Path], batch: int = 16) -> Restoration:
    """The task of a stage's network: denoise, enhance, upscale, or srcnn2, srcnn3, srcnn4."""
    images, held_out = Photographs(data), Photographs(validation) if validation else []
    if name.startswith("srcnn"):
        return SRCNNTask(images, held_out, int(name[-1]), batch)
    task_classes: dict[str, type[Denoising | Enhancement | SuperResolution]] = {
        "denoise": Denoising,
        "enhance": Enhancement,
        "upscale": SuperResolution,
    }
    return task_classes[name](images, held_out, batch)
