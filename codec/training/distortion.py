"""What a codec may be tuned for: measures of error, and their gradients as graphs can hold them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from aecodec.training.ssimulacra2 import ssimulacra2_distance, ssimulacra2_slope
from aecodec.training.windows import blur, blur_in_graph, gaussian

# Squared error, of samples up to 1, that 1 - MS-SSIM is worth: about what compressai's pairs of lambdas say,
# and what files of `base` exchange, 1000 to 1800 / 255**2 up to quality 65 and 800 above.
DISSIMILARITY_WORTH = 1250 / 255**2
# Squared error that a unit of SSIMULACRA 2's distance is worth: files of `base` exchange 4.1 (quality 0) to
# 6.5 / 255**2 (quality 100).
SSIMULACRA2_WORTH = 5.5 / 255**2
# Of SSIMULACRA 2 and of MS-SSIM in what `visual` is trained for, the rest being squared error. 0.7 and 0.15
# left MS-SSIM level with AVIF, where SSIMULACRA 2 was 6 % ahead and PSNR to spare.
VISUAL_SHARES = (0.55, 0.35)
# The same for the gradient that efforts go by. The curvature of SSIMULACRA 2 differs too much from place to
# place for steps that know one figure of each position: with the shares of training, four steps at quality 75
# took a score from 83 to 41, with (0.2, 0.6) one of three pictures still lost 3 points. With these they save
# 0, 4 and 6 % of bits at an equal score, 3, 5 and 10 % at equal MS-SSIM, at quality 10, 40 and 75.
EFFORT_SHARES = (0.12, 0.5)
LEAK = 0.02  # of what overshoots black or white counts as error

SCALE_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM, the finest scale first
LUMINANCE, CONTRAST = 0.01**2, 0.03**2  # constants of SSIM, of samples up to 1
WINDOW = gaussian()  # of SSIM
LEAST_SIMILARITY = 0.05  # of a scale, as powers have no slope at 0


def clipped(decoded: Tensor) -> Tensor:
    """Decoded images as they are shown, from 0 to 1, with a LEAK of what lies beyond.

    Overshoot costs next to nothing, so white may overshoot and stay white; the leak keeps it from growing.
    """
    shown = decoded.clamp(0, 1)
    return shown + LEAK * (decoded - shown)


def squared_error(decoded: Tensor, images: Tensor) -> Tensor:
    """Mean squared error (B,) of images (B, 3, H, W) in [0, 1]."""
    return (decoded - images).square().mean((1, 2, 3))


def ms_ssim(decoded: Tensor, images: Tensor) -> Tensor:
    """MS-SSIM (B,) of images (B, 3, H, W) in [0, 1], sides above 160, mean over channels.

    Source: Wang et al. 2003; windows lie within the images, as in pytorch-msssim.
    """
    whole = torch.ones_like(images[:, :, 0, 0])
    for scale, power in enumerate(SCALE_POWERS):
        if scale:
            decoded, images = (
                F.avg_pool2d(x, 2, padding=[s % 2 for s in x.shape[2:]]) for x in (decoded, images)
            )
        mean, other = blur(decoded, WINDOW, valid=True), blur(images, WINDOW, valid=True)
        energy = blur(decoded.square() + images.square(), WINDOW, valid=True) - mean.square() - other.square()
        covariance = blur(decoded * images, WINDOW, valid=True) - mean * other
        similarity = (2 * covariance + CONTRAST) / (energy + CONTRAST)
        if scale == len(SCALE_POWERS) - 1:
            similarity = (
                similarity * (2 * mean * other + LUMINANCE) / (mean.square() + other.square() + LUMINANCE)
            )
        whole = whole * similarity.mean((2, 3)).clamp(min=LEAST_SIMILARITY) ** power
    return whole.mean(1)


def visual_error(decoded: Tensor, images: Tensor) -> Tensor:
    """What the eye sees of the error by two measures, and some squared error: (B,), about as large as that.

    Images are (B, 3, H, W), those decoded not clipped. One measure alone would be gamed: SSIMULACRA 2 weighs
    the worst places and knows colour, MS-SSIM is blind to neither scale nor contrast, squared error keeps
    slow drifts of colour away, which both pass over.
    """
    shown = clipped(decoded)
    distances = (
        SSIMULACRA2_WORTH * ssimulacra2_distance(shown, images),
        DISSIMILARITY_WORTH * (1 - ms_ssim(shown, images)),
    )
    seen, structural = VISUAL_SHARES
    return (
        seen * distances[0]
        + structural * distances[1]
        + (1 - seen - structural) * squared_error(shown, images)
    )


def squared_slope(decoded: Tensor, image: Tensor) -> Tensor:
    """The gradient (1, 3, H, W) of the squared error of an image, times its pixels."""
    return (decoded - image) * (2 / 3)


def visual_slope(decoded: Tensor, image: Tensor) -> Tensor:
    """The gradient (1, 3, H, W) of an error that efforts make less of, times its pixels.

    It is made of what the visual error is, in EFFORT_SHARES. MS-SSIM has windows at the borders too, cut off
    there, so sides need only be multiples of 16; a scale on which nothing is alike has a slope too; and the
    worst places count for less, see LARGEST_WEIGHT. Decoded images are clipped: the graph that this is a part
    of does so before.
    """
    seen, structural = EFFORT_SHARES
    slopes = SSIMULACRA2_WORTH * ssimulacra2_slope(decoded, image), dissimilarity_slope(decoded, image)
    squared = (1 - seen - structural) * squared_slope(decoded, image)
    return seen * slopes[0] + structural * slopes[1] + squared


def dissimilarity_slope(decoded: Tensor, image: Tensor) -> Tensor:
    """The gradient (1, 3, H, W) of what an image's MS-SSIM is worth, times its pixels."""
    return -DISSIMILARITY_WORTH * similarity_and_slope(decoded, image)[1]


