"""Comparisons are of equal bytes or say so; pages load nothing, and work in a browser by keys alone."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

import aecodec
from aecodec.benchmarks import comparison
from aecodec.benchmarks.comparison import BITS_BLOCK, BLOCK, Comparison, compare
from aecodec.benchmarks.comparison_page import page
from aecodec.benchmarks.crops import crop_comparison_of
from aecodec.benchmarks.equal_bytes import (
    NEAR,
    NEAR_ENOUGH,
    FineJpeg,
    match_size,
    nearest,
    reference_codecs,
)
from aecodec.benchmarks.measure import find_photographs
from aecodec.benchmarks.reference_codecs import ours, pillow_codecs
from aecodec.cli import app
from aecodec.cli.files import UsageError
from aecodec.container import Box, parse
from aecodec.picture import Picture
from aecodec.picture.reading import from_pillow
from aecodec.rate_map import rate_map
from tests.common import make_exif, make_icc, noise, photograph, picture_of_mode

HOSTILE = "<img src=x onerror=alert(1)>&'\"</script><script>alert(2)</script>.png"
QUALITY = aecodec.CompressOptions(quality=40)


def picture(width: int = 96, height: int = 64) -> Picture:
    return Picture(photograph(width, height))


def image_of(uri: str) -> Image.Image:
    """The image of a data URI."""
    kind, content = uri.split(";base64,")
    assert kind in ("data:image/webp", "data:image/png")
    return Image.open(io.BytesIO(base64.b64decode(content)))


def pixels_of(uri: str) -> np.ndarray[Any, Any]:
    """The pixels of a data URI."""
    return np.asarray(image_of(uri))


def run(*arguments: object) -> None:
    """A command, whose errors are raised."""
    code = app([str(argument) for argument in arguments], prog_name="aecodec", standalone_mode=False)
    if code:
        raise typer.Exit(code)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("quality", [0, 40, 90])
def test_the_bits_of_all_places_are_the_payload(mode: str, quality: float) -> None:
    data = aecodec.compress(picture_of_mode(mode, 97, 65), quality)
    container, bits = parse(data), rate_map(data)
    assert container.learned
    assert bits is not None
    assert bits.shape == (5, 7)
    assert 0 <= 8 * len(container.payload) - bits.sum() <= 80


def test_bits_are_where_there_is_something_to_code() -> None:
    pixels = np.full((128, 256, 3), 128, np.uint8)
    pixels[:, 128:] = photograph(128, 128)
    bits = rate_map(aecodec.compress(pixels, 90))
    assert bits is not None
    assert bits[:, 9:].sum() > 10 * bits[:, :7].sum()


def test_the_bits_of_a_reduced_picture_are_of_what_is_coded() -> None:
    data = aecodec.compress(photograph(128, 96), 50, reduce=2)
    bits = rate_map(data)
    assert bits is not None
    assert bits.shape == (3, 4)
    assert 0 <= 8 * len(parse(data).payload) - bits.sum() <= 80


def test_a_lossless_file_has_no_map_and_a_damaged_one_an_error() -> None:
    assert rate_map(aecodec.compress(photograph(40, 30), lossless=True)) is None
    with pytest.raises(aecodec.BitstreamError):
        rate_map(aecodec.compress(photograph(40, 30), 50)[:-1])


@pytest.mark.parametrize("quality", [1, 10, 25, 50, 75, 90, 100])
def test_jpeg_with_fractions_is_that_of_pillow_at_whole_qualities(quality: int) -> None:
    image, file = Image.fromarray(photograph(96, 64)), io.BytesIO()
    options = {"optimize": True, "progressive": True, "subsampling": "4:2:0"}
    image.save(file, "JPEG", quality=quality, **options)
    assert FineJpeg("JPEG", "JPEG", "", (), options).encode(image, quality) == file.getvalue()


@pytest.mark.parametrize("size", [700, 1200, 3000])
def test_each_codec_comes_as_near_as_it_can(size: int) -> None:
    image = Image.fromarray(photograph(96, 64))
    for codec in reference_codecs()[0]:
        match = match_size(codec, image, size)
        assert match.off == len(match.data) / size - 1
        assert match.equal == (abs(match.off) <= NEAR)
        assert match.data == codec.encode(image, match.quality)
        steps = range(-3, 4) if codec.step == 1 else range(-30, 31, 10)
        around = [match.quality + codec.step * step for step in steps]
        low, high = codec.span
        sizes = [len(codec.encode(image, round(q, 2))) for q in around if low <= q <= high]
        best = min(abs(each / size - 1) for each in sizes)
        assert abs(match.off) <= max(best, NEAR_ENOUGH), codec.name


@pytest.mark.parametrize("size", [1, 90, 100, 5000, 10**9])
def test_the_search_finds_the_nearest_of_sizes_that_rise(size: int) -> None:
    sizes = [90 + step**2 for step in range(101)]
    tried = []

    def encode(step: int) -> bytes:
        tried.append(step)
        return bytes(sizes[step])

    step, data = nearest(encode, (0, 100), 0.03, size)
    assert len(data) == sizes[step]
    least = min(abs(each - size) for each in sizes)
    assert abs(sizes[step] - size) <= max(least, NEAR_ENOUGH * size)
    assert len(tried) == len(set(tried)) <= 12


def test_a_comparison_holds_what_is_measured() -> None:
    given = picture(200, 180)
    found = compare(given, "a.png", QUALITY)
    ours = found.codecs[0]
    data = aecodec.compress(given.pixels, 40)
    assert (ours.codec, ours.bytes, ours.off, ours.note) == ("aecodec", len(data), 0, "")
    np.testing.assert_array_equal(pixels_of(found.original), given.pixels)
    np.testing.assert_array_equal(pixels_of(ours.image), np.asarray(aecodec.decompress(data)))
    assert [one.codec for one in found.codecs][:4] == ["aecodec", "JPEG", "WebP", "AVIF"]
    for one in found.codecs:
        assert one.off == pytest.approx(one.bytes / len(data) - 1)
        assert bool(one.note) == (abs(one.off) > NEAR)
        assert list(one.measures) == ["psnr", "ms_ssim", "ssimulacra2"]
        assert len(one.errors) == 25 * 23
        squares = np.square(pixels_of(one.image).astype(float) - given.pixels)
        assert one.errors[0] == round(8 * sqrt(squares[:BLOCK, :BLOCK].mean()))
        last = squares[176:, 192:]  # a place of 8x4 pixels
        assert one.errors[-1] == round(8 * sqrt(last.mean()))
    bits = rate_map(data)
    assert bits is not None
    assert found.bits == np.rint(bits).astype(int).ravel().tolist()


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA"])
def test_gray_and_transparent_pictures_are_compared(mode: str) -> None:
    image = picture_of_mode(mode, 96, 64)
    found = compare(from_pillow(image), "a.png", QUALITY)
    shown = pixels_of(found.original)
    assert shown.shape == (64, 96, 3)
    gray = mode in ("L", "LA")
    assert (shown == shown[..., :1]).all() == gray
    assert len(found.codecs) >= 4
    assert ("transparency is laid over white, as JPEG has none" in found.notes) == mode.endswith("A")
    if mode == "L":
        assert found.codecs[0].bytes == len(aecodec.compress(image, 40))


def test_one_pixel_is_compared_and_missed_sizes_are_said() -> None:
    found = compare(Picture(np.full((1, 1, 3), 200, np.uint8)), "dot.png", QUALITY)
    assert found.codecs[0].setting == "lossless"
    assert found.bits is None
    jpeg = found.codecs[1]
    assert jpeg.off > NEAR
    assert jpeg.note.endswith("% larger: the nearest that its quality gives")


def test_a_codec_that_fails_is_said_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    codecs, _ = reference_codecs()
    broken = replace(codecs[1], format="NONE")
    monkeypatch.setattr(comparison, "reference_codecs", lambda: ([codecs[0], broken], {"AVIF": "not built"}))
    found = compare(picture(), "a.png", QUALITY)
    assert [one.codec for one in found.codecs] == ["aecodec", "JPEG"]
    assert found.notes[0].startswith("WebP failed: KeyError")
    assert found.notes[1] == "AVIF is absent: not built"


@pytest.mark.parametrize("size", [(210, 90), (90, 210), (400, 20), (7, 700), (600, 8), (2, 2100), (1500, 3)])
def test_of_a_large_picture_a_part_is_shown(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "MOST_SHOWN", 64 * 64)
    given = picture(*size)
    found = compare(given, "a.png", QUALITY)
    assert found.left % BITS_BLOCK == found.top % BITS_BLOCK == 0
    width, height = found.shown_width, found.shown_height
    assert 0 < width * height <= 64 * 64
    part = np.s_[found.top : found.top + height, found.left : found.left + width]
    np.testing.assert_array_equal(pixels_of(found.original), given.pixels[part])
    for one in found.codecs:
        assert len(one.errors) == -(-width // BLOCK) * -(-height // BLOCK)
    assert len(found.bits or []) == -(-width // BITS_BLOCK) * -(-height // BITS_BLOCK)


def test_what_is_shown_is_where_codecs_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "MOST_SHOWN", 64 * 64)
    pixels = np.full((128, 192, 3), 90, np.uint8)
    other = pixels.copy()
    other[64:, 128:] = noise(64, 64)
    rows, columns = comparison.shown_part(pixels, [pixels, other])
    assert (rows, columns) == (slice(64, 128), slice(128, 192))


ICC = make_icc()
COLOURS = {
    "a profile": ("RGB", {Box.ICC: ICC}),
    "a large profile": ("RGB", {Box.ICC: ICC + noise(200, 200).tobytes()}),
    "a profile of gray": ("L", {Box.ICC: ICC[:16] + b"GRAY" + ICC[20:]}),
    "code points": ("RGB", {Box.COLOUR: bytes([9, 16, 0, 1])}),
    "code points of gray": ("L", {Box.COLOUR: bytes([9, 16, 0, 1])}),
    "both": ("RGBA", {Box.ICC: ICC, Box.COLOUR: bytes([12, 13, 0, 1])}),
}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(("mode", "colours"), COLOURS.values(), ids=COLOURS)
def test_all_pictures_of_the_page_say_what_the_colours_are(
    mode: str, colours: dict[Box, bytes], quick: bool
) -> None:
    given = replace(from_pillow(picture_of_mode(mode, 96, 64)), metadata=colours)
    found = compare(given, "a.png", QUALITY, quick=quick)
    for uri in (found.original, *(one.image for one in found.codecs)):
        assert from_pillow(image_of(uri)).metadata == colours


def test_crops_of_a_benchmark_say_what_the_colours_are(tmp_path: Path) -> None:
    Image.fromarray(photograph(96, 64)).save(tmp_path / "a.png", icc_profile=ICC)
    [given], _ = find_photographs(tmp_path)
    found = crop_comparison_of(given, [ours()[0], pillow_codecs()[0][0]])
    for uri in (found.original, *(one.image for one in found.codecs)):
        assert image_of(uri).info["icc_profile"] == ICC


def test_a_profile_of_other_samples_is_in_no_picture_of_the_page() -> None:
    given = replace(from_pillow(picture_of_mode("L", 96, 64)), metadata={Box.ICC: ICC})
    assert "icc_profile" not in image_of(compare(given, "a.png", QUALITY).original).info


def check_page(text: str) -> None:
    """It loads nothing, and a hostile name is no markup in it."""
    assert not re.search(r"https?:|//\w+\.\w", text.split('id="data"')[0])
    assert not re.search(r"https?:", text)
    assert "default-src 'none'" in text
    assert "<img src=x" not in text
    assert "<script>alert" not in text


@pytest.fixture(scope="module")
def compared() -> list[Comparison]:
    """Two pictures: one large enough for all measures, one with a hostile name and every note."""
    transparent = from_pillow(picture_of_mode("RGBA", 96, 64))
    return [compare(picture(200, 180), "a.png", QUALITY), compare(transparent, HOSTILE, QUALITY)]


def test_a_page_loads_nothing_and_names_are_no_markup(compared: list[Comparison]) -> None:
    text = page(compared)
    check_page(text)
    check_page(page(compared[1:]))
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert [one["name"] for one in data["pictures"]] == ["a.png", HOSTILE]


def test_the_command_writes_a_page_of_what_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    names = ["good.png", "bad.png", "deep.png"]
    good, bad, deep = (tmp_path / name for name in names)
    Image.fromarray(photograph(96, 64)).save(good)
    bad.write_bytes(b"no picture")
    Image.fromarray(np.zeros((20, 30), np.uint16)).save(deep)
    out = tmp_path / "page.html"
    with pytest.raises(typer.Exit):
        run("compare", good, bad, deep, tmp_path / "none.png", "--max-bytes", "1k", "-o", out, "--open")
    said = capsys.readouterr().err
    for fragment in ("good.png: aecodec", "bad.png: not a picture", "deep.png: has mode I;16", "none.png: "):
        assert fragment in said
    check_page(out.read_text(encoding="utf-8"))
    assert opened == [out.as_uri()]
    data = json.loads(out.read_text().split('id="data">')[1].split("</script>")[0])
    assert [one["name"] for one in data["pictures"]] == ["good.png"]
    assert data["pictures"][0]["codecs"][0]["bytes"] <= 1000
    with pytest.raises(UsageError, match="exists"):
        run("compare", good, "-o", out)
    with pytest.raises(UsageError, match="is the input"):
        run("compare", good, bad, "-o", bad, "--force")
    with pytest.raises(UsageError, match="exclude each other"):
        run("compare", good, "-q", "40", "--bpp", "1")
    with pytest.raises(aecodec.ImageError, match=r"bad\.png: not a picture"):
        run("compare", bad, "-o", tmp_path / "other.html")
    assert not (tmp_path / "other.html").exists()


@pytest.mark.parametrize("names", [[], ["-o", "a page.html"], ["-o", "link/../page.html"]])
def test_a_page_of_any_name_is_opened(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep" / "folder").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "folder")
    Image.fromarray(photograph(40, 30)).save("a.png")
    run("compare", "a.png", "--quiet", "--open", *names)
    [written] = tmp_path.rglob("*.html")
    assert opened == [written.as_uri()]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are any bytes on Linux alone")
def test_names_of_any_bytes_are_shown(tmp_path: Path) -> None:
    source = tmp_path / os.fsdecode(b"caf\xe9.png")
    Image.fromarray(photograph(40, 30)).save(source)
    run("compare", source, "-o", tmp_path / "page.html", "--quiet")
    assert r"caf\\udce9.png" in (tmp_path / "page.html").read_text(encoding="utf-8")
    run("compress", source, source.with_suffix(".aec"), "--quiet")
    run("export-html", source.with_suffix(".aec"), "-o", tmp_path / "other.html", "--quiet")
    assert r"<h1>caf\udce9.aec</h1>" in (tmp_path / "other.html").read_text(encoding="utf-8")


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(aecodec.MissingExtraError, match=r"pip install 'aecodec\[benchmark\]'"):
        run("compare", tmp_path / "a.png", "-o", tmp_path / "page.html")


def exported(image: Image.Image, folder: Path, name: str = "a.aec", **options: Any) -> tuple[str, bytes]:
    """The page of an image's file, and the file."""
    data = aecodec.compress(image, **options)
    (folder / name).write_bytes(data)
    run("export-html", folder / name, "--quiet")
    return (folder / name).with_suffix(".html").read_text(encoding="utf-8"), data


