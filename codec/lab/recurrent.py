"""Recurrent autoencoders: rows of a picture, or pieces of a series, one after the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aecodec.lab.autoencoder import Autoencoder

PIECE = 8  # values of a series that are one step


class Recurrent(Autoencoder):
    """A GRU reads the rows; its last state gives the latents, which a second GRU sees at each row."""

    def __init__(self, shape: tuple[int, int], latents: int, width: int) -> None:
        super().__init__(shape, latents)
        values = shape[0] * shape[1]
        self.size = shape[1] if shape[0] > 1 else min(PIECE, values)
        self.steps = -(-values // self.size)
        self.reader = nn.GRU(self.size, width, batch_first=True)
        self.squeeze = nn.Linear(width, latents)
        self.writer = nn.GRU(self.inputs(), width, batch_first=True)
        self.widen, self.output = nn.Linear(latents, width), nn.Linear(width, self.size)

    def inputs(self) -> int:
        """Values that the writer sees at each row."""
        return self.latents

    def rows(self, x: Tensor) -> Tensor:
        """Samples (B, 1, H, W) as steps (B, T, values of a step)."""
        flat = nn.functional.pad(x.flatten(1), (0, self.steps * self.size - self.values))
        return flat.unflatten(1, (self.steps, self.size))

    def samples(self, rows: Tensor) -> Tensor:
        """Steps (B, T, values of a step) as samples (B, 1, H, W)."""
        return rows.flatten(1)[:, : self.values].unflatten(1, (1, *self.shape))

    def analysis(self, x: Tensor) -> Tensor:
        return self.squeeze(self.reader(self.rows(x))[1][0])

    def synthesis(self, y: Tensor) -> Tensor:
        repeated = y[:, None].expand(-1, self.steps, -1)
        return self.samples(
            self.output(self.writer(repeated, torch.tanh(self.widen(y))[None].contiguous())[0])
        )


class SequenceToSequence(Recurrent):
    """The writer sees the row it wrote before (Sutskever et al. 2014); its first state has the latents."""

    def inputs(self) -> int:
        return self.size

    def synthesis(self, y: Tensor) -> Tensor:
        state = torch.tanh(self.widen(y))[None].contiguous()
        row, rows = y.new_zeros(len(y), 1, self.size), []
        for _ in range(self.steps):
            out, state = self.writer(row, state)
            row = self.output(out)
            rows.append(row)
        return self.samples(torch.cat(rows, 1))
