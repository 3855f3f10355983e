"""Symbols never depend on a float, tiles and threads leave no trace, and pictures stay good and small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aecodec import AecodecError, compress, decompress, info
from aecodec.arrays import Floats, Pixels
from aecodec.container import CELL, LearnedHeader
from aecodec.decoder.reconstruction import (
    decode_y_of_symbols,
    reconstruct,
)
from aecodec.encoder.options import TUNED
from aecodec.encoder.quantisation import analyse, quantise_all, quantised
from aecodec.entropy.coder import Coder, Latents
from aecodec.entropy.context import context_passes
from aecodec.entropy.hyperprior import scale_indices
from aecodec.model.registry import DECODER_FILES, Model, model_named
from aecodec.model.tiling import ANALYSIS_HALO, DECODER_HALO, cell_grid, tiles
from tests.common import (
    assert_close,
    full_window,
    photograph,
    psnr_of,
    read_latents,
    run_python,
    shipped_photograph,
    write_latents,
)

QUALITY = 50.0
CORES = (3, 4)
DECODER_NETWORKS = [Path(name).stem for name in DECODER_FILES if name.endswith(".onnx")]
LAMBDA_RANGE = 0.0007, 0.5  # at quality 0 and 100, of the loss that the model was trained with


@pytest.fixture(scope="module")
def coded(model: Model, photo: Pixels) -> tuple[LearnedHeader, bytes]:
    return write_latents(model, quantised(model, photo, QUALITY).latents)


def pixels_of(model: Model, coded: tuple[LearnedHeader, bytes], size: tuple[int, int]) -> Pixels:
    return reconstruct(model, read_latents(model, *coded, size), full_window(size))


@pytest.mark.parametrize("core", CORES)
def test_symbols_hardly_depend_on_the_tiles(model: Model, photo: Pixels, core: int) -> None:
    """Products of 8 bits are rounded by the extremes of a tile."""
    one, tiled = quantised(model, photo, QUALITY).latents, quantised(model, photo, QUALITY, core=core).latents
    assert np.abs(one.z - tiled.z).max() <= 1
    assert np.mean(one.symbols != tiled.symbols) < 0.02
    sizes = [len(model.coder.encode(latents, 0)) for latents in (one, tiled)]
    assert sizes[1] == pytest.approx(sizes[0], rel=5e-3)
    figures = [
        psnr_of(photo, reconstruct(model, latents, full_window(photo.shape[:2]))) for latents in (one, tiled)
    ]
    assert figures[1] == pytest.approx(figures[0], abs=0.02)


@pytest.mark.parametrize("core", CORES)
def test_tiled_latents_decode_exactly(model: Model, photo: Pixels, core: int) -> None:
    latents = quantised(model, photo, QUALITY, core=core).latents
    stream = model.coder.encode(latents, 0)
    decoded = model.coder.decode(stream, cell_grid(*photo.shape[:2]), QUALITY, 0)
    np.testing.assert_array_equal(decoded.z, latents.z)
    np.testing.assert_array_equal(decoded.symbols, latents.symbols)


def test_what_cannot_be_read_back_is_not_written(
    model: Model, photo: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = Coder.decode

    def misread(coder: Coder, *arguments: Any) -> Latents:
        latents = decode(coder, *arguments)
        latents.symbols[-1, -1, -1] += 1
        return latents

    monkeypatch.setattr(Coder, "decode", misread)
    with pytest.raises(AecodecError, match="could not read back"):
        compress(photo)


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("quality", [0.0, QUALITY, 100.0])
def test_pixels_do_not_depend_on_the_tiles(model: Model, photo: Pixels, core: int, quality: float) -> None:
    latents, size = quantised(model, photo, quality).latents, photo.shape[:2]
    assert_close(
        reconstruct(model, latents, full_window(size), core), reconstruct(model, latents, full_window(size))
    )


@pytest.mark.parametrize("region", [(0, 1, 0, 1), (95, 203, 64, 97), (150, 160, 0, 260)])
def test_a_region_is_cut_out_of_the_picture(
    model: Model, photo: Pixels, coded: tuple[LearnedHeader, bytes], region: tuple[int, int, int, int]
) -> None:
    top, bottom, left, right = region
    part = slice(top, min(bottom, photo.shape[0])), slice(left, min(right, photo.shape[1]))
    latents = read_latents(model, *coded, photo.shape[:2])
    expected = reconstruct(model, latents, full_window(photo.shape[:2]))[part]
    for core in (2, 32):
        assert_close(reconstruct(model, latents, part, core), expected)


def beyond(halo: int, factor: int) -> slice:
    """The columns of an output that a halo of so many cells leaves out, of the first column of cells."""
    return slice((1 + halo) * factor, None)


@pytest.mark.parametrize("quality", [5, 50, 100])
@pytest.mark.parametrize("tune", TUNED)
def test_what_lies_beyond_the_halo_hardly_counts_for_the_analysis(tune: str, quality: float) -> None:
    model = model_named(TUNED[tune])
    pixels = photograph(12 * CELL, 3 * CELL).transpose(2, 0, 1).astype(np.float32) / 255
    other = pixels.copy()
    other[:, :, :CELL] = 1 - other[:, :, :CELL]
    changes = [
        np.abs(before - after)
        for before, after in zip(model.analysis(quality, pixels), model.analysis(quality, other), strict=True)
    ]
    for change, factor in zip(changes, (2, 1), strict=True):
        assert change[:, :, :factor].max() > 0.1
        far = change[:, :, beyond(ANALYSIS_HALO, factor)]
        # of a quantisation step, and most of it the rounding of products of 8 bits
        assert far.max() < 0.4
        assert np.sqrt(np.square(far[:, :, 0]).mean()) < 0.07


def test_tiles_hardly_change_what_the_encoder_takes_for_the_decoders_y(model: Model, photo: Pixels) -> None:
    y, z = analyse(model, photo, 100)
    index, symbols, coded = scale_indices(model.tables, z, 100), [], []
    for core in (4, 34):
        coded.append(np.empty_like(y))
        symbols.append(quantise_all(model, y, z, index, 100, core, coded[-1]))
    assert np.mean(symbols[0] != symbols[1]) < 1e-3
    error = (coded[0] - coded[1])[symbols[0] == symbols[1]]  # in steps, of which y has up to 200 here
    assert np.abs(error).max() < 1
    assert np.sqrt(np.square(error).mean()) < 0.01


@pytest.mark.parametrize("quality", [5.0, 50.0, 100.0])
def test_what_lies_beyond_the_halo_hardly_counts_for_the_decoder(model: Model, quality: float) -> None:
    (tile,) = tiles(3, 12, 12, 0)
    latents = quantised(model, photograph(12 * CELL, 3 * CELL), quality).latents
    symbols = latents.symbols.copy()
    symbols[:, :, :2] *= -1
    y, other = (
        decode_y_of_symbols(model, changed_latents, tile)
        for changed_latents in (latents, replace(latents, symbols=symbols))
    )
    assert np.abs(y - other)[:, :, beyond(3, 2)].max() == 0  # seven blocks at 1/16 see no farther
    images = [model.synthesis(quality, latent)[0] for latent in (y, other)]
    change = 255 * np.abs(images[0] - images[1])
    assert change[:, :, :CELL].max() > 1
    assert change[:, :, beyond(DECODER_HALO, CELL)].max() < 1e-3  # of a level


DECODE = """
import hashlib, sys
import numpy as np
from aecodec.container import parse
from aecodec.model.registry import model_with
from aecodec.decoder.decoding import decode_samples
from aecodec.model.tiling import cell_grid
container = parse(open(sys.argv[1], "rb").read())
header, size = container.learned, (container.height, container.width)
model = model_with(header.fingerprint)
latents = model.coder.decode(container.payload, cell_grid(*size), header.quality, header.cdf_set)
np.save(sys.argv[2], decode_samples(container, (slice(0, size[0]), slice(0, size[1])), latents))
print(hashlib.sha256(latents.z.tobytes() + latents.symbols.tobytes()).hexdigest())
"""


def test_decoding_does_not_depend_on_threads(tmp_path: Path, photo: Pixels) -> None:
    file, saved = tmp_path / "photo.aec", tmp_path / "pixels.npy"
    file.write_bytes(compress(photo, 60))
    pixels = np.asarray(decompress(file.read_bytes()))
    hashes = set()
    for threads in (1, 2, 8):
        hashes.add(run_python(DECODE, str(file), str(saved), threads=threads))
        assert_close(np.load(saved), pixels)
    assert len(hashes) == 1


class Perturbed:
    """A network whose every output is off by noise."""

    def __init__(self, network: Any, amplitude: float) -> None:
        self.network, self.amplitude = network, amplitude
        self.random = np.random.default_rng(0)

    def __call__(self, quality: float, *inputs: Floats) -> list[Floats]:
        return [self.disturb(output) for output in self.network(quality, *inputs)]

    def disturb(self, output: Floats) -> Floats:
        off = self.random.uniform(-self.amplitude, self.amplitude, output.shape)
        return (output + off).astype(np.float32)


class Recorder(Coder):
    """A coder that remembers what it decoded."""

    def decode(self, stream: bytes, size: tuple[int, int], quality: float, cdf_set: int) -> Latents:
        self.decoded = super().decode(stream, size, quality, cdf_set)
        return self.decoded


def perturbed_model(model: Model, amplitude: float) -> Model:
    fresh = Model(model.name, model.manifest, model.files)
    for name in DECODER_NETWORKS:
        fresh.__dict__[name] = Perturbed(getattr(model, name), amplitude)
    tables = replace(
        model.tables, reconstruction_offset=model.tables.reconstruction_offset + np.float32(amplitude)
    )
    fresh.__dict__["tables"], fresh.__dict__["coder"] = tables, Recorder(tables)
    return fresh


@pytest.mark.parametrize("amplitude", [1e-6, 0.5])
def test_no_float_of_the_decoder_reaches_a_symbol(
    model: Model, photo: Pixels, coded: tuple[LearnedHeader, bytes], amplitude: float
) -> None:
    latents, disturbed = quantised(model, photo, QUALITY).latents, perturbed_model(model, amplitude)
    pixels = pixels_of(disturbed, coded, photo.shape[:2])
    decoded = disturbed.__dict__["coder"].decoded
    np.testing.assert_array_equal(decoded.z, latents.z)
    np.testing.assert_array_equal(decoded.symbols, latents.symbols)
    calm = pixels_of(model, coded, photo.shape[:2])
    if amplitude < 1e-3:
        assert_close(pixels, calm)
    else:
        assert (pixels != calm).mean() > 0.5


class Listener:
    """A network that remembers what it was last given."""

    def __init__(self, network: Any) -> None:
        self.network = network

    def __call__(self, quality: float, *inputs: Floats) -> list[Floats]:
        self.inputs = inputs
        result: list[Floats] = self.network(quality, *inputs)
        return result


def test_the_decoder_finds_the_latent_within_half_a_step_of_its_reconstruction_points(
    model: Model, photo: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = ((0.0, 1e9),)  # bits, so every symbol is the nearest
    monkeypatch.setattr("aecodec.encoder.quantisation.LAGRANGIANS", free)
    latents, listener = quantised(model, photo, QUALITY).latents, Listener(model.synthesis)
    fresh = Model(model.name, model.manifest, model.files)
    fresh.__dict__["synthesis"] = listener
    reconstruct(fresh, latents, full_window(photo.shape[:2]))
    error = np.abs(listener.inputs[0] - analyse(model, photo, QUALITY)[0])
    beyond = np.abs(model.tables.reconstruction_offset)[latents.scale_index]
    assert (error - beyond)[latents.scale_index >= model.tables.skip_below].max() < 0.501


def test_quality_is_monotone() -> None:
    picture = photograph(128, 96)
    files = [compress(picture, quality) for quality in range(0, 101, 5)]
    sizes = [len(file) for file in files]
    figures = [psnr_of(picture, np.asarray(decompress(file))) for file in files]
    assert sizes == sorted(sizes)
    assert figures == sorted(figures)
    assert sizes[-1] > 4 * sizes[0]
    assert figures[-1] > figures[0] + 8


def test_quality_is_continuous() -> None:
    picture = photograph(250, 200)
    sizes = [len(compress(picture, quality)) for quality in (49.5, 50, 50.5)]
    assert max(sizes) < 1.05 * min(sizes)


# Picture, quality, least PSNR in dB, most bits per pixel of the whole file: 1.5 dB below and 30 % above
# what weights of the first day reached.
FLOORS = [
    ("astronaut", 10, 25.7, 0.32),
    ("astronaut", 50, 32.2, 1.26),
    ("astronaut", 90, 37.4, 3.32),
    ("chelsea", 10, 27.4, 0.19),
    ("chelsea", 50, 33.2, 0.91),
    ("chelsea", 90, 40.4, 2.76),
    ("coffee", 10, 25.0, 0.30),
    ("coffee", 50, 31.0, 1.48),
    ("coffee", 90, 35.7, 3.89),
]


@pytest.mark.parametrize(("name", "quality", "floor", "ceiling"), FLOORS)
def test_photographs(name: str, quality: float, floor: float, ceiling: float) -> None:
    picture = shipped_photograph(name)
    file = compress(picture, quality, tune="psnr")
    assert info(file).bpp < ceiling
    assert psnr_of(picture, np.asarray(decompress(file))) > floor


@pytest.mark.parametrize(
    ("size", "count"), [((1, 1), (1, 1)), ((32, 33), (1, 2)), ((64, 65), (2, 3)), ((300, 470), (10, 15))]
)
def test_cells(size: tuple[int, int], count: tuple[int, int]) -> None:
    assert cell_grid(*size) == count
    assert all(side <= CELL * cell for side, cell in zip(size, count, strict=True))


def test_passes_are_a_checkerboard_of_which_one_colour_is_split() -> None:
    number = context_passes((6, 8, 10))
    assert np.bincount(number.ravel()).tolist() == [120, 120, 240]
    for axis in range(3):
        last = (number == 2).astype(int)
        assert (np.diff(last, axis=axis) != 0).all()


def test_passes_do_not_depend_on_where_a_tile_begins() -> None:
    np.testing.assert_array_equal(context_passes((6, 8, 10))[:, 2:, 4:], context_passes((6, 6, 6)))