def similarity_and_slope(decoded: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """MS-SSIM of an image (1, 3, H, W), by channel (3,), and the gradient of their mean times its pixels."""
    decoded, image = decoded.transpose(0, 1), image.transpose(0, 1)  # channels alike, so as a batch
    means, slopes = [], []
    for scale, power in enumerate(SCALE_POWERS):
        if scale:
            decoded, image = F.avg_pool2d(decoded, 2), F.avg_pool2d(image, 2)
        last = scale == len(SCALE_POWERS) - 1
        similarity, slope = windows_and_slope(decoded, image, luminance=last)
        mean = similarity.mean((1, 2, 3), keepdim=True).clamp(min=LEAST_SIMILARITY)
        means.append(mean**power)
        slopes.append(slope * power / mean)
    whole = reduce(torch.mul, means)
    # a sample of one scale is the mean of four of the scale before, of which there are four times as many
    slope = reduce(lambda coarse, fine: fine + F.interpolate(coarse, scale_factor=2.0), reversed(slopes))
    return whole.flatten(), (slope * whole / 3).transpose(0, 1)


def windows_and_slope(decoded: Tensor, image: Tensor, luminance: bool) -> tuple[Tensor, Tensor]:
    """SSIM around each sample of planes (C, 1, H, W), with its factor of luminance or without.

    And the gradient of its sum with respect to the decoded planes.
    """
    within = blur_in_graph(torch.ones_like(image[:1]), WINDOW)  # share of each window that is not cut off

    def local(planes: Tensor) -> Tensor:
        return blur_in_graph(planes, WINDOW) / within

    def pulled_back(slope: Tensor) -> Tensor:
        return blur_in_graph(slope / within, WINDOW)

    mean, other_mean = local(decoded), local(image)
    covariance = local(decoded * image) - mean * other_mean
    energy = local(decoded.square() + image.square()) - mean.square() - other_mean.square() + CONTRAST
    structure = (2 * covariance + CONTRAST) / energy
    light, of_light = torch.ones_like(mean), torch.zeros_like(mean)
    if luminance:
        both = mean.square() + other_mean.square() + LUMINANCE
        light = (2 * mean * other_mean + LUMINANCE) / both
        of_light = 2 * (other_mean - light * mean) / both
    of_covariance, of_energy = 2 * light / energy, -light * structure / energy
    of_mean = of_light * structure - of_covariance * other_mean - 2 * of_energy * mean
    slope = pulled_back(of_mean) + image * pulled_back(of_covariance)
    return light * structure, slope + 2 * decoded * pulled_back(of_energy)


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a codec is tuned for: the error (B,) of decoded images, its slope, and sides of crops to train on.

    The slope is the gradient (1, 3, H, W), with respect to the decoded image, of its error times its pixels.
    Crops have the first side, and later the second.
    """

    error: Callable[[Tensor, Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    sides: tuple[int, int]


TUNINGS = {
    "psnr": Tuning(squared_error, squared_slope, (128, 256)),
    "visual": Tuning(visual_error, visual_slope, (256, 256)),
}