def embedded(text: str) -> Image.Image:
    """The one picture of a page."""
    (content,) = re.findall(r'<img src="data:image/(?:webp|png);base64,([^"]+)"', text)
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_an_exported_page_has_the_picture_and_no_metadata(tmp_path: Path) -> None:
    image = Image.fromarray(photograph(90, 60))
    profile = make_icc()
    image.info |= {"exif": make_exif(), "icc_profile": profile}
    text, data = exported(image, tmp_path, quality=40)
    shown = embedded(text)
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(aecodec.decompress(data)))
    assert shown.info["icc_profile"] == profile
    assert "exif" not in shown.info
    assert "leaves out: EXIF (" in text
    assert "90 × 60 pixels" in text
    assert "quality 40" in text
    check_page(text)
    assert "<script" not in text


def test_an_exported_page_shows_transparency_over_squares(tmp_path: Path) -> None:
    text, data = exported(picture_of_mode("RGBA", 60, 50), tmp_path)
    np.testing.assert_array_equal(np.asarray(embedded(text)), np.asarray(aecodec.decompress(data)))
    assert 'class="clear"' in text
    opaque, _ = exported(picture_of_mode("RGB", 60, 50), tmp_path, "b.aec")
    assert 'class="clear"' not in opaque
    assert "holds no metadata" in opaque


