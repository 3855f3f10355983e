"""Reads a new file back from the disk and decodes it, for --verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aecodec.cli.files import read_bytes

if TYPE_CHECKING:
    from aecodec import Encoded


def verify(path: Path, encoded: Encoded) -> None:
    """Raise AecodecError unless a file holds the encoded bytes and decodes to what the encoder meant.

    Bytes and symbols are compared, and the samples of alpha and of lossless pixels, which are kept exactly.
    """
    from aecodec import AecodecError
    from aecodec.container import ANY_SIZE, parse
    from aecodec.decoder.decoding import decode_picture
    from aecodec.model.tiling import cell_grid
    from aecodec.picture.alpha import blacken_hidden

    if (written := read_bytes(path)) != encoded.data:
        raise AecodecError(
            f"{len(written)} bytes read back are not the {len(encoded.data)} that were written: "
            "check the disk, and write again"
        )
    container, source, matches = parse(written, ANY_SIZE), encoded.source, True
    if container.learned and encoded.latents:
        header, size = container.learned, cell_grid(*container.coded_size)
        coder, expected = encoded.model.coder, encoded.latents
        read = coder.decode(container.payload, size, header.quality, header.cdf_set)
        matches = np.array_equal(read.z, expected.z) and np.array_equal(read.symbols, expected.symbols)
    decoded = decode_picture(container)
    if container.learned is None:
        kept = source if encoded.keeps_hidden else blacken_hidden(source)
        matches = matches and np.array_equal(decoded.pixels, kept.pixels)
    if source.alpha is not None:
        matches = matches and np.array_equal(decoded.alpha, source.alpha)  # type: ignore[arg-type]
    if not matches:
        raise AecodecError("the file that was written decodes to another picture: please report this one")
