"""Vectors of pictures, near duplicates, their file, and the command."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

import aecodec
from aecodec import AecodecError, BitstreamError, ImageError
from aecodec.uses import embedding, library, verification
from tests.common import shipped_photograph
from tests.test_cli import refusal, run_command

NAMES = ("astronaut", "chelsea", "coffee")


def photograph(name: str) -> Image.Image:
    """A photograph of 300 x 200 pixels."""
    return Image.fromarray(shipped_photograph(name)).crop((0, 0, 300, 300)).resize((300, 200))


def recompressed(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30)
    return Image.open(file)


VERSIONS = {
    "half": lambda image: image.resize((150, 100)),
    "jpeg": recompressed,
    "corner": lambda image: image.crop((0, 0, 270, 180)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "gray": lambda image: image.convert("L"),
}


@pytest.fixture(scope="module")
def originals() -> list[embedding.Embedding]:
    return [embedding.embed(photograph(name)) for name in NAMES]


def pairs_of(embeddings: list[embedding.Embedding]) -> list[tuple[int, int, float]]:
    vectors, crops = np.stack([one.vector for one in embeddings]), np.stack([one.crops for one in embeddings])
    pairs = embedding.similar_pairs(vectors, crops)
    return verification.verified(pairs, np.stack([one.thumbnail for one in embeddings]))


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_of_a_picture_are_near_duplicates(
    version: str, originals: list[embedding.Embedding]
) -> None:
    changed = embedding.embed(VERSIONS[version](photograph(NAMES[1])))
    assert [pair[:2] for pair in pairs_of([*originals, changed])] == [(1, 3)]


@pytest.mark.parametrize("quality", [5, 20, 90])
def test_a_compressed_file_is_a_near_duplicate(quality: float, originals: list[embedding.Embedding]) -> None:
    compressed = embedding.embed_compressed(aecodec.compress(photograph(NAMES[0]), quality))
    assert [pair[:2] for pair in pairs_of([*originals, compressed])] == [(0, 3)]


def test_no_pixels_of_a_compressed_file_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = aecodec.compress(photograph(NAMES[0]), 30)

    def refuse(*_: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("aecodec.decoder.reconstruction.reconstruct_tile", refuse)
    with pytest.raises(AssertionError):
        aecodec.decompress(data)
    embedding.embed_compressed(data)


def test_a_lossless_file_is_decoded(originals: list[embedding.Embedding]) -> None:
    data = aecodec.compress(photograph(NAMES[2]), lossless=True)
    np.testing.assert_array_equal(embedding.embed_compressed(data).vector, originals[2].vector)


def test_the_thumbnail_shows_the_picture(originals: list[embedding.Embedding]) -> None:
    side = embedding.THUMBNAIL
    expected = np.asarray(photograph(NAMES[2]).resize((side, side), Image.Resampling.BOX), np.float32)
    error = originals[2].thumbnail.astype(np.float32) - expected
    assert np.sqrt(np.square(error).mean()) < 20  # of 255; patches are coarser than its pixels


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (40, 30)])
def test_any_size_is_embedded(size: tuple[int, int]) -> None:
    embedded = embedding.embed(Image.linear_gradient("L").resize(size))
    assert np.isfinite(embedded.crops).all()
    assert np.linalg.norm(embedded.vector) == pytest.approx(0 if size == (1, 1) else 1, abs=1e-5)


def test_flat_pictures_are_no_duplicates() -> None:
    flat = [embedding.embed(Image.new("RGB", (64, 64), colour)) for colour in ("blue", "blue")]
    assert pairs_of(flat) == []


@pytest.mark.parametrize("tile", [(7, 50), (1000, 500)])
def test_pairs_are_all_those_of_the_definition(
    tile: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "TILE", tile)
    random, scales = np.random.default_rng(0), np.linspace(1, 0.1, embedding.SIZE)
    vectors = random.normal(size=(40, embedding.SIZE)) * scales
    views = vectors[:, None] + 0.7 * random.normal(size=(40, 19, embedding.SIZE)) * scales
    views[3, 8] = views[20, 0]  # a picture that is a crop of another
    views[30] = 0  # a flat one
    views = (views / np.maximum(np.linalg.norm(views, axis=2, keepdims=True), 1e-9)).astype(np.float32)
    cosines = np.einsum("id,jkd->ijk", views[:, 0], views).max(2)
    cosines = np.triu(np.maximum(cosines, cosines.T), 1)
    for least in (0.3, 0.72):
        pairs = embedding.similar_pairs(views[:, 0], views[:, 1:], least)
        expected = np.argwhere(cosines >= least)
        assert len(expected)
        assert sorted(pair[:2] for pair in pairs) == [tuple(pair) for pair in expected]
        np.testing.assert_allclose(
            [cosine for *_, cosine in pairs], -np.sort(-cosines[cosines >= least]), 1e-5
        )
    assert pairs[0] == (3, 20, pytest.approx(1))


def test_bounds_are_never_less_than_products() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(200, embedding.SIZE)) * np.linspace(1, 0.01, embedding.SIZE)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    axes = np.linalg.qr(random.normal(size=(embedding.SIZE, embedding.COMPONENTS)))[0]
    for any_axes in (axes, np.eye(embedding.SIZE)[:, : embedding.COMPONENTS]):
        bounds = embedding.bounded(vectors, any_axes)
        assert (bounds @ bounds.T - vectors @ vectors.T).min() >= -embedding.TOLERANCE


def horizon(name: str) -> Image.Image:
    """A bright sky over a dark photograph."""
    ground = np.asarray(photograph(name)).astype(float)
    ground[:90] = 235
    ground[90:] = 20 + 0.35 * ground[90:]
    return Image.fromarray(ground.astype(np.uint8))


def test_pictures_of_like_layout_differ_in_their_details() -> None:
    embeddings = [embedding.embed(horizon(name)) for name in NAMES[:2]]
    embeddings.append(embedding.embed(VERSIONS["corner"](horizon(NAMES[0]))))
    vectors, crops = np.stack([one.vector for one in embeddings]), np.stack([one.crops for one in embeddings])
    assert {pair[:2] for pair in embedding.similar_pairs(vectors, crops)} == {(0, 1), (0, 2), (1, 2)}
    assert [pair[:2] for pair in pairs_of(embeddings)] == [(0, 2)]


def test_details_are_blind_to_brightness_and_contrast() -> None:
    thumbnail = np.asarray(photograph(NAMES[0]).resize((32, 32)))
    brighter = np.clip(1.4 * thumbnail, 0, 255).astype(np.uint8)
    first, second = verification.details(thumbnail), verification.details(brighter // 2 + 20)
    assert first.shape == (19, verification.SIDE**2)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-5)
    assert verification.agreement(first, second) > 0.8
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert abs(verification.agreement(first, verification.details(noise))) < 0.2
    flat = verification.details(np.full((32, 32, 3), 200, np.uint8))
    assert verification.agreement(flat, flat) == 0


def test_groups_join_what_pairs_connect() -> None:
    assert embedding.groups(6, [(4, 5, 0.9), (0, 2, 0.9), (2, 5, 0.8)]) == [[0, 2, 4, 5]]


def test_a_map_of_one_picture_has_a_place(originals: list[embedding.Embedding]) -> None:
    positions = embedding.in_two_dimensions(np.stack([originals[0].thumbnail]))
    np.testing.assert_array_equal(positions, [[0, 0]])
    positions = embedding.in_two_dimensions(np.stack([original.thumbnail for original in originals]))
    np.testing.assert_allclose([positions.min(0), positions.max(0)], [[0, 0], [1, 1]])


def test_what_is_no_picture_or_file_is_refused() -> None:
    with pytest.raises(ImageError):
        embedding.embed(io.BytesIO(b"text"))
    with pytest.raises(BitstreamError):
        embedding.embed_compressed(aecodec.compress(photograph(NAMES[0]), 10)[:-3])


def test_vectors_survive_their_file(originals: list[embedding.Embedding]) -> None:
    entries = [library.Entry(name, number, 5) for number, name in enumerate(NAMES)]
    kept = library.Library(dict(zip(entries, originals, strict=True)))
    data = library.to_bytes(kept)
    again = library.from_bytes(data)
    assert list(again.embeddings) == entries
    np.testing.assert_array_equal(again.stacked("vectors"), kept.stacked("vectors"))
    for bad in (b"", b"text", data[:-30], data[: len(data) // 2]):
        with pytest.raises(AecodecError, match="no sound file of vectors"):
            library.from_bytes(bad)
    assert library.from_bytes(library.to_bytes(library.Library())).names == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs, one of them twice, once as an .aec file."""
    top = tmp_path_factory.mktemp("pictures")
    photograph(NAMES[0]).save(top / "a.png")
    photograph(NAMES[1]).save(top / "b.png")
    (top / "c.aec").write_bytes(aecodec.compress(photograph(NAMES[0]), 20))
    return top