def test_colours_that_are_not_srgb_are_exported_as_png(tmp_path: Path) -> None:
    image = Image.fromarray(photograph(60, 50))
    image.info["cicp"] = bytes([12, 13, 0, 1])
    text, _ = exported(image, tmp_path)
    assert b"cICP" in base64.b64decode(text.split("data:image/png;base64,")[1].split('"')[0])


def test_hostile_names_and_files_are_exported_or_refused(tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "").replace(".png", ".aec")
    text, _ = exported(Image.new("RGB", (1, 1), "red"), tmp_path, name)
    check_page(text)
    assert "&lt;img src=x" in text
    with pytest.raises(UsageError, match="exists"):
        run("export-html", tmp_path / name)
    (tmp_path / "bad.aec").write_bytes(b"nothing")
    with pytest.raises(aecodec.NotAecodecError, match=r"bad\.aec: not an aecodec file"):
        run("export-html", tmp_path / "bad.aec")
    assert not (tmp_path / "bad.html").exists()


NAMES = ("aecodec", "JPEG", "WebP", "AVIF")


@pytest.fixture
def tab(browser: Any, compared: list[Comparison], tmp_path: Path) -> Iterator[Any]:
    """The page of two pictures; afterwards it had no error, no dialog and asked for nothing."""
    (tmp_path / "page.html").write_text(page(compared), encoding="utf-8")
    with browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True) as context:
        opened, wrong = context.new_page(), []
        opened.on("console", lambda message: wrong.append(message.text))
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.accept()))
        opened.on(
            "request",
            lambda asked: asked.url.startswith(("data:", "file:", "blob:")) or wrong.append(asked.url),
        )
        opened.goto((tmp_path / "page.html").as_uri())
        yield opened
        assert not wrong


