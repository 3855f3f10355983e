"""The lab: each family trains a few steps and its files come back; samples, detectors, pages and commands."""

from __future__ import annotations

import gzip
import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from aecodec.cli import app
from aecodec.errors import AecodecError, ChecksumError, ImageError, ModelError, UnknownModelError
from aecodec.uses.anomaly import auroc

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aecodec.lab import detection, documents, figures, run, training, unet
    from aecodec.lab.catalogue import ENTRIES, Entry, entries
    from aecodec.lab.data import Samples, read_samples, windows
    from aecodec.lab.page import lab_page
    from aecodec.lab.run import Settings

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and compressai warn of themselves

SHAPES = [(5, 7), (1, 30)]


@cache
def split() -> tuple[Samples, Samples]:
    return read_samples(None).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def model(folder: Path) -> training.Model:
    """Principal components of digits, in a file."""
    return learned(entries(["components"])[0], folder)


def learned(entry: Entry, out: Path) -> training.Model:
    train, held_out = split()
    network = training.fit(entry, train.values, held_out.values, out / entry.name, 6 / max(entry.steps, 1))
    return training.write_model(entry.name, network, train.values, out / f"{entry.name}.safetensors")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_family_learns_and_its_files_come_back(entry: Entry, tmp_path: Path) -> None:
    held_out = split()[1].values[:5]
    model = learned(entry, tmp_path)
    read = training.read_model(tmp_path / f"{entry.name}.safetensors")
    assert read.coder.fingerprint == model.coder.fingerprint
    paths = figures.write_files(model, training.encode(model.network, held_out), tmp_path / "files", 400)
    decoded = training.decode(read.network, figures.read_files(read.coder, paths))
    assert decoded.shape == held_out.shape
    direct = training.decode(model.network, training.encode(model.network, held_out))
    assert np.mean((decoded - direct) ** 2) < 0.05


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_family_takes_samples_of_any_shape(entry: Entry, shape: tuple[int, int]) -> None:
    network, x = entry.build(shape), torch.rand(40, 1, *shape)
    with torch.no_grad():
        network.start(x)
    network.loss(x).backward()
    with torch.no_grad():
        network.finish(x)
        y = network.encode(x[:3])
        assert y.shape == (3, network.latents)
        assert network.decode(y).shape == (3, 1, *shape)
        assert torch.isfinite(network.decode(y)).all()


def test_training_lowers_the_error(tmp_path: Path) -> None:
    train, held_out = split()
    entry = entries(["linear"])[0]
    errors = []
    for share in (0.01, 0.1):
        network = training.fit(entry, train.values, held_out.values, tmp_path / str(share), share)
        errors.append(float(detection.errors_of(network, held_out.values).mean()))
    assert errors[1] < errors[0] / 2


def test_principal_components_code_digits_well(model: training.Model, tmp_path: Path) -> None:
    held_out = split()[1].values[:50]
    coded = figures.through_files(model, held_out, tmp_path, 48, bounded=True)
    assert coded.sizes.max() <= 48
    figure = figures.psnr(held_out, coded.decoded)
    assert figure is not None
    assert figure > 25


def test_a_model_file_that_is_damaged_is_refused(model: training.Model, folder: Path, tmp_path: Path) -> None:
    data = (folder / "components.safetensors").read_bytes()
    del model
    for number, damaged in enumerate([b"", data[:100], data[:-50], b"\xff" * 64, data[8:]]):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match="no sound model of the lab"):
            training.read_model(path)
    unet_file = tmp_path / "unet.safetensors"
    save_file(dict(unet.UNet().state_dict()), unet_file)
    with pytest.raises(ModelError, match="no sound model of the lab"):
        training.read_model(unet_file)


def test_a_file_of_another_model_is_refused(model: training.Model, tmp_path: Path) -> None:
    other = learned(entries(["linear"])[0], tmp_path)
    data = other.coder.encode(training.encode(other.network, split()[1].values[:1])[0])
    with pytest.raises(UnknownModelError, match="give that model"):
        model.coder.decode(data)


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


def test_odd_rows_are_told_from_normal_ones(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = np.cumsum(random.normal(size=(500, 1, 12)), 2).astype(np.float32)
    odd = random.normal(0, 4, (60, 1, 12)).astype(np.float32)
    for found in detection.rows(rows[:300], rows[300:400], rows[400:], odd, tmp_path, 0.3):
        assert found.auroc > 0.95
        assert found.recall is not None
        assert found.recall > 0.5
        assert found.false_positives is not None
        assert found.false_positives < 0.2


def test_one_class_of_digits_is_told_from_the_others() -> None:
    train, held_out = split()
    for label in "07":
        scores = detection.Whitening.of(detection.gradients(train.values[train.labels == label])).scores(
            detection.gradients(held_out.values)
        )
        normal = held_out.labels == label
        assert auroc(scores[normal], scores[~normal]) > 0.98


def test_pages_of_any_size_are_cleaned_without_seams() -> None:
    torch.manual_seed(0)
    network = unet.UNet().eval()
    page = np.random.default_rng(0).random((unet.BAND + 77, 41)).astype(np.float32)
    with torch.no_grad():
        padded = np.pad(page, ((0, -len(page) % 8), (0, 7)), mode="edge")
        whole = network(torch.from_numpy(padded[None, None]))[0, 0].numpy()[: len(page), :41].clip(0, 1)
    np.testing.assert_allclose(unet.clean(network, page), whole, atol=1e-5)
    assert unet.clean(network, page[:1, :1]).shape == (1, 1)


def test_the_unet_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unet, "PAGES", 4)
    monkeypatch.setattr(unet, "CROP", 32)
    network = unet.learn_cleaning(tmp_path, 60 / unet.STEPS)
    random = np.random.default_rng(5)
    page = documents.make_page(random, 64, 64, documents.TRAINED)
    assert page.spoiled.shape == page.clean.shape == (64, 64)
    again = unet.read_cleaning(tmp_path / "unet.safetensors")
    seen = documents.add_noise(random, page.spoiled, 0.15)
    np.testing.assert_allclose(unet.clean(again, seen), unet.clean(network, seen), atol=1e-5)
    assert np.mean((unet.clean(network, seen) - page.clean) ** 2) < 2 * np.mean((seen - page.clean) ** 2)


