"""Reads a file of ours back from the disk and decodes it, which --verify asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aecodec.cli.files import read_bytes

if TYPE_CHECKING:
    from aecodec.attempt import Attempt


def verify(path: Path, data: bytes, attempt: Attempt) -> None:
    """Raises AecodecError unless a file holds these bytes and they decode to what the encoder meant.

    Checksum and symbols are compared, and of what is kept exactly, alpha and lossless pixels, the samples.
    """
    from aecodec import AecodecError
    from aecodec.bitstream import ANY_SIZE, parse
    from aecodec.decoding import decode_picture
    from aecodec.pipeline import read_latents

    if (written := read_bytes(path)) != data:
        raise AecodecError(
            f"{len(written)} bytes read back are not the {len(data)} that were written: "
            "check the disk, and write again"
        )
    container, meant = parse(written, ANY_SIZE), attempt.picture
    same = True
    if container.learned and attempt.latest and attempt.latest[0] == container.payload:
        found = read_latents(attempt.model, container.learned, container.payload, container.coded_size)
        known = attempt.latest[1]
        same = np.array_equal(found.z, known.z) and np.array_equal(found.symbols, known.symbols)
    decoded = decode_picture(container)
    if container.learned is None:
        same = same and np.array_equal(decoded.pixels, attempt.candidate.picture.pixels)
    if meant.alpha is not None:
        same = same and np.array_equal(decoded.alpha, meant.alpha)  # type: ignore[arg-type]
    if not same:
        raise AecodecError("the file that was written decodes to another picture: please report this one")
