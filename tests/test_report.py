"""Measuring is complete and resumes; the report is one page that says what was measured."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from aecodec import AecodecError
from aecodec.benchmarks.bd_rate import Comparison
from aecodec.benchmarks.figures import COLOURS, MARKERS, draw_curves, draw_difference
from aecodec.benchmarks.measure import (
    Journal,
    Measurement,
    Photograph,
    Task,
    curves_of,
    find_photographs,
    left_out,
    mean_curve,
    measure,
    measure_one,
)
from aecodec.benchmarks.reference_codecs import (
    JPEG,
    OURS,
    OURS_ENHANCED,
    OURS_PSNR,
    ReferenceCodec,
    all_codecs,
    ours,
    pillow_codecs,
)
from aecodec.benchmarks.report import (
    as_record,
    draw_all,
    monotone,
    overview,
    published,
    shade,
    verdict,
    write,
)
from aecodec.benchmarks.run import KODAK, Results, Row, environment, incomplete, prepare, run
from aecodec.benchmarks.speed import cold_command
from tests.common import ROOT, photograph, picture_of_mode

CODECS = {codec.name: codec for codec in pillow_codecs()[0]}


class Broken(ReferenceCodec):
    """A codec that swaps the sides of what it decodes."""

    def decode(self, data: bytes) -> Image.Image:
        return ReferenceCodec.decode(self, data).transpose(Image.Transpose.ROTATE_90)


pytestmark = pytest.mark.xdist_group("report")  # whose measurements take a minute


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n in range(4):
        Image.fromarray(photograph(180 + 4 * n, 170)).save(folder / f"{n}.png")
    return folder


def photographs_in(folder: Path) -> list[Photograph]:
    return find_photographs(folder)[0]


class Deadly(ReferenceCodec):
    """A codec that takes its process with it."""

    def encode(self, image: Image.Image, quality: float) -> bytes:
        os.abort()


def test_a_codec_that_kills_its_process_has_failed_and_the_rest_is_measured(
    pictures: Path, tmp_path: Path
) -> None:
    deadly = Deadly("deadly", "JPEG", "1", (50,))
    tasks = [Task(codec, photographs_in(pictures)[0], (50,), ("psnr",)) for codec in (deadly, CODECS[JPEG])]
    found = measure(tasks, tmp_path / "journal", 1, lambda done, of: None)
    assert found[0].failure == "its process died"
    assert found[1].metrics["psnr"] > 25
    assert Journal(tmp_path / "journal").missing(tasks[0]) == tasks[0]  # failures are tried again


def test_what_cannot_be_compared_is_left_out_with_a_reason(pictures: Path) -> None:
    picture_of_mode("RGBA", 20, 20).save(pictures / "see-through.png")
    Image.fromarray(np.zeros((20, 20), np.uint16)).save(pictures / "deep.png")
    (pictures / "broken.png").write_bytes(b"no picture")
    photographs, absent = find_photographs(pictures)
    assert len(photographs) == 4
    assert "transparency" in absent["see-through.png"]
    assert "deep.png" in absent
    assert "broken.png" in absent


def test_failures_are_counted_and_not_measured(pictures: Path) -> None:
    broken = Broken("broken", "JPEG", "1", (50,), {"quality": "QUALITY"}, "none")
    one = photographs_in(pictures)[0]
    found = measure_one(broken, one, 50, ("psnr",))
    assert "came back for" in found.failure
    assert (found.bytes, found.bpp, found.metrics) == (None, None, {})
    unknown = replace(CODECS[JPEG], format="NOSUCH")
    assert "KeyError" in measure_one(unknown, one, 50, ("psnr",)).failure


def test_bpp_counts_the_whole_file(pictures: Path) -> None:
    one = photographs_in(pictures)[0]
    found = measure_one(CODECS[JPEG], one, 50, ("psnr",))
    data = CODECS[JPEG].encode(Image.open(one.path), 50)
    assert found.bytes == len(data)
    assert found.bpp == 8 * len(data) / (180 * 170)


def test_a_run_takes_up_where_it_stopped(pictures: Path, tmp_path: Path) -> None:
    photographs, calls = photographs_in(pictures), []
    tasks = [Task(CODECS[JPEG], one, (30, 60), ("psnr",)) for one in photographs]
    journal = tmp_path / "journal.jsonl"
    first = measure(tasks[:2], journal, 1, lambda done, of: None)
    journal.write_text(journal.read_text() + '{"key": "cut o')
    both = measure(tasks, journal, 2, lambda done, of: calls.append((done, of)))
    assert calls[0] == (2, 4)
    assert calls[-1] == (4, 4)
    assert both[:4] == first
    assert [m.image for m in both] == [one.name for one in photographs for _ in range(2)]
    other = replace(tasks[0], codec=replace(CODECS[JPEG], version="another"))
    assert Journal(journal).missing(other) == other


def test_equal_pixels_are_measured_once_under_both_names(pictures: Path, tmp_path: Path) -> None:
    shutil.copy(pictures / "0.png", pictures / "copy.png")
    first, *_, last = photographs_in(pictures)
    tasks = [Task(CODECS[JPEG], one, (50,), ("psnr",)) for one in (first, last)]
    assert [m.image for m in measure(tasks, tmp_path / "journal", 1, lambda done, of: None)] == [
        "0.png",
        "copy.png",
    ]


def test_our_version_names_whatever_may_change_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from aecodec.model.registry import Model, model_named

    before, base = ours()[0].version, model_named("base")
    other = Model(base.name, base.manifest, {**base.files, "analysis.onnx": b""})
    monkeypatch.setattr("aecodec.benchmarks.reference_codecs.model_named", lambda name: other)
    assert ours()[0].version != before


def points(image: str, psnr: Sequence[float | None], codec: str = "c") -> list[Measurement]:
    """Files at qualities from 1 on; None is the PSNR of one without loss."""
    return [
        Measurement(codec, n, image, 10 * n, n / 10, {} if value is None else {"psnr": value})
        for n, value in enumerate(psnr, 1)
    ]


def test_curves_leave_out_what_is_not_there_for_every_picture() -> None:
    found = [*points("a", (30, 35, 36, 37)), *points("b", (40, 41, 42, None))]
    curves = curves_of(found, "c", "psnr")
    assert curves["a"][:, 1].tolist() == [30, 35, 36]
    assert mean_curve(curves)[0].tolist() == [0.1, 35]
    other = points("c", (30,), codec="other")
    assert not curves_of([*found, *other], "c", "psnr")  # of picture c there is nothing


def test_a_picture_that_one_codec_stores_without_loss_is_left_out_of_all_curves_by_name() -> None:
    rising = 30, 31, 32, 33, 34
    found = [*points("a", rising), *points("flat", (None,) * 5)]
    found += [*points("a", rising, "other"), *points("flat", rising, "other")]
    for codec in ("c", "other"):
        assert list(curves_of(found, codec, "psnr")) == ["a"]
    assert left_out(found, "psnr") == {
        "flat": "c lost nothing of it, or it is too small, at 5 of 5 qualities"
    }
    assert list(incomplete(found, ("psnr", "ssim"))) == ["flat under PSNR RGB (dB)"]


def test_a_codec_that_fails_leaves_no_picture_out() -> None:
    failed = replace(points("b", (None,))[0], bytes=None, bpp=None, failure="broken")
    assert not left_out([*points("a", (30,)), failed], "psnr")


# Codecs that differ from others of the report only by options: `tests/test_benchmarks.py` has them all.
ALIKE = {
    OURS_PSNR,
    f"{OURS}, effort 1",
    "JPEG 4:2:0, enhanced",
    "JPEG 4:4:4 progressive",
    "AVIF 4:2:0",
    "AVIF 4:4:4",
}


def unlike_codecs(effort: int | None) -> tuple[list[ReferenceCodec], dict[str, str]]:
    codecs, absent = all_codecs(effort)
    return [codec for codec in codecs if codec.name not in ALIKE], absent


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder, out = tmp_path_factory.mktemp("pictures"), tmp_path_factory.mktemp("report")
    for n in range(2):
        Image.fromarray(photograph(100 + 4 * n, 90)).save(folder / f"<{n}>.png")
    picture_of_mode("RGBA", 20, 20).save(folder / "see-through.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aecodec.benchmarks.run.all_codecs", unlike_codecs)
        return run(folder, out, True, 1, ["aecodec", "benchmark"], lambda what, done, of: None, effort=1)


@pytest.fixture(scope="module")
def report(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("written")
    write(results, out)
    return out


def test_the_report_is_one_page_without_network(report: Path) -> None:
    page = (report / "report.html").read_text()
    assert "files are" in page
    assert "see-through.png is absent: has transparency" in page
    assert "&lt;0&gt;.png" in page
    assert "<0>" not in page
    assert "<title>aecodec: 3" in page or "<title>aecodec: 2" in page  # labels on hover
    for outside in ("http://", "https://"):
        named = {text.split('"')[0].split("<")[0] for text in page.split(outside)[1:]}
        assert all(
            name.startswith(("www.w3.org", "purl.org", "creativecommons.org", "matplotlib.org"))
            for name in named
        )


def test_the_record_holds_every_file(report: Path) -> None:
    record = json.loads((report / "report.json").read_text())
    assert record["schema"] == "aecodec-benchmark/1"
    assert len(record["photographs"]) == 2
    assert not [m for m in record["measurements"] if m["failure"]]
    with (report / "measurements.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(record["measurements"])
    assert OURS in {row["codec"] for row in rows}
    assert {row["codec"] for row in rows} == {codec["name"] for codec in record["peers"]}
    for name in ("rate-psnr", "rate-ssimulacra2", "difference-psnr", "quality"):
        assert (report / f"{name}.svg").stat().st_size > 1000
        assert (report / f"{name}.png").stat().st_size > 1000


def test_an_effort_is_measured_and_not_timed(results: Results) -> None:
    improved = f"{OURS_ENHANCED}, effort 1"
    assert len(results.curves("psnr")[improved]) == 2
    assert OURS in {speed.codec for speed in results.speeds}
    assert improved not in {speed.codec for speed in results.speeds}
    sizes = {
        name: [m.bytes for m in results.measurements if (m.codec, m.quality) == (name, 50)]
        for name in (OURS, improved)
    }
    assert sizes[OURS] != sizes[improved]


def test_each_variant_of_ours_is_compared_with_each_codec(results: Results) -> None:
    mine = [codec.name for codec in results.codecs if not codec.format]
    for metric in results.metrics:
        pairs = [(row.anchor, row.codec) for row in results.rows if row.metric == metric]
        assert len(set(pairs)) == len(pairs)
        assert {(JPEG, name) for name in mine} < set(pairs)
        assert {("WebP", name) for name in mine} < set(pairs)
        assert {(OURS, name) for name in mine if name != OURS} < set(pairs)


@pytest.mark.parametrize("codec", ours(effort=2), ids=lambda codec: codec.name)
def test_a_command_is_timed_with_its_own_options(codec: ReferenceCodec, tmp_path: Path) -> None:
    image, source, target = Image.fromarray(photograph(80, 60)), tmp_path / "a.png", tmp_path / "a.aec"
    image.save(source)
    subprocess.run(cold_command(codec, 40, source, target), check=True, cwd=ROOT)
    assert target.read_bytes() == codec.encode(image, 40)


def test_curves_of_all_codecs_look_different() -> None:
    count = len(all_codecs(effort=4)[0]) + 3
    styles = {(COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)]) for n in range(count)}
    assert len(styles) == count


def test_monotony_looks_at_each_picture() -> None:
    def point(image: str, quality: float, size: int, psnr: float) -> Measurement:
        return Measurement("c", quality, image, size, size, {"psnr": psnr})

    rising = [point("a", 0, 10, 30), point("a", 1, 20, 31), point("b", 0, 12, 29), point("b", 1, 13, 35)]
    assert monotone(rising, "c")
    assert not monotone([*rising[:3], point("b", 1, 11, 35)], "c")
    assert not monotone([*rising[:3], point("b", 1, 13, 28)], "c")


def test_monotony_looks_at_files_without_loss() -> None:
    assert monotone(points("a", (30, 31, None)), "c")
    assert not monotone(points("flat", (None, None)), "c")
    assert not monotone(points("a", (30, None, 31)), "c")


def test_others_points_are_drawn_on_kodak_alone(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    assert published(results) == {}
    kodak = replace(results, photographs=find_photographs(KODAK)[0])
    assert "VTM 9.1" in published(kodak)
    assert all(curve["source"] and curve["settings"] for curve in published(kodak).values())
    monkeypatch.setattr("aecodec.benchmarks.report.KODAK", Path("/nowhere"))
    assert published(kodak) == {}


def test_the_verdict_says_why_there_is_no_number(results: Results) -> None:
    assert "quick look" in verdict(results)
    rows = [replace(row, result=None, reason="the curves share no range") for row in results.rows]
    assert verdict(replace(results, rows=rows)).startswith("Nothing can be said")


def results_of(rates: dict[str, float], mean: float) -> Results:
    """Ours against JPEG 2000: the rate difference of the mean curves, and of each picture."""
    low, middle, high = np.percentile(list(rates.values()), [25, 50, 75])
    found = Comparison(mean, mean, 25, 40, 0.8, None, (low, middle, high), rates)
    rows = [Row("psnr", anchor, OURS, found) for anchor in (JPEG, "JPEG 2000")]
    photographs = [Photograph("a", Path("a"), "", 1, 1)]
    return replace(empty_results(), rows=rows, codecs=[CODECS["JPEG 2000"]], photographs=photographs)


def test_the_verdict_and_the_table_say_where_most_pictures_are_unlike_the_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "aecodec.benchmarks.report.published", lambda results: {}
    )  # the photograph has no file
    unlike = results_of({"a": -20, "b": 3, "c": 4, "d": 5}, -10.5)
    aside = ", though larger on 3 of 4 pictures (median +3.5 %)"
    strongest = ", the strongest of the others, mean of 0 pictures."
    assert verdict(unlike).endswith(f" and 10.5 % smaller than JPEG 2000 by mean curves{aside}{strongest}")
    assert f"than {JPEG} by mean curves{aside} and" in verdict(unlike)
    write(unlike, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"-2.8, +3.5, +4.2{aside}</td>" in page
    assert CODECS["JPEG 2000"].note in page
    beyond = results_of({"a": -45, "b": -46, "c": -47}, -31)
    assert f"by mean curves, and smaller on 3 of 3 pictures (median -46.0 %){strongest}" in verdict(beyond)
    assert f" and 10.0 % smaller than JPEG 2000{strongest}" in verdict(results_of({"a": -11, "b": -9}, -10))


def test_labels_tell_values_of_every_scale_apart() -> None:
    points = np.array([(0.1, 0.7012), (0.2, 0.7144), (0.5, 0.8), (1, 0.9)])
    curves = {"a": {"one": points}, "b": {"one": points * (2, 1)}}
    assert "a: 0.7144 at 0.200 bpp" in draw_curves(curves, {}, "SSIM")[1].values()
    assert "published, published: 0.7144 at 0.200 bpp" in (
        draw_curves(curves, {"published": points}, "SSIM")[1].values()
    )
    assert "b: +100.0 % at 0.7012" in draw_difference(curves, "a", "SSIM")[1].values()


@pytest.mark.skipif(not features.check("libjpeg_turbo"), reason="this Pillow has another libjpeg")
def test_the_report_shows_the_release_of_libjpeg_turbo() -> None:
    turbo, interface = (features.version(feature) for feature in ("libjpeg_turbo", "jpg"))
    assert CODECS[JPEG].version.startswith(f"libjpeg-turbo {interface}, ")  # as the journal's keys have it
    jpegs = [codec for codec in CODECS.values() if codec.format == "JPEG"]
    record = as_record(replace(empty_results(), codecs=jpegs))
    assert all(codec["version"].startswith(f"libjpeg-turbo {turbo}, ") for codec in record["peers"])


def test_the_report_does_not_lie_among_the_pictures(pictures: Path) -> None:
    with pytest.raises(AecodecError, match="holds the pictures"):
        run(pictures, pictures, True, 1, [], lambda what, done, of: None)
    with pytest.raises(AecodecError, match="cannot hold a report"):
        run(pictures, pictures / "0.png", True, 1, [], lambda what, done, of: None)


def empty_results() -> Results:
    """What a run that measured nothing has to say."""
    return Results("", False, [], [], ("psnr",), {}, [], [], [], [], environment())


def test_nothing_but_the_plots_of_an_earlier_report_is_removed(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "documents"
    out.mkdir()
    own = {"rate-card.txt", "rate-of-exchange.svg", "difference-engine.png", "quality.md"}
    for name in own | {"rate-ssim.svg", "difference-psnr.png", "quality.png"}:
        (out / name).write_text("old")
    prepare(out, pictures)
    draw_all(empty_results(), out)
    assert {path.name for path in out.iterdir()} == own


WRITE = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.test_report import empty_results, photographs_in, write
write(replace(empty_results(), photographs=photographs_in(Path(sys.argv[1]))), Path(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are any bytes on Linux alone")
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_reports_are_utf_8_in_every_locale_and_with_names_of_any_bytes(locale: str, tmp_path: Path) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    Image.fromarray(photograph(20, 20)).save(folder / os.fsdecode(b"caf\xe9.png"))
    (folder / os.fsdecode(b"bad\xe9.png")).write_bytes(b"no picture")
    variables = {**os.environ, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "LC_ALL": locale}
    subprocess.run([sys.executable, "-c", WRITE, folder, out], env=variables, check=True)
    assert r"caf\udce9.png" in (out / "report.html").read_text(encoding="utf-8")
    record = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in record["photographs"]] == [r"caf\udce9.png"]
    assert list(find_photographs(folder)[1]) == [r"bad\udce9.png"]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    def refused(folder: Path, message: str) -> None:
        with pytest.raises(AecodecError, match=message):
            run(folder, tmp_path / "out", True, 1, [], lambda what, done, of: None)

    refused(tmp_path, "holds no pictures")
    refused(tmp_path / "nothere", "nothere does not exist: name a folder")
    picture_of_mode("RGBA", 20, 20).save(tmp_path / "see-through.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    refused(tmp_path, "broken.png: not a picture.*; see-through.png: has transparency")
    refused(tmp_path / "broken.png", "is no folder")
    assert not (tmp_path / "out").exists()


def test_the_page_works_in_a_browser(browser: Any, report: Path) -> None:
    with browser.new_context() as context:
        tab, wrong = context.new_page(), []
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto((report / "report.html").as_uri())

        def column() -> list[float]:
            return [
                float(text) for text in tab.locator("#pictures tbody tr td:nth-child(2)").all_inner_texts()
            ]

        head = tab.locator("#pictures th button").nth(1)
        head.click()
        rising = column()
        assert rising == sorted(rising)
        head.press("Enter")
        assert column() == rising[::-1]
        tab.fill("#slider", "20")
        assert tab.eval_on_selector("#over", "one => one.style.clipPath") == "inset(0px 80% 0px 0px)"
        assert "bytes" in tab.inner_text("#panes figcaption")
        assert tab.eval_on_selector_all("#panes img", "all => all.every(one => one.naturalWidth > 0)")
        assert not wrong


def test_the_page_without_pictures_to_show_works_in_a_browser(browser: Any, tmp_path: Path) -> None:
    photographs = [Photograph("a", Path(__file__), "", 1, 1)]
    write(replace(empty_results(), photographs=photographs), tmp_path)
    with browser.new_context() as context:
        tab, wrong = context.new_page(), []
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto((tmp_path / "report.html").as_uri())
        tab.keyboard.press("s")
        assert not wrong
        assert "Nothing can be said" in tab.inner_text("#verdict")


def test_the_overview_has_the_eye_first_and_colours_what_is_certain() -> None:
    def row(metric: str, anchor: str, rate: float, interval: tuple[float, float] | None) -> Row:
        return Row(metric, anchor, OURS, Comparison(rate, rate, 25, 40, 0.8, interval, None, {}))

    rows = [row("psnr", JPEG, -30, (-33, -28)), row("ssimulacra2", JPEG, -50, None)]
    rows += [row("psnr", "WebP", 3, (-1, 8)), Row("ssimulacra2", "WebP", OURS, None, "none")]
    rows += [row("psnr", OURS, 1, None)]  # ours against itself is not shown
    results = replace(
        empty_results(), metrics=("psnr", "ssimulacra2"), rows=rows, codecs=[CODECS[JPEG], ours()[0]]
    )
    metrics, table = overview(results)
    assert metrics == ["ssimulacra2", "psnr"]
    assert {anchor: [one and one.reason for one in found] for anchor, found in table.items()} == {
        JPEG: ["", ""],
        "WebP": ["none", ""],
    }
    assert [shade(one.result) for one in rows[:3] if one.result] == ["much smaller", "much smaller", "unsure"]
    assert verdict(results).startswith(
        "Where pictures look alike (equal SSIMULACRA 2), aecodec's files are 50.0"
    )