def test_networks_are_trained_side_by_side(tmp_path: Path) -> None:
    train, held_out = split()
    settings, lines = Settings(tmp_path, 0.002, 48), list[str]()
    jobs = run.jobs_of(train, held_out, entries(["components", "linear"]), False, False, settings)
    run.train_ahead(jobs, lines.append)
    assert {line.split(": ")[1] for line in lines} == {"components", "linear"}
    state = torch.load(tmp_path / "linear" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 2
    written = (tmp_path / "linear" / "checkpoint.pt").stat().st_mtime_ns
    [linear] = entries(["linear"])
    training.fit(linear, train.values, held_out.values, tmp_path / "linear", 0.002)
    assert (tmp_path / "linear" / "checkpoint.pt").stat().st_mtime_ns == written  # nothing is left to train


def test_a_run_writes_a_page_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AECODEC_THREADS", "1")  # in this process, as others would take longer to start
    train, held_out = split()
    few = Samples(
        np.concatenate([train.values[:60], held_out.values[:40]]), train.labels[:100], True, "<few digits>"
    )
    settings = Settings(tmp_path, 0.005, 48)
    lines: list[str] = []
    chosen = entries(["components", "vae", "inpainting"])
    report = run.run_pictures(few, chosen, settings, lines.append, odd=True)
    assert {"each class as the normal one, mean", "breast cancer"} <= {data for data, _ in report.detections}
    run.write_record(settings, report)
    page = lab_page(report)
    assert "&lt;few digits&gt;" in page
    for name in ("components", "vae", "inpainting", "PNG", "JPEG", "WebP", "aecodec"):
        assert f"<td>{name}</td>" in page
    assert "http" not in page
    first = json.loads((tmp_path / run.RECORD).read_text())["figures"]
    again = run.run_pictures(few, chosen, settings, lines.append)
    assert [row.psnr for row in again.figures] == [row["psnr"] for row in first]
    assert len(list((tmp_path / "vae" / "files").iterdir())) == 20
    with pytest.raises(AecodecError, match="other samples or steps"):
        run.claim_folder(Settings(tmp_path, 0.5, 48), few)


def test_rows_need_a_label_that_some_have(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((40, 1, 3), np.float32)
    rows = Samples(values, np.array(["a"] * 40), False, "rows")
    with pytest.raises(AecodecError, match="name with --normal a label"):
        run.run_rows(rows, "b", Settings(tmp_path, 0.01, 48))


def invoke(*arguments: object) -> None:
    """Run a command in this process; its error is raised."""
    result = CliRunner().invoke(app, ["lab", *map(str, arguments)])
    if result.exception:
        raise result.exception


def test_the_commands_encode_and_decode(model: training.Model, folder: Path, tmp_path: Path) -> None:
    del model
    digit = np.rint(split()[1].values[0] * 255).astype(np.uint8)
    Image.fromarray(digit).save(tmp_path / "digit.png")
    weights = folder / "components.safetensors"
    coded, decoded = tmp_path / "digit.ael", tmp_path / "decoded.png"
    invoke("encode", tmp_path / "digit.png", "-m", weights, "-o", coded)
    assert coded.stat().st_size <= 48
    invoke("decode", coded, "-m", weights, "-o", decoded)
    error = np.asarray(Image.open(decoded), np.float64) - digit
    assert np.sqrt((error**2).mean()) < 12
    coded.write_bytes(coded.read_bytes()[:-1])
    with pytest.raises(ChecksumError, match="get a sound copy"):
        invoke("decode", coded, "-m", weights, "-o", decoded, "--force")
    with pytest.raises(AecodecError, match="'nothing' is not in the catalogue"):
        invoke("run", "nothing", "-o", tmp_path / "out")


def test_the_command_runs_on_rows(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lines = [
        ",".join([*(f"{value:.3f}" for value in random.normal(0, 1 + 4 * odd, 6)), "odd" if odd else "good"])
        for odd in [False] * 60 + [True] * 10
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    given = ("--data", tmp_path / "rows.csv", "--labels", 7, "--share", 0.01)
    arguments = ("run", "-o", tmp_path / "out", *given)
    invoke(*arguments, "--normal", "good")
    assert "dense autoencoder" in (tmp_path / "out" / "lab.html").read_text()
    with pytest.raises(AecodecError, match="has 0 rows labelled 'fine'"):
        invoke(*arguments, "--normal", "fine")
