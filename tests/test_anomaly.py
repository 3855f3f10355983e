"""Detectors of what is odd in pictures, their files, and the commands."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from aecodec import (
    AecodecError,
    BitstreamError,
    ChecksumError,
    ImageError,
    LimitError,
    NotAecodecError,
    TruncatedError,
    VersionError,
)
from aecodec.arrays import Pixels
from aecodec.uses import anomaly, detector_file
from tests.test_cli import refusal, run_command

SIDE = 96  # pixels of tiles


def tile(row: int, column: int) -> Pixels:
    """A tile (96, 96) of gravel, gray."""
    place = slice(row * SIDE, row * SIDE + SIDE), slice(column * SIDE, column * SIDE + SIDE)
    return np.asarray(skimage.data.gravel()[place])


def blurred(pixels: Pixels) -> Pixels:
    """A tile with a flat square."""
    bad = pixels.copy()
    bad[30:66, 30:66] = pixels[30:66, 30:66].mean()
    return bad


GOOD = [tile(row, column) for row in range(3) for column in range(3)]
UNSEEN = [tile(4, column) for column in range(5)]


@pytest.fixture(scope="module")
def detector() -> anomaly.Detector:
    return anomaly.fit(GOOD)


def test_bad_pictures_are_told_from_good_ones_that_were_not_seen(detector: anomaly.Detector) -> None:
    evaluation = anomaly.evaluate(detector, UNSEEN, [blurred(picture) for picture in UNSEEN])
    assert evaluation.auroc == 1
    assert evaluation.false_positives == 0
    assert evaluation.found >= 0.8
    assert (evaluation.good, evaluation.bad) == (5, 5)


def test_the_heat_map_shows_where(detector: anomaly.Detector) -> None:
    heat = detector.score(blurred(UNSEEN[0])).heat
    assert heat.shape == (SIDE, SIDE)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 30 <= row < 66
    assert 30 <= column < 66


def test_a_good_picture_has_no_odd_pixel(detector: anomaly.Detector) -> None:
    for picture in [*GOOD, *UNSEEN]:
        finding = detector.score(picture)
        assert 0 <= finding.heat.min() <= finding.heat.max() <= finding.score
    cells = np.random.default_rng(0).uniform(0, 0.999, (9, 7)).astype(np.float32)
    cells[3:5, 3] = 0.999  # a ridge, beyond which a cubic overshoots
    heat = anomaly.enlarged(cells, (70, 50))
    assert anomaly.Finding(0.999, heat).levels().max() == 127
    assert anomaly.Finding(1, heat / heat.max()).levels().max() == 128


@pytest.mark.parametrize("size", [(1, 1), (17, 5), (50, 133)])
def test_pictures_of_any_size_are_scored(size: tuple[int, int], detector: anomaly.Detector) -> None:
    finding = detector.score(Image.new("RGB", size, "red"))
    assert finding.heat.shape == size[::-1]
    assert finding.odd


def test_what_nobody_sees_is_not_odd(detector: anomaly.Detector) -> None:
    bad = np.stack([blurred(UNSEEN[0]), np.full((SIDE, SIDE), 255, np.uint8)], axis=2)
    bad[24:72, 24:72, 1] = 0
    assert detector.score(bad).heat[40:56, 40:56].max() < detector.score(blurred(UNSEEN[0])).heat.max()
    assert detector.score(np.zeros((20, 20, 2), np.uint8)).score == 0
    for picture in UNSEEN:
        hole = np.stack([picture, np.full((SIDE, SIDE), 255, np.uint8)], axis=2)
        hole[20:49, 33:61, 1] = 0
        assert detector.score(hole).score <= detector.score(picture).score  # not for its rim either


def test_deeper_samples_are_rounded(detector: anomaly.Detector) -> None:
    deep = UNSEEN[0].astype(np.uint16) * 257
    assert detector.score(deep).score == detector.score(UNSEEN[0]).score


@pytest.mark.parametrize(
    ("good", "fpr", "says"),
    [
        ([], 0.01, "0 good pictures"),
        (GOOD[:1], 0.01, "1 good pictures"),
        (GOOD, 0.0, "fpr 0"),
        (GOOD, 1, "fpr 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(good: list[Pixels], fpr: float, says: str) -> None:
    with pytest.raises(AecodecError, match=says):
        anomaly.fit(good, fpr)


def test_a_transparent_good_picture_is_refused() -> None:
    with pytest.raises(AecodecError, match="good picture 2 is transparent"):
        anomaly.fit([GOOD[0], np.zeros((20, 20, 2), np.uint8)])


def test_what_is_no_picture_is_refused(detector: anomaly.Detector) -> None:
    with pytest.raises(ImageError, match="not a picture"):
        detector.score(io.BytesIO(b"text"))


def test_distances_are_those_from_the_nearest_divided_by_their_spread() -> None:
    bank = np.array([[0, 0], [3, 4], [30, 40]], np.float32)
    spread = np.array([1, 2, 5], np.float32)
    queries = np.array([[0, 0], [30, 0]], np.float32)
    np.testing.assert_allclose(
        anomaly.distances(queries, bank, spread, 1), [0, np.hypot(27, 4) / 2], rtol=1e-5
    )
    np.testing.assert_allclose(anomaly.distances(queries[:1], bank, spread, 2), [1.25])


def test_thresholds_are_quantiles_where_there_are_enough_scores() -> None:
    scores = np.arange(1.0, 100)
    assert anomaly.threshold_of(scores, 0.1) == 90  # the 90th of 99, by split conformal prediction
    draws = np.random.default_rng(0).gumbel(10, 2, 400)
    extrapolated = anomaly.threshold_of(draws[:99], 0.005)
    assert extrapolated == pytest.approx(10 - 2 * np.log(-np.log(0.995)), rel=0.1)


def test_auroc_counts_equal_scores_half() -> None:
    assert anomaly.auroc(np.array([0.0, 1]), np.array([1.0, 2])) == 0.875


def test_a_detector_survives_its_file(detector: anomaly.Detector) -> None:
    again = detector_file.from_bytes(detector_file.to_bytes(detector))
    bad = blurred(UNSEEN[0])
    assert again.score(bad).score == detector.score(bad).score
    assert (again.fpr, again.held_out) == (detector.fpr, len(GOOD))


def reseal(data: bytes) -> bytes:
    """A file of a detector with the right checksum."""
    import zlib

    return data[:5] + zlib.crc32(data[9:]).to_bytes(4, "little") + data[9:]


def test_damaged_detectors_are_refused(detector: anomaly.Detector) -> None:
    data = detector_file.to_bytes(detector)
    cases = {
        NotAecodecError: b"PK" + data[2:],
        TruncatedError: data[:10],
        VersionError: data[:4] + b"\x09" + data[5:],
        ChecksumError: data[:-1] + bytes([data[-1] ^ 1]),
        LimitError: reseal(data[:-4]),
        BitstreamError: reseal(data[:13] + b"?" + data[14:]),
    }
    for error, bad in cases.items():
        with pytest.raises(error, match=r"copy it anew|fit it anew|give a file"):
            detector_file.from_bytes(bad)
    for end in range(0, len(data), 9973):
        with pytest.raises(BitstreamError):
            detector_file.from_bytes(data[:end])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders good, unseen and bad of pictures."""
    top = tmp_path_factory.mktemp("parts")
    for name, pictures in (("good", GOOD[:4]), ("unseen", UNSEEN[:2]), ("bad", [blurred(UNSEEN[0])])):
        (top / name).mkdir()
        for number, pixels in enumerate(pictures):
            Image.fromarray(pixels).save(top / name / f"{name}-{number}.png")
    result = run_command("anomaly", "fit", top / "good", "-o", top / "part.aea")
    assert result.returncode == 0, result.stderr
    assert "4 good pictures" in result.stderr
    assert "extrapolated" in result.stderr
    return top


