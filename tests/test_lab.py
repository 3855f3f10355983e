"""The lab: each family trains a few steps and its files come back; samples, detectors, pages and commands."""

from __future__ import annotations

import json
import sys
import warnings
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from aecodec.errors import AecodecError, ModelError, UnknownModelError
from aecodec.uses.anomaly import auroc

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aecodec.lab import detection, documents, figures, run, stopping, training, unet
    from aecodec.lab.catalogue import ENTRIES, Entry, entries
    from aecodec.lab.data import Samples, read_samples
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


def test_a_network_that_is_written_again_keeps_its_file(tmp_path: Path) -> None:
    train = split()[0]
    [entry] = entries(["components"])
    network = training.fit(entry, train.values, split()[1].values, tmp_path / "components")
    files = [tmp_path / f"{number}.safetensors" for number in range(8)]
    first = [training.write_model("components", network, train.values, file) for file in files]
    assert len({file.read_bytes() for file in files}) == 1
    data = files[0].read_bytes()
    names, shape = b'"name":"components"', b'"shape":"8x8"'
    turned = data.replace(names + b"," + shape, shape + b"," + names)  # as releases wrote it at times
    assert turned != data
    files[0].write_bytes(turned)
    again = training.write_model("components", network, train.values, files[0])
    assert files[0].read_bytes() == turned
    coded = again.coder.encode(training.encode(network, train.values[:1])[0])
    assert again.coder.fingerprint == training.fingerprint_of(files[0]) != first[0].coder.fingerprint
    training.read_model(files[0]).coder.decode(coded)
    with torch.no_grad():
        network.mean += 0.01
    assert training.write_model("components", network, train.values, files[1]).coder.fingerprint not in (
        first[0].coder.fingerprint,
        again.coder.fingerprint,
    )


def test_a_file_of_another_model_is_refused(model: training.Model, tmp_path: Path) -> None:
    other = learned(entries(["linear"])[0], tmp_path)
    data = other.coder.encode(training.encode(other.network, split()[1].values[:1])[0])
    with pytest.raises(UnknownModelError, match="give that model"):
        model.coder.decode(data)


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


def test_rows_are_alike_wherever_they_are(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 1, 4))
    rows[:, :, 3] = 0.1  # constant
    near = detection.standardised(rows[:40], [rows[:40], rows[40:]])
    assert abs(near[0].mean()) < 1e-6
    np.testing.assert_allclose(near[0].std(0)[0], [1, 1, 1, 0], atol=1e-6)
    for offset, scale in ((2460000.5, 0.03), (1.7e9, 1), (0, 1e25), (0, 1e-30)):
        moved = offset + scale * rows
        far = detection.standardised(moved[:40], [moved[:40], moved[40:]])
        for one, other in zip(near, far, strict=True):
            np.testing.assert_allclose(one[:, :, :3], other[:, :, :3], atol=1e-4)
    [odd] = detection.standardised(rows, [np.full((1, 1, 4), 1e100)])
    assert np.isfinite(odd**2).all()


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


def test_an_interrupted_run_asks_its_processes_to_stop(tmp_path: Path) -> None:
    train, held_out = split()
    settings = Settings(tmp_path, 100, 48)
    jobs = run.jobs_of(train, held_out, entries(["components", "linear"]), False, False, settings)

    def end(line: str) -> None:
        sys.exit(143)  # as SIGTERM does, which no other process gets

    with pytest.raises(SystemExit):
        run.train_ahead(jobs, end)
    checkpoint = tmp_path / "linear" / "checkpoint.pt"
    assert not checkpoint.exists() or torch.load(checkpoint, weights_only=True)["step"] < 100_000


def test_what_is_asked_to_stop_saves_what_was_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, held_out = split()
    answers = iter([False, False, False, True])
    monkeypatch.setattr(stopping, "asked", SimpleNamespace(is_set=lambda: next(answers)))
    with pytest.raises(KeyboardInterrupt):
        training.fit(entries(["linear"])[0], train.values, held_out.values, tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 3
    monkeypatch.setattr(stopping, "asked", SimpleNamespace(is_set=lambda: True))
    with pytest.raises(KeyboardInterrupt):
        unet.learn_cleaning(tmp_path)


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
