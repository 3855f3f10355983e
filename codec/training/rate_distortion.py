"""The training task of the codec: few bits and little error, at every quality at once.

aecodec train codec --data PHOTOS --out RUN --hours 8

The measure of error is that of a tuning, see `aecodec.training.distortion`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pytorch_optimizer import SOAP
from torch import Tensor, nn

from aecodec.errors import AecodecError
from aecodec.training.data import Crops, Photographs, Pixels, digest_of, to_tensor
from aecodec.training.distortion import TUNINGS, Tuning, squared_error
from aecodec.training.distributed import bfloat16, device, shared
from aecodec.training.layers import Pointwise, lagrangian
from aecodec.training.networks import Codec, ForwardResult
from aecodec.training.transforms import CodecConfig, PrincipalComponents, config_of, to_patches

# More qualities and images tell more of a run, and take longer at each checkpoint.
VALIDATION_QUALITIES = (0.0, 25.0, 50.0, 75.0, 100.0)
VALIDATION_IMAGES = 8
# Power of lambda by which each image's loss is divided. Without, high qualities would decide alone. 0.15 was
# worse: -32.2 % against -32.6 % (docs/experiments.md, optimiser and loss).
WEIGHTING = 0.4
# Share of the budget after which crops have the second side, and are half as many: small crops give more
# steps, large ones more context.
LARGER_FROM = 0.4
# Share of the learning rate for the linear path and the scale map, whose errors the gains multiply. More of
# it makes training unsteady, less makes them learn slower.
LINEAR_SHARE = 0.05
BASES_EVERY = 40  # steps between new bases of the optimiser: more often follows better, and takes longer
BETAS = (0.95, 0.99)  # decay of the optimiser's moments; its bases have that of the second: batches are small
LONGEST_BASIS = 512  # sides of matrices that are longer have no basis; a step takes a third of the time so


def principal_components(images: Sequence[Pixels], seed: int) -> PrincipalComponents:
    """The Karhunen-Loeve transform of some 65 000 patches of the training images."""
    crops = Crops(images, 128, seed)
    patches = [to_patches(crops.batch(64, 128) - 0.5).permute(0, 2, 3, 1).reshape(-1, 768) for _ in range(16)]
    x = torch.cat(patches).double()
    energy, vectors = torch.linalg.eigh(torch.cov(x.T))
    spread = energy.flip(0).clamp(min=1e-9).sqrt()
    return PrincipalComponents(x.mean(0).float(), vectors.flip(1).T.float(), spread.float())


def rate_distortion_loss(result: ForwardResult, error: Tensor, quality: Tensor, pixels: int) -> Tensor:
    """Mean over the batch of (bpp + lambda * 255**2 * error) / lambda**WEIGHTING."""
    bpp = (result.y_bits + result.z_bits) / pixels
    weight = lagrangian(quality)
    return ((bpp + weight * 255**2 * error) / weight**WEIGHTING).mean()


def stratified_qualities(count: int) -> Tensor:
    """Random qualities (count,), one out of each of `count` equal parts of 0 to 100."""
    return (torch.arange(count) + torch.rand(count)) * (100 / count)


class RateDistortion:
    """The task of the codec: `images` to train on, `held_out` to validate on, `batch` crops a step.

    Its network has the configuration `config`. Pictures smaller than a crop are left out; AecodecError is
    raised if none remains. `compiled` fuses the network's operations, which needs a C++ compiler and minutes
    for each size of crops.
    """

    def __init__(
        self,
        images: Sequence[Pixels],
        held_out: Sequence[Pixels],
        batch: int,
        tuning: Tuning = TUNINGS["psnr"],
        compiled: bool = False,
        config: CodecConfig | None = None,
    ) -> None:
        smallest = min(tuning.sides)
        self.held_out = [image for image in held_out if min(image.shape[:2]) >= smallest][:VALIDATION_IMAGES]
        if held_out and not self.held_out:
            raise AecodecError(
                f"no picture to validate on is at least {smallest} pixels wide and high: add one"
            )
        self.images, self.batch, self.tuning = images, batch, tuning
        self.seed(0)
        self.network = Codec(config, principal_components(images, 0)).to(device())
        self.forward = torch.compile(self.network, dynamic=False) if compiled else self.network

    @classmethod
    def of(
        cls,
        data: list[Path],
        validation: list[Path],
        batch: int,
        tune: str,
        compiled: bool,
        like: Mapping[str, Tensor] | None = None,
    ) -> RateDistortion:
        """The task on the pictures of folders, archives and files; `tune` is one of TUNINGS.

        Its network has the configuration of the weights `like`, or without them that of `base`.
        """
        held_out = Photographs(validation) if validation else []
        config = config_of(like) if like else None
        return cls(Photographs(data), held_out, batch, TUNINGS[tune], compiled, config)

    def configuration(self) -> dict[str, Any]:
        """See `aecodec.training.loop.Task`."""
        return {
            "network": asdict(self.network.config),
            "error": self.tuning.error.__name__,
            "sides": self.tuning.sides,
            "batch": self.batch,
            "data": digest_of(self.images),
            "validation": digest_of(self.held_out),
        }

    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        """SOAP, with a smaller rate for the linear path and the scale map.

        Source: Vyas et al. 2024 (arXiv 2409.11321).
        """
        linear = [self.network.scale_map.weight]
        linear += [m.weight for m in self.network.modules() if isinstance(m, Pointwise) and m.linear]
        linear_ids = {id(p) for p in linear}
        rest = [p for p in self.network.parameters() if id(p) not in linear_ids]
        groups = [{"params": rest}, {"params": linear, "lr": LINEAR_SHARE * rate}]
        return shared(
            SOAP,
            groups,
            lr=rate,
            betas=BETAS,
            weight_decay=0,
            precondition_frequency=BASES_EVERY,
            max_precondition_dim=LONGEST_BASIS,
        )

    def seed(self, number: int) -> None:
        self.crops = Crops(self.images, max(self.tuning.sides), number)

    def loss(self, progress: float) -> Tensor:
        first, second = self.tuning.sides
        side = second if progress >= LARGER_FROM else first
        return self.loss_of(self.crops.batch(self.batch // (2 if side > first else 1), side).to(device()))

    def loss_of(self, images: Tensor) -> Tensor:
        """The loss of images (B, 3, H, W), each at another quality."""
        quality = stratified_qualities(len(images)).to(images.device)
        images = images.contiguous(memory_format=torch.channels_last)
        with bfloat16():
            result = self.forward(images, quality)
        error = self.tuning.error(result.images.float(), images)
        return rate_distortion_loss(result, error, quality, images.shape[2] * images.shape[3])

    def validate(self, network: nn.Module) -> list[dict[str, float]]:
        """Mean estimated bpp, PSNR and error of whole images at each of VALIDATION_QUALITIES."""
        points = []
        for quality in VALIDATION_QUALITIES if self.held_out else ():
            bpps, psnrs, errors = [], [], []
            for image in self.held_out:
                height, width = (side // 32 * 32 for side in image.shape[:2])
                x = to_tensor(image[None, :height, :width]).to(device())
                result = network(x, torch.tensor([quality], device=x.device))
                decoded = result.images.clamp(0, 1)
                bpps.append(float((result.y_bits + result.z_bits).sum()) / (height * width))
                psnrs.append(float(-10 * squared_error(decoded, x).log10()))
                errors.append(float(self.tuning.error(decoded, x)))
            figures = {"bpp": bpps, "psnr": psnrs, "error": errors}
            points.append({"quality": quality, **{name: sum(v) / len(v) for name, v in figures.items()}})
        return points
