"""Pictures for what has no options of reading: deep ones are rounded, and errors advise no option."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec import AecodecError
from aecodec.container import parse, serialise
from aecodec.plain_reading import REMEDY, read_plainly
from aecodec.uses import anomaly, embedding
from tests.common import photograph

DEEP = photograph(40, 60)[:, :, 0].astype(np.uint16) * 257


def file_of(image: Image.Image, suffix: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, suffix, **options)
    return file.getvalue()


def test_deeper_samples_are_rounded(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(file_of(Image.fromarray(DEEP), "png"))
    for image in (DEEP, tmp_path / "a.png"):
        np.testing.assert_array_equal(read_plainly(image).pixels[:, :, 1], DEEP // 257)


PHOTOGRAPH = Image.fromarray(photograph(40, 60))
ADVISING = {
    "cut": (lambda: file_of(PHOTOGRAPH, "png")[:3000], "tolerant"),
    "animated": (
        lambda: file_of(PHOTOGRAPH, "gif", save_all=True, append_images=[Image.new("L", (60, 40))]),
        "frame",
    ),
    "large": (lambda: file_of(Image.new("1", (20_000, 20_000)), "png"), "max_pixels"),
}


@pytest.mark.parametrize("kind", ADVISING)
def test_errors_advise_no_option(kind: str, tmp_path: Path) -> None:
    make, option = ADVISING[kind]
    path = tmp_path / "--frame of a name.png"
    path.write_bytes(make())
    with pytest.raises(AecodecError, match=rf"\(?{option}.* in Python\)"):
        aecodec.compress(path)
    uses: list[Callable[[Path], object]] = [
        read_plainly,
        embedding.embed,
        lambda path: anomaly.fit([path, path]),
    ]
    for use in uses:
        with pytest.raises(AecodecError) as refused:
            use(path)
        assert str(refused.value).startswith(f"{path}: ")
        assert str(refused.value).endswith(f": {REMEDY}")
        assert "in Python" not in str(refused.value)


def test_errors_of_files_advise_no_option() -> None:
    file = replace(parse(aecodec.compress(photograph(32, 32))), width=1_048_576, height=1024)
    with pytest.raises(AecodecError, match=f"over the limit of [0-9]+ pixels: {REMEDY}"):
        embedding.embed_compressed(serialise(file))


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    with pytest.raises(aecodec.ImageError, match="not a picture that can be read: give PNG"):
        read_plainly(tmp_path / "a.png")
