"""Samples of the lab: what is read of files and folders, and what is refused."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.errors import ImageError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aecodec.lab.data import read_page, read_samples, windows

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and compressai warn of themselves


def idx(pixels: np.ndarray) -> bytes:
    sizes = b"".join(side.to_bytes(4, "big") for side in pixels.shape)
    return bytes([0, 0, 8, pixels.ndim]) + sizes + pixels.astype(np.uint8).tobytes()


def test_samples_are_read_from_idx_npy_csv_and_folders(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 6, 5), dtype=np.uint8)
    digits = np.arange(30) % 3
    (tmp_path / "pictures.gz").write_bytes(gzip.compress(idx(pixels)))
    (tmp_path / "labels").write_bytes(idx(digits))
    np.save(tmp_path / "pictures.npy", pixels)
    (tmp_path / "folder" / "a").mkdir(parents=True)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / "folder" / "a" / f"{number:02d}.png")
    lines = ["x,y,kind"] + [f"{number},{number % 7},k{number % 2}" for number in range(30)]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    for name in ("pictures.gz", "pictures.npy"):
        samples = read_samples(tmp_path / name, str(tmp_path / "labels"))
        np.testing.assert_allclose(samples.values, pixels / 255, atol=1e-6)
        assert samples.labels is not None
        assert samples.labels.tolist() == [str(digit) for digit in digits]
    assert read_samples(tmp_path / "folder", side=8).values.shape == (30, 8, 8)
    for column in ("kind", "3"):
        rows = read_samples(tmp_path / "rows.csv", column)
        assert rows.values.shape == (30, 1, 2)
        assert rows.labels is not None
        assert rows.labels[:2].tolist() == ["k0", "k1"]
    assert windows(np.arange(10, dtype=np.float32), 4, 3)[:, 0, 0].tolist() == [0, 3, 6]


GOOD_ROW = "1,2,3"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("few.csv", "\n".join([GOOD_ROW] * 3), "has 3 samples"),
        ("empty.csv", "", "is empty"),
        ("short.csv", "\n".join([GOOD_ROW] * 25 + ["1,2"]), "row 26 has 2 values, not 3"),
        ("word.csv", "\n".join([GOOD_ROW] * 25 + ["1,two,3"]), "row 26 holds 'two'"),
        ("nan.csv", "\n".join([GOOD_ROW] * 25 + ["1,nan,3"]), "no finite number"),
        ("same.csv", "\n".join([GOOD_ROW] * 25), "all samples are equal"),
        ("binary.csv", "\xff\x00\x01", "no rows of numbers"),
        ("no.idx", "this is text", "is no idx file"),
        ("no.npy", "this is text", "is no sound .npy file"),
    ],
)
def test_bad_samples_are_refused(name: str, content: str, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(ImageError, match=says):
        read_samples(tmp_path / name)


def test_bad_arrays_labels_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="has no pictures"):
        read_samples(tmp_path)
    np.save(tmp_path / "deep.npy", np.zeros((30, 2, 2, 2)))
    with pytest.raises(ImageError, match="of shape"):
        read_samples(tmp_path / "deep.npy")
    np.save(tmp_path / "high.npy", np.full((30, 2, 2), 7.0))
    with pytest.raises(ImageError, match=r"outside \[0, 1\]"):
        read_samples(tmp_path / "high.npy")
    np.save(tmp_path / "good.npy", np.random.default_rng(0).random((30, 4, 4)))
    (tmp_path / "labels.txt").write_text("a b c")
    with pytest.raises(ImageError, match="for 30 samples"):
        read_samples(tmp_path / "good.npy", str(tmp_path / "labels.txt"))
    (tmp_path / "rows.csv").write_text("a,b\n" + "1,2\n3,4\n" * 20)
    with pytest.raises(ImageError, match="has no column 'c'"):
        read_samples(tmp_path / "rows.csv", "c")


def table(path: Path, first: str | None, numbers: np.ndarray, labels: list[str]) -> Path:
    lines = [
        ",".join([*map(repr, map(float, row)), label]) for row, label in zip(numbers, labels, strict=True)
    ]
    path.write_text("\n".join([first, *lines] if first is not None else lines))
    return path


NUMBERS = np.round(np.random.default_rng(0).normal(size=(30, 3)), 3)
WORDS, DIGITS = ["good", "odd"] * 15, ["1", "0"] * 15


@pytest.mark.parametrize(
    ("first", "labels", "label", "named"),
    [
        (None, WORDS, "4", False),
        (None, DIGITS, "4", False),
        (None, DIGITS, "3", False),
        ("a,b,c,kind", WORDS, "4", True),
        ("a,b,c,kind", DIGITS, "kind", True),
        ("a,b,c,5", DIGITS, "4", True),
        ("1990,1991,1992,kind", WORDS, "kind", True),
        ("0,1,2,3", DIGITS, "4", True),
        ("0,1,2,kind", WORDS, "4", True),
        ("0,1,2,3", DIGITS, "0", True),
        (",0,1,kind", WORDS, "4", True),
        ("0,1,2,good", WORDS, "4", False),
        ("0,1,2,3", WORDS, None, True),
        ("5,6,7,1", DIGITS, None, False),
    ],
)
def test_a_line_of_names_is_known(
    first: str | None, labels: list[str], label: str | None, named: bool, tmp_path: Path
) -> None:
    numbers = NUMBERS.copy()
    numbers[0, 1] = 4  # the number of a column, and no name of one
    if label is None:
        labels = DIGITS
    rows = read_samples(table(tmp_path / "rows.csv", first, numbers, labels), label)
    count = 30 + (first is not None and not named)
    assert (
        rows.says == f"{count} rows of {3 + (label is None)} numbers, {'a' if named else 'no'} line of names"
    )
    assert len(rows.values) == count
    if label is not None:
        column = 0 if label == "0" else 2 if label == "3" else 3
        whole = [*(str(float(value)) for value in numbers[-1]), labels[-1]]
        assert rows.labels is not None
        assert rows.labels[-1] == whole[column]


@pytest.mark.parametrize(
    ("first", "label", "says"),
    [
        ("0,1,2,3", "3", "3 is column 3 or column 4, which is named so"),
        ("1990,1991,1992,kind", "4", "may be of names or of numbers"),
        ("a,2,c,kind", "4", "may be of names or of numbers"),
        ("0,1,2,good", "good", "'good' is a label"),
        ("a,a,b,kind", "a", "several columns 'a'"),
        ("a,b,c,kind", "5", "has no column '5'"),
    ],
)
def test_a_table_that_can_be_read_in_two_ways_is_refused(
    first: str, label: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=says):
        read_samples(table(tmp_path / "rows.csv", first, NUMBERS, WORDS), label)


def test_rows_keep_what_dates_and_times_differ_by(tmp_path: Path) -> None:
    for offset, scale in ((2460000.5, 0.03), (1.7e9, 1), (0, 1e25)):
        numbers = offset + scale * NUMBERS
        np.save(tmp_path / "rows.npy", numbers)
        for path in (table(tmp_path / "rows.csv", None, numbers, WORDS), tmp_path / "rows.npy"):
            rows = read_samples(path, "4" if path.suffix == ".csv" else None)
            np.testing.assert_array_equal(rows.values[:, 0], numbers)
    np.save(tmp_path / "rows.npy", 1e200 * NUMBERS)
    with pytest.raises(ImageError, match=r"holds a value of 1e\+150 or more"):
        read_samples(tmp_path / "rows.npy")


def test_pixels_that_are_no_numbers_are_told_of(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((30, 4, 4))
    pixels[3, 1, 2] = np.nan
    np.save(tmp_path / "pictures.npy", pixels)
    with pytest.raises(ImageError, match="sample 4 holds a value that is no finite number"):
        read_samples(tmp_path / "pictures.npy")


def test_transparent_pictures_are_on_white(tmp_path: Path) -> None:
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[2:6, 3:5, 3] = 255
    ink[0, 0, 3] = 51
    Image.fromarray(ink).save(tmp_path / "ink.png")
    page = read_page(tmp_path / "ink.png")
    np.testing.assert_allclose(page, 1 - ink[:, :, 3] / 255, atol=1e-6)


def test_pictures_of_all_suffixes_are_read(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(24):
        name = f"{number:02d}.{('jpg', 'jfif', 'jpe', 'tiff')[number % 4]}"
        picture = Image.fromarray(random.integers(0, 256, (9, 9), dtype=np.uint8))
        picture.save(tmp_path / name, "TIFF" if number % 4 == 3 else "JPEG")
    assert len(read_samples(tmp_path).values) == 24


def test_remedies_are_not_options_that_the_lab_lacks(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), level) for level in (0, 90, 255)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    random = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(random).save(tmp_path / "cut.png")
    data = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    for name, fault in (("cut.png", "cannot be read as a whole"), ("moving.gif", "holds 3 frames")):
        with pytest.raises(ImageError, match=fault) as caught:
            read_page(tmp_path / name)
        assert str(caught.value).endswith(": convert it first, or leave it out")
        assert "--" not in str(caught.value)