def transforms(tab: Any) -> list[str]:
    """Where and how large the pictures stand, a text each."""
    found: list[str] = tab.eval_on_selector_all(".moved", "all => all.map(one => one.style.transform)")
    return found


def press(tab: Any, *keys: str) -> None:
    for key in keys:
        tab.keyboard.press(key)


def test_keys_show_every_view(tab: Any) -> None:
    assert tab.locator(".window").count() == 1
    assert tab.locator(".moved").count() == 2
    press(tab, "g")
    codecs = tab.locator("#rows tr").count()
    assert tab.locator(".window").count() == codecs + 1
    press(tab, "+", "+", "+", "+", "+", "ArrowLeft", "ArrowUp")
    assert tab.inner_text("#zoom") == "8x"
    assert len(transforms(tab)) == codecs + 1
    assert len(set(transforms(tab))) == 1
    before = transforms(tab)[0]
    press(tab, "ArrowRight")
    assert transforms(tab)[0] != before
    press(tab, "f", "2")
    assert "JPEG" in tab.inner_text("#panes")
    press(tab, "Space")
    assert "aecodec" in tab.inner_text("#panes")
    press(tab, "Space")
    assert "JPEG" in tab.inner_text("#panes")
    press(tab, "0")
    assert "original" in tab.inner_text("#panes")
    press(tab, "s", "Shift+3", "4")
    assert [tab.inner_text(f".name.{side}") for side in ("first", "second")] == ["WebP", "AVIF"]
    assert tab.eval_on_selector_all("img", "all => all.every(one => one.naturalWidth > 0)")


