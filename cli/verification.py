"""Reads a file of ours back from the disk and decodes it, which --verify asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aecodec.cli.files import read_bytes

if TYPE_CHECKING:
    from aecodec import Encoded


def verify(path: Path, encoded: Encoded) -> None:
    """Raises AecodecError unless a file holds what was encoded, and decodes to what the encoder meant.

    Checksum and symbols are compared, and of what is kept exactly, alpha and lossless pixels, the samples.
    """
    from aecodec import AecodecError
    from aecodec.container import ANY_SIZE, parse
    from aecodec.decoder.decoding import decode_picture
    from aecodec.model.tiling import cell_grid
    from aecodec.picture.alpha import blacken_hidden

    if (written := read_bytes(path)) != encoded.data:
        raise AecodecError(
            f"{len(written)} bytes read back are not the {len(encoded)} that were written: "
            "check the disk, and write again"
        )
    container, source, same = parse(written, ANY_SIZE), encoded.source, True
    if container.learned and encoded.latents:
        header, size = container.learned, cell_grid(*container.coded_size)
        coder, meant = encoded.model.coder, encoded.latents
        read = coder.decode(container.payload, size, header.quality, header.cdf_set)
        same = np.array_equal(read.z, meant.z) and np.array_equal(read.symbols, meant.symbols)
    decoded = decode_picture(container)
    if container.learned is None:
        kept = source if encoded.keeps_hidden else blacken_hidden(source)
        same = same and np.array_equal(decoded.pixels, kept.pixels)
    if source.alpha is not None:
        same = same and np.array_equal(decoded.alpha, source.alpha)  # type: ignore[arg-type]
    if not same:
        raise AecodecError("the file that was written decodes to another picture: please report this one")