def test_score_writes_lines_heat_maps_and_a_page(folder: Path, tmp_path: Path) -> None:
    outputs = ["--heat-maps", tmp_path / "maps", "--html", tmp_path / "page.html"]
    result = run_command(
        "anomaly", "score", folder / "unseen", folder / "bad", "-m", folder / "part.aea", "--json", *outputs
    )
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["odd"] for row in rows] == [False, False, True]
    assert "1 of 3 pictures are odd" in result.stderr
    with Image.open(tmp_path / "maps" / "bad-0.png") as heat:
        assert (heat.mode, heat.size) == ("L", (SIDE, SIDE))
        assert np.asarray(heat).max() >= 128
    page = (tmp_path / "page.html").read_text()
    assert page.index("bad-0.png") < page.index("unseen-0.png")


def test_score_prints_csv_and_goes_on_after_a_bad_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_bytes(b"text")
    result = run_command(
        "anomaly", "score", tmp_path / "text.png", folder / "bad", "-m", folder / "part.aea", "--csv"
    )
    assert result.returncode == 1
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["odd"] for row in rows] == ["1"]
    assert "text.png" in result.stderr
    assert "1 failed" in result.stderr


def test_names_that_are_no_text_are_scored(folder: Path, tmp_path: Path) -> None:
    name = b"\xe4.png"
    Path(tmp_path / os.fsdecode(name)).write_bytes((folder / "bad" / "bad-0.png").read_bytes())
    for options in (
        ["--csv"],
        ["--json"],
        ["--html", tmp_path / "page.html"],
        ["--heat-maps", tmp_path / "maps"],
    ):
        result = run_command("anomaly", "score", tmp_path, "-m", folder / "part.aea", *options)
        assert result.returncode == 0, result.stderr
        assert r"\udce4.png" in result.stdout
    assert r"\udce4.png" in (tmp_path / "page.html").read_text("utf-8")
    assert [os.fsencode(path.name) for path in (tmp_path / "maps").iterdir()] == [name]


def test_eval_prints_figures(folder: Path) -> None:
    result = run_command(
        "anomaly", "eval", folder / "unseen", folder / "bad", "-m", folder / "part.aea", "--json"
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["auroc"] == 1


def test_what_cannot_be_done_is_one_line(folder: Path, tmp_path: Path) -> None:
    part, good = folder / "part.aea", folder / "good"
    refusal(run_command("anomaly", "fit", tmp_path, "-o", tmp_path / "a.aea"), 2, "nothing in there")
    refusal(run_command("anomaly", "fit", tmp_path / "no", "-o", tmp_path / "a.aea"), 2, "does not exist")
    refusal(run_command("anomaly", "fit", good / "good-0.png", "-o", tmp_path / "a.aea"), 1, "at least 2")
    refusal(run_command("anomaly", "fit", good, "-o", part), 2, "exists", "--force")
    for fpr in ("0", "1", "-1", "nan", "inf"):
        refusal(run_command("anomaly", "fit", good, "-o", tmp_path / "a.aea", f"--fpr={fpr}"), 2, "--fpr")
    (tmp_path / "bad.aea").write_bytes(part.read_bytes()[:-5])
    refusal(
        run_command("anomaly", "score", good, "-m", tmp_path / "bad.aea"), 3, "bad.aea: was changed or cut"
    )
    refusal(run_command("anomaly", "score", good, "-m", part, "--csv", "--json"), 2, "give one")
