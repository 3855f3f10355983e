"""SSIMULACRA 2.1 as a differentiable distance.

The distance is the metric's weighted sum of local differences. The score is a polynomial and a power of it,
whose derivative is infinite at 0, so the score itself cannot be trained for.

Source: Sneyers 2023, SSIMULACRA 2.1 (cloudinary/ssimulacra2, `src/ssimulacra2.cc`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from aecodec.training.ssimulacra2_terms import (
    CONTRAST,
    OPSIN,
    OPSIN_BIAS,
    POLYNOMIAL,
    POWER,
    SCALE,
    SMALLEST_SIDE,
    WEIGHTS,
    WINDOW,
    B,
    Terms,
    X,
    Y,
)
from aecodec.training.windows import blur, blur_in_graph

Blur = Callable[[Tensor, tuple[float, ...]], Tensor]

# Largest weight of a position in the gradient of a 4-norm, where a mean has 1. Without a bound, efforts spend
# bits on the worst positions alone. 4 was chosen among 2, 4 and 8 on crops of validation pictures
# (docs/experiments.md, efforts for the eye).
LARGEST_WEIGHT = 4.0
LEAST_LIGHT = 1e-6  # of a cone; below it the derivative of a cube root is too large
# Added to means of fourth powers, since a fourth root has no finite derivative at 0: 0.004 of a distance in
# all.
FLOOR = 1e-20


def linear_light(srgb: Tensor) -> Tensor:
    """Linear light of sRGB samples, both up to 1; below 0 the line through 0 goes on (IEC 61966-2-1)."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def xyb(linear: Tensor, channels: Sequence[int]) -> Tensor:
    """Some channels of the metric's XYB (B, C, H, W), each about 0 to 1, of linear light (B, 3, H, W)."""
    matrix = linear.new_tensor(OPSIN)[:, :, None, None]
    cones = F.conv2d(linear, matrix) + OPSIN_BIAS
    long, medium, short = (cones.clamp(min=LEAST_LIGHT) ** (1 / 3) - OPSIN_BIAS ** (1 / 3)).split(1, 1)
    y = (long + medium) / 2
    planes = {X: lambda: 14 * (long - medium) / 2 + 0.42, Y: lambda: y + 0.01, B: lambda: short - y + 0.55}
    return torch.cat([planes[channel]() for channel in channels], 1)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of two pictures in XYB under Gaussian windows, planes (B, C, H, W) each."""

    mean: Tensor  # of the decoded picture
    other: Tensor  # mean of the original
    mean_shift: Tensor  # squared difference of the means
    difference: Tensor  # mean of the squared difference
    energy: Tensor  # both variances and CONTRAST

    @classmethod
    def of(cls, decoded: Tensor, original: Tensor, blur: Blur) -> Statistics:
        mean, other = blur(decoded, WINDOW), blur(original, WINDOW)
        squares = blur(decoded.square() + original.square(), WINDOW)
        energy = (squares - mean.square() - other.square()).clamp(min=0) + CONTRAST
        return cls(mean, other, (mean - other).square(), blur((decoded - original).square(), WINDOW), energy)

    @property
    def covariance(self) -> Tensor:
        """Twice the covariance and CONTRAST, without the cancellation of products."""
        return self.energy - self.difference + self.mean_shift


def difference_maps(decoded: Tensor, original: Tensor, statistics: Statistics) -> dict[str, Tensor]:
    """The metric's three maps, (B, C, H, W) each, 0 where nothing differs."""
    structure = (
        statistics.difference - statistics.mean_shift + statistics.mean_shift * statistics.covariance
    ) / statistics.energy
    edges = (1 + (decoded - statistics.mean).abs()) / (1 + (original - statistics.other).abs()) - 1
    return {"ssim": structure.clamp(min=0), "ring": edges.clamp(min=0), "lost": (-edges).clamp(min=0)}


def norm(values: Tensor, power: int) -> Tensor:
    """The mean of planes (B, H, W), or the fourth root of the mean of their fourth powers: (B,)."""
    if power == 1:
        return values.mean((1, 2))
    return (values.square().square().mean((1, 2)) + FLOOR) ** 0.25


def ssimulacra2_distance(decoded: Tensor, original: Tensor) -> Tensor:
    """The weighted sum (B,) of local differences of sRGB images (B, 3, H, W) in about [0, 1]; 0 if equal.

    It is not symmetric: edges that the decoded image adds have other weights than those that it loses.
    """
    light, other = linear_light(decoded), linear_light(original)
    total = decoded.new_zeros(len(decoded))
    for scale, terms in enumerate(WEIGHTS):
        if min(light.shape[2:]) < SMALLEST_SIDE:
            break
        if scale:
            light, other = (F.avg_pool2d(image, 2, ceil_mode=True) for image in (light, other))
        channels = sorted({channel for channel, *_ in terms})
        first, second = xyb(light, channels), xyb(other, channels)
        maps = difference_maps(first, second, Statistics.of(first, second, blur))
        for channel, name, power, weight in terms:
            total = total + weight * norm(maps[name][:, channels.index(channel)], power)
    return total