def test_space_flickers_after_a_click_and_presses_what_has_the_focus(tab: Any) -> None:
    tab.click("[data-view=flicker]")
    assert "JPEG" in tab.inner_text("#panes")
    press(tab, "Space")
    assert "aecodec" in tab.inner_text("#panes")
    tab.focus("[data-view=panes]")
    press(tab, "Space")
    assert tab.get_attribute("[data-view=panes]", "aria-pressed") == "true"


def test_letters_belong_to_the_list_that_has_the_focus(tab: Any) -> None:
    for where, key, chosen in (("left", "w", "WebP"), ("left", "p", "WebP"), ("right", "a", "AVIF")):
        tab.focus(f"#{where}")
        press(tab, key)
        assert tab.eval_on_selector(f"#{where}", "one => one.selectedOptions[0].text") == chosen
    press(tab, *"pgfmv", "Space", "2", "[", "+")
    assert tab.get_attribute("[data-view=slider]", "aria-pressed") == "true"
    assert tab.input_value("#picture") == "0"
    assert tab.input_value("#slider") == "50"
    tab.eval_on_selector("#right", "one => one.blur()")
    press(tab, "p")
    assert tab.input_value("#picture") == "1"


def test_space_opens_the_list_of_keys_that_has_the_focus(tab: Any) -> None:
    chosen = tab.input_value("#left")
    tab.focus("summary")
    press(tab, "Space")
    assert tab.is_visible("#keys dl")
    assert tab.input_value("#left") == chosen