def test_embed_writes_vectors_groups_and_a_map(folder: Path, tmp_path: Path) -> None:
    vectors, page = tmp_path / "vectors.npz", tmp_path / "map.html"
    result = run_command("embed", folder, "-o", vectors, "--duplicates", "--json", "--map", page)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [str(folder / "a.png"), str(folder / "c.aec")]
    assert "3 of 3 files embedded, 1 groups" in result.stderr
    with np.load(vectors) as arrays:
        assert arrays["vectors"].shape == (3, embedding.SIZE)
        assert arrays["names"][2] == str(folder / "c.aec")
    text = page.read_text()
    assert "3 pictures" in text
    assert "http" not in text.replace("data:", "")


def test_resume_takes_what_is_there_and_a_bad_file_does_not_stop(folder: Path, tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.npz"
    (tmp_path / "text.png").write_bytes(b"text")
    assert run_command("embed", folder / "a.png", "-o", vectors).returncode == 0
    with np.load(vectors) as arrays:
        changed = dict(arrays)
    changed["thumbnails"] = changed["thumbnails"] * 0  # by which it is known again
    np.savez(vectors, **changed)
    result = run_command("embed", folder, tmp_path / "text.png", "-o", vectors, "--resume")
    assert result.returncode == 1
    assert "text.png" in result.stderr
    assert "3 of 4 files embedded, 1 failed" in result.stderr
    with np.load(vectors) as arrays:
        assert [bool(thumbnail.any()) for thumbnail in arrays["thumbnails"]] == [False, True, True]


def names_in(vectors: Path) -> list[str]:
    return library.from_bytes(vectors.read_bytes()).names


def test_resume_adds_and_loses_nothing(folder: Path, tmp_path: Path) -> None:
    vectors, more = tmp_path / "vectors.npz", tmp_path / "more"
    more.mkdir()
    photograph(NAMES[2]).save(more / "d.png")
    assert run_command("embed", folder, "-o", vectors).returncode == 0
    before = [str(folder / name) for name in ("a.png", "b.png", "c.aec")]
    result = run_command("embed", more, "-o", vectors, "--resume", "--duplicates", "--json")
    assert "1 of 1 files embedded, 3 more kept" in result.stderr
    assert json.loads(result.stdout) == [before[0], before[2]]
    assert names_in(vectors) == [*before, str(more / "d.png")]
    photograph(NAMES[1]).save(more / "d.png")  # changed, and under another name
    assert run_command("embed", "d.png", "-o", vectors, "--resume", cwd=more).returncode == 0
    assert names_in(vectors) == [*before, "d.png"]
    (more / "d.png").write_bytes(b"text")
    failed = run_command("embed", more / "d.png", "-o", vectors, "--resume", cwd=more)
    assert (failed.returncode, names_in(vectors)) == (1, [*before, "d.png"])
    assert "0 of 1 files embedded, 4 more kept, 1 failed" in failed.stderr


def test_a_pipe_gets_the_vectors_once(folder: Path) -> None:
    script = """
import importlib
from aecodec.cli import main
embed = importlib.import_module("aecodec.cli.embed")
embed.KEPT_EVERY = 1
main()
"""
    command = [sys.executable, "-c", script, "embed", str(folder), "-o", "-", "--quiet"]
    vectors = subprocess.run(command, check=True, capture_output=True).stdout
    assert vectors.count(b"PK\x05\x06") == 1  # the end of an archive
    assert len(library.from_bytes(vectors).embeddings) > 1


def assert_embedded_alike(files: list[Path], out: Path, ways: list[list[object]]) -> None:
    """Each way, given as options, makes equal vectors of all files but the second, which is no picture."""
    arrays = []
    for number, options in enumerate(ways):
        vectors = out / f"{number}.npz"
        result = run_command("embed", *files, "-o", vectors, *options)
        assert result.returncode == 1
        failure, summary = result.stderr.splitlines()
        assert failure.startswith(f"aecodec: {files[1]}: not a picture")
        assert summary == f"{len(files) - 1} of {len(files)} files embedded, 1 failed"
        with np.load(vectors) as loaded:
            arrays.append(dict(loaded))
    assert list(arrays[0]["names"]) == [str(file) for file in files if file != files[1]]
    for other in arrays[1:]:
        for name, values in arrays[0].items():
            np.testing.assert_array_equal(values, other[name], name)


def test_two_processes_give_the_same_vectors_in_the_same_order(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_bytes(b"text")
    files = [folder / "c.aec", tmp_path / "text.png", folder / "b.png", folder / "a.png"]
    assert_embedded_alike(files, tmp_path, [[], ["--jobs", 2]])
    again = run_command("embed", *files[2:], "-o", tmp_path / "1.npz", "--jobs", 2, "--resume")
    assert "2 of 2 files embedded" in again.stderr  # by no process


def test_what_cannot_be_done_is_one_line(folder: Path, tmp_path: Path) -> None:
    refusal(run_command("embed", folder), 2, "give -o, --duplicates or --map")
    refusal(run_command("embed", folder, "--duplicates", "--resume"), 2, "name it with -o")
    refusal(run_command("embed", folder, "-o", tmp_path / "new.npz", "--json"), 2, "give --duplicates")
    refusal(run_command("embed", tmp_path / "none", "--duplicates"), 2, "does not exist")
    (tmp_path / "old.npz").write_bytes(b"old")
    refusal(run_command("embed", folder, "-o", tmp_path / "old.npz"), 2, "exists")
    refusal(
        run_command("embed", folder, "-o", tmp_path / "old.npz", "--resume"), 1, "no sound file of vectors"
    )
