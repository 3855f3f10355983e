"""Layers of the networks: gains per quality, matrices at every position, residual blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Vector-Jacobian product: the gradient with respect to an output -> that with respect to the input.
Vjp = Callable[[Tensor], Tensor]

# Qualities, evenly spaced from 0 to 100, at which gains are learned; linear in between. Between two of them
# lambda grows 2.3 times. More of them would each see fewer pictures in training.
ANCHORS = 9
# Lambda of loss = bpp + lambda * 255**2 * MSE at quality 0 and 100. A wider range offers more rates, and
# spreads training over more of them.
LAMBDA_RANGE = (0.0007, 0.5)


def anchor_weights(quality: Tensor) -> Tensor:
    """Weights (B, ANCHORS) that interpolate the tables linearly at `quality` (B,), 0 to 100."""
    position = quality[:, None] * ((ANCHORS - 1) / 100)
    anchors = torch.arange(ANCHORS, dtype=quality.dtype, device=quality.device)
    return (1 - (position - anchors).abs()).clamp(min=0)


def lagrangian(quality: Tensor) -> Tensor:
    """The lambda of each quality (B,), spaced geometrically over LAMBDA_RANGE."""
    low, high = LAMBDA_RANGE
    return low * (high / low) ** (quality / 100)


class QualityGain(nn.Module):
    """A vector per anchor quality, interpolated for each image: (B, ANCHORS) -> (B, C, 1, 1).

    It is computed in full precision, since gains and their inverses must match to far less than a
    quantisation step. Source: Cui et al. 2021 (Gained VAE).
    """

    def __init__(self, initial: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(initial.clone())  # (ANCHORS, C)

    def forward(self, weights: Tensor) -> Tensor:
        with torch.autocast(weights.device.type, enabled=False):
            return (weights @ self.rows)[:, :, None, None]


def scaled(x: Tensor, gain: Tensor | None = None) -> Tensor:
    """x (B, C, H, W) times gains (B, C, 1, 1), if there are any: the input of the first residual block.

    In an exported graph, of one picture, it is a depthwise convolution even without gains. Engines keep
    channels in blocks between convolutions, and only there can they fuse the addition of a residual with a
    convolution.
    """
    if torch.onnx.is_in_onnx_export():
        kernel = torch.ones(len(x[0]), 1, 1, 1) if gain is None else gain.transpose(0, 1)
        return F.conv2d(x, kernel, groups=len(kernel))
    return x if gain is None else x * gain


class Pointwise(nn.Module):
    """A matrix applied at every position: a 1x1 convolution whose weight is two-dimensional.

    `linear` marks the linear path from pixels to latents and back, which needs full precision.
    """

    def __init__(self, inputs: int, outputs: int, zero: bool = False, linear: bool = False) -> None:
        super().__init__()
        self.linear = linear
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        if not zero:
            nn.init.normal_(self.weight, std=inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        if not self.linear and torch.is_autocast_enabled(x.device.type):
            # on a CPU in bfloat16 a matrix product is 1.5 to 2.5 times faster than the convolution
            rows = x.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
            return F.linear(rows, self.weight, self.bias).permute(0, 3, 1, 2)
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x.float(), self.weight[:, :, None, None], self.bias)

    def of_scaled(self, x: Tensor, gain: Tensor, beside: Tensor | None = None) -> Tensor:
        """The matrix applied to x (B, C, H, W) times gains (B, C, 1, 1), joined with the channels `beside`.

        In an exported graph, of one picture, the matrix is multiplied by the gains instead.
        """
        if torch.onnx.is_in_onnx_export():
            if beside is not None:
                ones = torch.ones(1, len(beside[0]), 1, 1)
                x, gain = torch.cat([x, beside], 1), torch.cat([gain, ones], 1)
            return F.conv2d(x, self.weight[:, :, None, None] * gain, self.bias)
        return self(x * gain if beside is None else torch.cat([x * gain, beside], 1))

    def vjp(self, gradient: Tensor) -> Tensor:
        """The transposed matrix at every position."""
        return F.conv2d(gradient, self.weight.T[:, :, None, None])


def hardswish_derivative(x: Tensor) -> Tensor:
    """The derivative of hardswish, clamped to 0 to 1: two operations of a graph in place of six."""
    return F.hardsigmoid(2 * x)


class ResidualBlock(nn.Module):
    """Residual block (B, C, H, W) -> same: depthwise 3x3, gain and shift per quality, two 1x1, gain.

    `spread` and `correction` (ANCHORS, C) are where the gains start: the standard deviation of each channel,
    and of what the branch is expected to add to it. Without them channels of large values dominate the
    others. Between the two matrices there are `hidden` channels, by default twice as many as outside.
    """

    def __init__(self, spread: Tensor, correction: Tensor, hidden: int | None = None) -> None:
        super().__init__()
        channels = spread.shape[1]
        hidden = hidden or 2 * channels
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        nn.init.normal_(self.spatial.weight, std=0.05)
        with torch.no_grad():
            self.spatial.weight[:, 0, 1, 1] += 1
        self.log_gain_in = QualityGain(-spread.log())
        self.shift = QualityGain(torch.zeros_like(spread))
        self.expand = Pointwise(channels, hidden)
        self.project = Pointwise(hidden, channels, zero=True)
        self.log_gain_out = QualityGain(correction.log())

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        return self.with_vjp(x, weights)[0]

    def with_vjp(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Vjp]:
        """The output and its approximate vector-Jacobian product, in operations of an exported graph."""
        gain_in, gain_out = self.log_gain_in(weights).exp(), self.log_gain_out(weights).exp()
        hidden = self.expand(self.spatial(x) * gain_in + self.shift(weights))

        def vjp(gradient: Tensor) -> Tensor:
            inner = self.project.vjp(gradient * gain_out) * hardswish_derivative(hidden)
            inner = self.expand.vjp(inner) * gain_in
            kernel = self.spatial.weight.flip(2, 3)
            return gradient + F.conv2d(inner, kernel, padding=1, groups=len(kernel))

        return x + self.project(F.hardswish(hidden)) * gain_out, vjp


class ResidualBlocks(nn.ModuleList):
    """Residual blocks, one after the other."""

    def __init__(self, count: int, spread: Tensor, correction: Tensor, hidden: int | None = None) -> None:
        super().__init__(ResidualBlock(spread, correction, hidden) for _ in range(count))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        return self.with_vjp(x, weights)[0]

    def with_vjp(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Vjp]:
        """The output and the approximate vector-Jacobian product of all blocks."""
        vjps = []
        for block in self:
            x, vjp = block.with_vjp(x, weights)
            vjps.append(vjp)
        return x, lambda gradient: reduce(lambda g, vjp: vjp(g), reversed(vjps), gradient)