def test_maps_are_drawn_over_the_codecs_that_have_them(tab: Any) -> None:
    press(tab, "g", "m")
    codecs = tab.locator("#rows tr").count()
    assert tab.locator("canvas").count() == codecs
    assert tab.eval_on_selector("canvas", "one => [one.width, one.height]") == [25, 23]
    assert "levels of 255" in tab.inner_text("#legend")
    press(tab, "m")
    assert tab.locator("canvas").count() == 1
    assert tab.eval_on_selector("canvas", "one => [one.width, one.height]") == [13, 12]
    assert "Bits of aecodec" in tab.inner_text("#legend")
    press(tab, "m")
    assert tab.locator("canvas").count() == 0
    assert not tab.is_visible("#legend")


def test_the_divider_follows_pointer_and_keys(tab: Any) -> None:
    def clip() -> float:
        return float(
            re.findall(r"[\d.]+(?=%)", tab.eval_on_selector("#over", "one => one.style.clipPath"))[0]
        )

    assert clip() == 50
    press(tab, "]")
    assert clip() == 48
    box, handle = tab.locator(".window").bounding_box(), tab.locator(".divider").bounding_box()
    tab.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + 20)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.25 * box["width"], handle["y"] + 20)
    tab.mouse.up()
    assert clip() == pytest.approx(75, abs=1)
    tab.mouse.move(box["x"] + 20, box["y"] + 20)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 30)
    tab.mouse.up()
    assert clip() == pytest.approx(25, abs=1)
    press(tab, *(25 * "["))
    tab.focus("#slider")
    press(tab, "ArrowRight")
    assert clip() == pytest.approx(74.5, abs=1)


def test_a_hostile_name_and_notes_are_shown_as_text(tab: Any, compared: list[Comparison]) -> None:
    press(tab, "p")
    assert tab.eval_on_selector("#picture", "one => one.selectedOptions[0].text") == HOSTILE
    assert "laid over white" in tab.inner_text("#notes")
    said = tab.inner_text("#rows")
    missed = [one.note for one in compared[1].codecs if one.note]
    assert all(note in said for note in missed)