def ssimulacra2_score(distance: Tensor) -> Tensor:
    """The score of a distance: 100 if equal, 90 where no difference is seen, 30 for low quality."""
    scaled = SCALE * distance
    polynomial = sum(factor * scaled**power for power, factor in enumerate(POLYNOMIAL, start=1))
    return 100 - 10 * torch.as_tensor(polynomial).clamp(min=0) ** POWER


def ssimulacra2_gradient(decoded: Tensor, original: Tensor, largest: float = LARGEST_WEIGHT) -> Tensor:
    """The gradient (1, 3, H, W) of an image's distance times its pixels; sides are multiples of 16.

    It is made of operations that an exported graph can hold. No position weighs more than `largest` in the
    gradient of a 4-norm.
    """
    light, other = linear_light(decoded), linear_light(original)
    gradients = []
    for scale, terms in enumerate(WEIGHTS):
        if scale:
            light, other = F.avg_pool2d(light, 2), F.avg_pool2d(other, 2)
        gradients.append(gradient_of_scale(light, other, terms, largest))
    # a sample of one scale is the mean of four of the scale before, of which there are four times as many
    gradient = reduce(
        lambda coarse, fine: fine + F.interpolate(coarse, scale_factor=2.0), reversed(gradients)
    )
    srgb_derivative = 2.4 / 1.055 * ((decoded.clamp(min=0.04045) + 0.055) / 1.055) ** 1.4
    return gradient * torch.where(decoded <= 0.04045, 1 / 12.92, srgb_derivative)


def gradient_of_scale(light: Tensor, other: Tensor, terms: Terms, largest: float) -> Tensor:
    """The gradient of one scale's terms times its samples, with respect to linear light (1, 3, H, W)."""
    channels = (X, Y, B)
    decoded, original = xyb(light, channels), xyb(other, channels)
    statistics = Statistics.of(decoded, original, blur_in_graph)
    maps = difference_maps(decoded, original, statistics)
    weights = {name: [torch.zeros_like(light[:, :1])] * 3 for name in maps}
    for channel, name, power, weight in terms:
        gradient = norm_gradient(maps[name][:, channel : channel + 1], power, largest)
        weights[name][channel] = weights[name][channel] + weight * gradient
    of_ssim, of_ring, of_lost = (torch.cat(weights[name], 1) for name in ("ssim", "ring", "lost"))
    edges = of_ring * (maps["ring"] > 0) - of_lost * (maps["lost"] > 0)
    edges = edges * (decoded - statistics.mean).sign() / (1 + (original - statistics.other).abs())
    edges = edges - blur_in_graph(edges, WINDOW)
    return opsin_vjp(light, edges + structure_gradient(decoded, original, statistics, maps["ssim"], of_ssim))


def norm_gradient(values: Tensor, power: int, largest: float) -> Tensor:
    """The gradient of `norm` of planes (1, 1, H, W) times their number of samples, at most `largest`."""
    if power == 1:
        return torch.ones_like(values)
    return (values / norm(values[:, 0], power)[:, None, None, None]).clamp(max=largest ** (1 / 3)) ** 3


def structure_gradient(
    decoded: Tensor, original: Tensor, statistics: Statistics, ssim: Tensor, weight: Tensor
) -> Tensor:
    """The gradient of a weighted sum of the map `ssim` with respect to the decoded planes (1, 3, H, W)."""
    share = weight * (ssim > 0) / statistics.energy
    of_energy = share * (statistics.mean_shift - ssim)
    of_mean_shift = share * (statistics.covariance + statistics.mean_shift - 1)
    of_mean = 2 * (of_mean_shift * (statistics.mean - statistics.other) - of_energy * statistics.mean)
    gradient = blur_in_graph(of_mean, WINDOW) + 2 * decoded * blur_in_graph(of_energy, WINDOW)
    return gradient + 2 * (decoded - original) * blur_in_graph(share * (1 - statistics.mean_shift), WINDOW)


def opsin_vjp(light: Tensor, gradient: Tensor) -> Tensor:
    """The gradient with respect to linear light (1, 3, H, W), from that with respect to XYB."""
    of_x, of_y, of_b = gradient.split(1, 1)
    of_sum = (of_y - of_b) / 2
    of_roots = torch.cat([7 * of_x + of_sum, of_sum - 7 * of_x, of_b], 1)
    matrix = light.new_tensor(OPSIN)
    cones = (F.conv2d(light, matrix[:, :, None, None]) + OPSIN_BIAS).clamp(min=LEAST_LIGHT)
    return F.conv2d(of_roots / 3 * cones ** (-2 / 3), matrix.T[:, :, None, None])
