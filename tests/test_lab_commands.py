"""`aecodec lab`: its options, its files and what it refuses."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from aecodec.cli import app
from aecodec.cli.files import UsageError
from aecodec.errors import AecodecError, ChecksumError, ImageError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aecodec.lab import run, training, unet
    from aecodec.lab.catalogue import entries
    from aecodec.lab.data import read_samples
    from aecodec.training.loop import save_weights

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and compressai warn of themselves

DIGIT = np.rint(read_samples(None).values[0] * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Principal components of digits."""
    folder = tmp_path_factory.mktemp("lab")
    train, held_out = read_samples(None).split()
    [entry] = entries(["components"])
    network = training.fit(entry, train.values, held_out.values, folder / entry.name)
    training.write_model(entry.name, network, train.values, folder / "components.safetensors")
    return folder / "components.safetensors"


def invoke(*arguments: object) -> None:
    """Run a command in this process; its error is raised."""
    result = CliRunner().invoke(app, ["lab", *map(str, arguments)])
    if result.exception:
        raise result.exception


def test_the_commands_encode_and_decode(weights: Path, tmp_path: Path) -> None:
    Image.fromarray(DIGIT).save(tmp_path / "digit.png")
    coded, decoded = tmp_path / "digit.ael", tmp_path / "decoded.png"
    invoke("encode", tmp_path / "digit.png", "-m", weights, "-o", coded)
    assert coded.stat().st_size <= 48
    invoke("decode", coded, "-m", weights, "-o", decoded)
    error = np.asarray(Image.open(decoded), np.float64) - DIGIT
    assert np.sqrt((error**2).mean()) < 12
    coded.write_bytes(coded.read_bytes()[:-1])
    with pytest.raises(ChecksumError, match="get a sound copy"):
        invoke("decode", coded, "-m", weights, "-o", decoded, "--force")


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


def test_a_picture_comes_from_the_standard_input(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encoded(data: bytes, name: str) -> bytes:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        result = CliRunner().invoke(app, ["lab", "encode", "-", "-m", str(weights), "-o", name], input=data)
        if result.exception:
            raise result.exception
        return Path(name).read_bytes()

    file = io.BytesIO()
    Image.fromarray(DIGIT).save(file, "PNG")
    (tmp_path / "digit.png").write_bytes(file.getvalue())
    invoke("encode", tmp_path / "digit.png", "-m", weights, "-o", tmp_path / "named.ael")
    assert encoded(file.getvalue(), str(tmp_path / "piped.ael")) == (tmp_path / "named.ael").read_bytes()
    with pytest.raises(ImageError, match=r"^-: "):
        encoded(b"no picture", str(tmp_path / "none.ael"))


def test_the_suffix_of_an_output_chooses_its_format(weights: Path, tmp_path: Path) -> None:
    Image.fromarray(DIGIT).save(tmp_path / "digit.png")
    cleaner = tmp_path / "unet.safetensors"
    save_weights(unet.UNet(), cleaner)
    invoke("encode", tmp_path / "digit.png", "-m", weights, "-o", tmp_path / "digit.ael")
    for name, model, source in (
        ("decode", weights, "digit.ael"),
        ("clean", tmp_path / "unet.safetensors", "digit.png"),
    ):
        for suffix, kind in ((".jpg", "JPEG"), (".TIF", "TIFF"), (".webp", "WEBP"), ("", "PNG")):
            output = tmp_path / f"{name}{suffix}"
            invoke(name, tmp_path / source, "-m", model, "-o", output)
            assert Image.open(output).format == kind
        with pytest.raises(UsageError, match="unknown suffix"):
            invoke(name, tmp_path / source, "-m", model, "-o", tmp_path / "output.gif")


@pytest.mark.parametrize(
    ("data", "arguments", "says"),
    [
        (None, ["nothing"], "'nothing' is not in the catalogue: choose of .*, unet"),
        (None, ["--labels", "x"], "--labels would do nothing"),
        (None, ["--normal", "x", "--side", "8"], "--normal and --side would do nothing"),
        ("pictures.npy", ["--normal", "x"], "--normal would do nothing"),
        ("pictures.npy", ["--side", "8"], "--side would do nothing"),
        ("rows.npy", ["--side", "8"], "--side would do nothing"),
        ("rows.npy", ["linear"], "names of networks would do nothing"),
        ("rows.npy", ["--max-bytes", "48"], "--max-bytes would do nothing"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    data: str | None, arguments: list[str], says: str, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    np.save(tmp_path / "pictures.npy", random.random((30, 4, 4)))
    np.save(tmp_path / "rows.npy", random.random((30, 4)))
    given = [] if data is None else ["--data", tmp_path / data]
    with pytest.raises(UsageError, match=says):
        invoke("run", *arguments, *given, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("side", [3, 129])
def test_a_side_out_of_range_is_wrong_usage(side: int, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["lab", "run", "--side", str(side), "-o", str(tmp_path / "out")])
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("names", "trained", "words"),
    [
        ([], 16, True),
        (["unet"], 0, True),
        (["unet", "unet"], 0, True),
        (["linear", "unet"], 1, True),
        (["linear"], 1, False),
    ],
)
def test_only_named_networks_are_trained(
    names: list[str], trained: int, words: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, bool]] = []

    def record(samples: object, chosen: list[object], *_: object, odd: bool) -> run.Report:
        asked.append((len(chosen), bool(_[-1])))
        return run.Report("digits", 1, 1, 48)

    monkeypatch.setattr(run, "run_pictures", record)
    tmp_path.joinpath(run.RECORD).write_text("{}")
    invoke("run", *names, "-o", tmp_path)
    assert asked == [(trained, words)]


def test_a_quiet_run_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AECODEC_THREADS", "1")
    np.save(tmp_path / "pictures.npy", np.random.default_rng(0).random((30, 4, 4)))
    given = ["linear", "--data", tmp_path / "pictures.npy", "--share", "0.002"]
    result = CliRunner().invoke(app, ["lab", "run", *map(str, given), "-o", str(tmp_path / "out"), "--quiet"])
    assert result.exception is None
    assert result.output == ""
    assert capfd.readouterr() == ("", "")