def wilson(count: int, of: int) -> list[float]:
    """Wilson 1927: where the share may lie with a confidence of 95 %."""
    z = 1.959964
    share = count / of
    centre, half = share + z * z / (2 * of), z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return [(centre - half) / (1 + z * z / of), (centre + half) / (1 + z * z / of)]


def test_votes_are_blind_counted_and_saved(tab: Any) -> None:
    press(tab, "v")
    assert tab.locator(".window").count() == 3
    for seen in (tab.inner_text("#screen"), tab.inner_text("#votes"), tab.inner_text("#tools")):
        assert not any(name in seen for name in NAMES)
    labels = tab.eval_on_selector_all(".window", "all => all.map(one => one.ariaLabel)")
    assert labels == ["A", "original", "B"]
    assert not tab.is_visible("#measures")
    sources = "all => new Set(all.map(one => one.src)).size"
    assert tab.eval_on_selector_all("#panes img", sources) == 3
    tab.keyboard.down("Space")
    assert tab.eval_on_selector_all("#panes img", sources) == 1
    tab.keyboard.up("Space")
    assert tab.eval_on_selector_all("#panes img", sources) == 3
    press(tab, *"abanabbanab", "u")
    assert "10 votes" in tab.inner_text("#count")
    tab.click("[data-vote=a]")
    press(tab, "Escape")
    with tab.expect_download() as download:
        tab.click("#save")
    record = json.loads(Path(download.value.path()).read_text())
    assert download.value.suggested_filename == "votes.json"
    check_tally(record)
    row = tab.locator("#tally-rows tr").last.inner_text().split("\t")
    whole = record["tally"][-1]
    assert row[:4] == ["all", *(str(whole[name]) for name in ("ours", "other", "no_difference"))]


def check_tally(record: dict[str, Any]) -> None:
    """The tally of a saved record is what its votes say."""
    votes, seen = record["votes"], record["pictures"]
    assert len(votes) == 11
    assert [one["name"] for one in seen] == ["a.png", HOSTILE]
    assert all(seen[vote["place"]]["name"] == vote["picture"] for vote in votes)
    assert {vote["picture"] for vote in votes} == {"a.png", HOSTILE}
    assert {vote["a"] == "aecodec" for vote in votes} == {True, False}
    for one in record["tally"]:
        own = [vote for vote in votes if one["against"] in ("all", vote["a"], vote["b"])]
        assert all((vote["a"] == "aecodec") != (vote["b"] == "aecodec") for vote in own)
        nearer = [vote["nearer"] for vote in own]
        ours, none = nearer.count("aecodec"), nearer.count(None)
        assert (one["ours"], one["no_difference"]) == (ours, none)
        assert one["other"] == len(own) - ours - none
        if of := ours + one["other"]:
            assert one["share"] == pytest.approx(ours / of)
            assert one["interval"] == pytest.approx(wilson(ours, of), abs=1e-6)
        else:
            assert one["share"] is one["interval"] is None


def test_a_page_fits_a_phone_and_prints(tab: Any) -> None:
    tab.set_viewport_size({"width": 360, "height": 740})
    for key in "sgfv":
        press(tab, key)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360, key
    press(tab, "Escape")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.emulate_media(media="print")
    assert tab.locator("#paper img:visible").count() == tab.locator("#rows tr").count() + 1
    assert not tab.is_visible("#tools")
    assert tab.is_visible("#measures")


def test_pages_pass_the_rules_of_accessibility(tab: Any, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

    def check() -> None:
        found = axe.Axe().run(tab)
        assert found.violations_count == 0, found.generate_report()

    for scheme, keys in (("light", "s"), ("dark", "mv")):
        tab.emulate_media(color_scheme=scheme)
        press(tab, *keys)
        check()
    press(tab, "a", "Escape", "g")
    check()
    exported(picture_of_mode("RGBA", 60, 50), tmp_path)
    tab.evaluate("unsaved = false")
    tab.goto((tmp_path / "a.html").as_uri())
    assert tab.eval_on_selector("img", "one => one.naturalWidth") == 60
    check()
