"""Photographs for training: what is read of folders and archives, and what is refused with a line."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of torchvision, which compressai imports
    from aecodec.training.data import Photographs
    from aecodec.training.loop import read_checkpoint
    from aecodec.training.record import check_resumable

import aecodec
from aecodec import AecodecError, ImageError
from aecodec.signatures import READABLE_SUFFIXES
from tests.test_cli import refusal, run_command

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and compressai warn of themselves
SMALL = np.asarray(data.astronaut())[:40, :60]


def file_of(pixels: object, suffix: str = "png", **options: object) -> bytes:
    """A picture file of pixels or of an image."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    file = io.BytesIO()
    image.save(file, suffix, **options)
    return file.getvalue()


def test_deeper_samples_are_rounded(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(file_of(SMALL[:, :, 0].astype(np.uint16) * 257))
    np.testing.assert_array_equal(Photographs([tmp_path])[0], SMALL[:, :, [0, 0, 0]])


def test_pixels_are_those_that_the_codec_gets(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "turned.png").write_bytes(file_of(SMALL, exif=exif))
    alpha = np.full((40, 60, 1), 255, np.uint8)
    alpha[:20] = 0
    (tmp_path / "hidden.png").write_bytes(
        file_of(np.concatenate([SMALL * 0 + 200, alpha], axis=2) * (alpha > 0))
    )
    hidden, turned = Photographs([tmp_path])
    np.testing.assert_array_equal(turned, SMALL[::-1].transpose(1, 0, 2))
    assert (hidden == 200).all()


def test_every_suffix_of_pictures_counts(tmp_path: Path) -> None:
    for number, suffix in enumerate(sorted(READABLE_SUFFIXES)):
        (tmp_path / f"{number}{suffix.upper()}").write_bytes(file_of(SMALL + np.uint8(number)))
    (tmp_path / "notes.txt").write_text("no picture")
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        for path in sorted(tmp_path.glob("[0-9]*")):
            archive.add(path, path.name)
    for source in (tmp_path, tmp_path / "all.tar"):
        assert len(Photographs([source])) == len(READABLE_SUFFIXES)


def animation() -> bytes:
    frames = [Image.fromarray(SMALL + np.uint8(number)) for number in (0, 90)]
    return file_of(frames[0], "gif", save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda: b"text", "not a picture"),
        (lambda: file_of(SMALL, "avif")[:300], "cannot be read"),
        (lambda: file_of(SMALL)[:900], "are missing: convert it first"),
        (lambda: file_of(Image.new("1", (20_000, 20_000))), "20000x20000 is over the limit"),
        (animation, "holds 2 frames: convert it first"),
    ],
)
def test_what_is_no_picture_is_named(content: Callable[[], bytes], says: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content())
    with pytest.raises(ImageError, match=rf"a\.png: .*{says}") as refused:
        Photographs([tmp_path])
    assert "--" not in str(refused.value)  # no option that `train` lacks


@pytest.fixture(scope="module")
def archive() -> bytes:
    """A tar archive of three pictures."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as members:
        for number in range(3):
            member = tarfile.TarInfo(f"{number}.png")
            content = file_of(SMALL + np.uint8(number))
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    return file.getvalue()


PACKED = {"tar": bytes, "tgz": gzip.compress, "tbz": bz2.compress, "txz": lzma.compress}


@pytest.mark.parametrize("suffix", PACKED)
def test_a_cut_archive_is_refused(suffix: str, archive: bytes, tmp_path: Path) -> None:
    path, whole = tmp_path / f"a.{suffix}", PACKED[suffix](archive)
    path.write_bytes(whole)
    assert len(Photographs([path])) == 3
    pictures = len(archive) - tarfile.RECORDSIZE
    for cut in range(1, 20):
        path.write_bytes(whole[: min(len(whole), pictures) * cut // 20])
        with pytest.raises(AecodecError, match=rf"a\.{suffix}"):
            Photographs([path])
    refusal(
        run_command("train", "denoise", "--data", path, "--out", tmp_path / "run", "--steps", 1), 1, "a.t"
    )


def test_an_archive_that_is_cut_or_damaged_between_files_is_refused(archive: bytes, tmp_path: Path) -> None:
    second = archive.index(b"1.png")
    for bad in (archive[:second], archive[: second + 200], archive[:second] + b"?" + archive[second + 1 :]):
        (tmp_path / "a.tar").write_bytes(bad)
        with pytest.raises(AecodecError, match=r"a\.tar is no whole archive.*sound copy"):
            Photographs([tmp_path / "a.tar"])


def test_a_file_that_is_not_there_is_no_damaged_archive(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Photographs([tmp_path / "none.tar"])
    (tmp_path / "a.png").write_bytes(file_of(SMALL))
    sources = ["--data", tmp_path, "--validation", tmp_path / "none", "--out", tmp_path / "run"]
    refusal(run_command("train", "denoise", *sources, "--steps", 1), 2, "none does not exist")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 and no more"])
def test_a_damaged_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    import torch

    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(aecodec.ModelError, match=r"checkpoint\.pt is no sound checkpoint"):
        read_checkpoint(tmp_path / "checkpoint.pt", torch.device("cpu"))


@pytest.mark.parametrize("content", ["", "[1]", "null"])
def test_a_damaged_record_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(AecodecError, match=r"run\.json is no record of a run"):
        check_resumable(tmp_path, {})


@pytest.mark.parametrize(
    "options", [["--seed", -1], ["--seed", 10**23], ["--hours", 0], ["--hours", "nan"], ["--hours", "inf"]]
)
def test_numbers_out_of_range_are_wrong_usage(options: list[object], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(file_of(SMALL))
    budget = [] if "--hours" in options else ["--steps", 1]
    for command in ("codec", "denoise", "srcnn"):
        arguments = ["--data", tmp_path, "--out", tmp_path / "run", *budget, *options]
        refusal(run_command("train", command, *arguments), 2, str(options[0]))
    assert not (tmp_path / "run").exists()
