"""What docs/format.md says is what the package does: a decoder written from it agrees on all golden files."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.container import Stages, parse, serialise
from aecodec.errors import BitstreamError
from aecodec.fields import write_varint
from tests import reference_decoder as reference
from tests.common import ROOT, picture_of_mode, sealed
from tests.portability import GOLDEN, latents_of

FILES = sorted(GOLDEN.glob("*.aec"))
LEARNED = [path for path in FILES if parse(path.read_bytes()).learned]
PAGE = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
SKIPPABLE, UNSKIPPABLE = 0x90, 0x10  # types of boxes that no release has


def assert_same_symbols(data: bytes) -> None:
    file = reference.read_file(data)
    z, index, symbols = reference.decode_stream(reference.Model(file.fingerprint), file)
    expected = latents_of(parse(data))
    np.testing.assert_array_equal(z, expected.z)
    np.testing.assert_array_equal(index, expected.scale_index)
    np.testing.assert_array_equal(symbols, expected.symbols)


def assert_same_pixels(found: Image.Image, expected: Image.Image) -> None:
    """The same but for one level."""
    assert (found.mode, found.size) == (expected.mode, expected.size)
    assert np.abs(np.asarray(found).astype(int) - np.asarray(expected)).max() <= 1


@pytest.mark.parametrize("path", LEARNED, ids=lambda path: path.stem)
def test_symbols(path: Path) -> None:
    assert_same_symbols(path.read_bytes())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pixels(path: Path) -> None:
    with Image.open(path.with_suffix(".png")) as image:
        assert_same_pixels(reference.decode(path.read_bytes()), image)


@pytest.mark.parametrize(
    ("mode", "size", "options"),
    [
        ("RGB", (150, 130), {"quality": 91}),
        ("RGBA", (33, 31), {"quality": 100}),
        ("L", (1, 40), {"quality": 0}),
        ("RGB", (61, 45), {"quality": 60, "reduce": 3, "enhance": True}),
        ("RGB", (64, 96), {"quality": 20, "tune": "psnr"}),
        ("RGB", (1120, 17), {"quality": 30}),  # two tiles in the package, one here
    ],
)
def test_new_files(mode: str, size: tuple[int, int], options: dict[str, object]) -> None:
    """Odd sizes, the ends of quality, and what no golden file combines."""
    data = aecodec.compress(picture_of_mode(mode, *size), effort=0, **options)
    assert parse(data).learned
    assert_same_symbols(data)
    assert_same_pixels(reference.decode(data), aecodec.decompress(data))


def test_it_imports_nothing_of_the_package() -> None:
    tree = ast.parse(Path(reference.__file__).read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module.partition(".")[0] for module in modules} == {
        *("__future__", "dataclasses", "hashlib", "io", "os", "pathlib", "sys", "typing", "zlib"),
        *("numpy", "PIL", "onnxruntime"),
    }


def test_the_worked_example_is_the_golden_file() -> None:
    section = PAGE.partition("## A worked example")[2]
    (name,) = re.findall(r"`tests/golden/(.*\.aec)`", section)
    listing = section.split("```")[1]
    found = "".join(re.match(r"(?:[0-9a-f]{2}(?: |$))*", line)[0] for line in listing.splitlines())
    assert bytes.fromhex(found) == (GOLDEN / name).read_bytes()


def test_the_worked_example_of_the_coder() -> None:
    data = (GOLDEN / "base-6001e981-alpha.aec").read_bytes()
    file = reference.read_file(data)
    stack, model = reference.Stack(file.payload), reference.Model(file.fingerprint)
    assert stack.x == 0x259C38F05
    assert model.offset("z_offset", file.quality)[0] == 4424
    cumulative = reference.frequencies(model.arrays["z_counts"][0, 41])
    assert (cumulative[63], cumulative[64]) == (12292666, 14273864)
    assert stack.pop(cumulative) == 63
    assert stack.x == 0x4700A0A92CC233E4
    for said in ("0x259c38f05", "4424", "12292666", "14273864", "0x4700a0a92cc233e4"):
        assert said in PAGE


def with_box(kind: int) -> bytes:
    """A golden file with one more box."""
    source = reference.Bytes((GOLDEN / "base-6001e981-alpha.aec").read_bytes())
    head, count, rest = source.take(14)[4:], source.byte(), source.data[15:-4]
    return sealed(head, bytes([count + 1, kind, 3]), b"new", rest)


def test_a_box_of_the_future_that_may_be_skipped_is_read_with_a_note() -> None:
    data, known = with_box(SKIPPABLE), (GOLDEN / "base-6001e981-alpha.aec").read_bytes()
    assert reference.read_file(data).skipped == [SKIPPABLE]
    with pytest.warns(UserWarning, match=f"boxes of types {SKIPPABLE}, of a later release, are left out"):
        image = aecodec.decompress(data)
    np.testing.assert_array_equal(image, aecodec.decompress(known))
    assert parse(serialise(parse(data))).unknown == {SKIPPABLE: b"new"}


def test_a_box_of_the_future_that_may_not_is_refused_by_name() -> None:
    data = with_box(UNSKIPPABLE)
    for read in (aecodec.decompress, aecodec.info):
        with pytest.raises(BitstreamError, match=f"box type {UNSKIPPABLE} is unknown"):
            read(data)
    with pytest.raises(ValueError, match=f"box type {UNSKIPPABLE} is unknown"):
        reference.read_file(data)


def test_both_skip_stages_of_the_future_that_may_be_and_name_those_that_may_not() -> None:
    container = parse((GOLDEN / "base-6001e981-alpha.aec").read_bytes())
    data = serialise(replace(container, stages=Stages(noise=3, unknown=((132, b"new"),))))
    assert reference.read_file(data).skipped_stages == [132]
    assert parse(data).stages.unknown == ((132, b"new"),)
    refused = serialise(replace(container, stages=Stages(noise=3, unknown=((4, b"new"),))))
    with pytest.raises(ValueError, match="stage 4 is unknown"):
        reference.read_file(refused)
    with pytest.raises(BitstreamError, match="stage 4 is unknown"):
        parse(refused)


def test_both_read_lengths_of_five_bytes_and_refuse_sides_of_five() -> None:
    assert reference.Bytes(write_varint(2**35 - 1)).varint() == 2**35 - 1
    long_side = sealed(b"\x11", write_varint(2**28), b"\1\0")
    with pytest.raises(ValueError, match="too long"):
        reference.read_file(long_side)
    with pytest.raises(BitstreamError, match="width is longer than 4"):
        parse(long_side)


def test_both_refuse_an_extended_learned_header() -> None:
    data = sealed(b"\x10\1\1", b"abcd\x10\xa7\0", b"\2hi", b"\0")
    with pytest.raises(ValueError, match="learned header is extended"):
        reference.read_file(data)
    with pytest.raises(BitstreamError, match="learned header is extended"):
        parse(data)


@pytest.mark.parametrize(("kind", "content"), [(137, b"\x0a"), (138, b"")])
def test_reserved_boxes_are_skipped_today(kind: int, content: bytes) -> None:
    container = parse((GOLDEN / "base-6001e981-alpha.aec").read_bytes())
    data = serialise(replace(container, unknown={kind: content}))
    assert reference.read_file(data).skipped == [kind]
    assert parse(data).unknown == {kind: content}
    assert f"= {kind} |" in PAGE
