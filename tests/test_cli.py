"""The commands as a user runs them: files, refusals, exit codes, one line for every error."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
import typer
from PIL import Image

import aecodec
from aecodec.cli import main
from aecodec.container import parse, serialise
from aecodec.training.interrupts import HANG_UP
from tests.common import SAME_PACKAGE, photograph


def run_command(
    *arguments: object, cwd: Path | None = None, stdin: IO[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command in this process, which spares its start: `run_process` says the same."""
    command = ["aecodec", *map(str, arguments)]
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", by, "") for by in ("strict", "backslashreplace"))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, *HANG_UP)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd or Path.cwd())
        for name, value in {"argv": command, "stdin": stdin, "stdout": out, "stderr": err}.items():
            patch.setattr(sys, name, value)
        with pytest.raises(SystemExit) as ended:
            main()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    return subprocess.CompletedProcess(command, ended.value.code or 0, written_to(out), written_to(err))


def written_to(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def run_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user starts it."""
    command = [sys.executable, "-m", "aecodec.cli", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": SAME_PACKAGE}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


def refusal(result: subprocess.CompletedProcess[str], code: int, *fragments: str) -> None:
    """One line on stderr, nothing on stdout, this exit code."""
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("aecodec: ")
    assert result.stderr.count("\n") == 1, result.stderr
    for fragment in fragments:
        assert fragment in result.stderr


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from skimage import data

    path = tmp_path_factory.mktemp("photo") / "cat.png"
    Image.fromarray(data.chelsea()).save(path)
    return path


@pytest.fixture(scope="module")
def compressed(photo: Path) -> Path:
    path = photo.with_suffix(".aec")
    assert run_command("compress", photo, path).returncode == 0
    return path


def of_another_model(path: Path) -> bytes:
    """A file that names a model that is not installed, 00010203."""
    container = parse(path.read_bytes())
    assert container.learned
    learned = replace(container.learned, fingerprint=b"\0\x01\x02\x03")
    return serialise(replace(container, learned=learned))


def test_round_trip_with_derived_names(photo: Path, tmp_path: Path) -> None:
    source = tmp_path / "cat.png"
    source.write_bytes(photo.read_bytes())
    result = run_command("compress", source)
    assert result.returncode == 0
    assert result.stdout == ""
    for fragment in ("cat.aec", "kB", ":1", "bpp", "dB", " s"):
        assert fragment in result.stderr
    source.unlink()
    assert run_command("decompress", tmp_path / "cat.aec").returncode == 0
    with Image.open(source) as image:
        assert (image.size, image.mode) == ((451, 300), "RGB")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat.aec", "cat.png"]


def test_any_name_works(photo: Path, tmp_path: Path) -> None:
    assert run_command("compress", photo, tmp_path / "out.bin", "-q", 10).returncode == 0
    assert run_command("decompress", tmp_path / "out.bin", tmp_path / "back.jpg").returncode == 0
    with Image.open(tmp_path / "back.jpg") as image:
        assert image.format == "JPEG"


@pytest.mark.parametrize(("options", "format"), [([], "PNG"), (["--format", "jpg"], "JPEG")])
def test_a_name_without_suffix_leaves_the_format_open(
    compressed: Path, tmp_path: Path, options: list[str], format: str
) -> None:
    assert run_command("decompress", compressed, tmp_path / "back", *options).returncode == 0
    with Image.open(tmp_path / "back") as image:
        assert image.format == format


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tiff"])
def test_formats_in_and_out(photo: Path, compressed: Path, tmp_path: Path, suffix: str) -> None:
    picture = tmp_path / f"picture{suffix}"
    assert run_command("decompress", compressed, picture).returncode == 0
    assert run_command("compress", picture, tmp_path / "again.aec").returncode == 0


def test_json_and_quiet(photo: Path, tmp_path: Path) -> None:
    result = run_command("compress", photo, tmp_path / "a.aec", "--json", "--quiet")
    assert result.stderr == ""
    record = json.loads(result.stdout)
    size = (tmp_path / "a.aec").stat().st_size
    assert record["bytes_after"] == size
    assert record["bpp"] == pytest.approx(8 * size / (451 * 300))
    assert record["ratio"] == pytest.approx(photo.stat().st_size / size)
    assert 25 < record["psnr"] < 50


def test_info_and_models_agree(compressed: Path) -> None:
    info = json.loads(run_command("info", compressed, "--json").stdout)
    models = json.loads(run_command("models", "--json").stdout)
    assert info["model"] == models["visual"]["fingerprint"]
    assert (info["width"], info["height"], info["mode"], info["quality"]) == (451, 300, "RGB", 50.0)
    assert f"quality 50, model visual ({info['model']})" in run_command("info", compressed).stdout
    assert info["model"] in run_command("models").stdout


def test_the_release_is_said() -> None:
    result = run_process("--version")
    assert (result.returncode, result.stdout) == (0, f"aecodec {aecodec.__version__}\n")


def test_a_process_ends_as_the_command_does(photo: Path, compressed: Path, tmp_path: Path) -> None:
    damaged, foreign = tmp_path / "damaged.aec", tmp_path / "foreign.aec"
    damaged.write_bytes(compressed.read_bytes()[:-10])
    foreign.write_bytes(of_another_model(compressed))
    commands: list[tuple[object, ...]] = [
        ("info", compressed, "--json"),
        ("compress", tmp_path / "no.png"),
        ("compress", photo, "--nope"),
        ("decompress", damaged),
        ("decompress", foreign),
        ("compress", photo, tmp_path / "x.aec", "--max-bytes", 10),
    ]
    for code, command in enumerate(commands):
        results = run_process(*command), run_command(*command)
        assert results[0].returncode == code, results[0].stderr
        ends = [(result.returncode, result.stdout, result.stderr) for result in results]
        assert ends[0] == ends[1]


def test_info_of_many_files(compressed: Path, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in ("a.aec", "below/b"):
        (tmp_path / name).write_bytes(compressed.read_bytes())
    (tmp_path / "bad.aec").write_bytes(b"bad")
    (tmp_path / "notes").write_text("no picture")
    result = run_command("info", "-r", tmp_path, "--json")
    assert result.returncode == 1
    records = {Path(record["input"]).name: record for record in map(json.loads, result.stdout.splitlines())}
    assert list(records) == ["a.aec", "bad.aec", "b"]
    assert records["a.aec"]["width"] == records["b"]["width"] == 451
    assert "not an aecodec file" in records["bad.aec"]["error"]
    assert result.stderr.splitlines()[-1].startswith("2 of 3 files: ")
    assert result.stderr.endswith(", 1 failed\n")
    result = run_command("info", tmp_path / "a.aec", tmp_path / "below" / "b")
    assert (result.returncode, result.stdout.count("451x300 RGB")) == (0, 2)
    assert result.stderr.startswith("2 of 2 files: ")
    (tmp_path / "below" / "b").unlink()
    refusal(run_command("info", "-r", tmp_path / "below"), 2, "no file of ours")


def test_info_names_a_missing_model(compressed: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign.aec").write_bytes(of_another_model(compressed))
    assert "model 00010203, which is not installed" in run_command("info", tmp_path / "foreign.aec").stdout


def test_an_existing_output_is_kept_unless_forced(photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "kept.aec"
    target.write_bytes(b"precious")
    refusal(run_command("compress", photo, target), 2, "exists", "--force")
    assert target.read_bytes() == b"precious"
    assert run_command("compress", photo, target, "--force").returncode == 0
    assert target.read_bytes() != b"precious"


def test_the_input_is_never_the_output(compressed: Path, tmp_path: Path) -> None:
    before = compressed.read_bytes()
    refusal(run_command("decompress", compressed, compressed, "--force"), 2, "is the input")
    assert compressed.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "fragment"),
    [(b"", "not a picture"), (b"hello", "not a picture"), (b"\x89PNG\r\n\x1a\n\x00\x00", "cannot be read")],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes, fragment: str) -> None:
    source = tmp_path / "in.png"
    source.write_bytes(content)
    result = run_command("compress", source)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "in.png" in result.stderr
    assert not (tmp_path / "in.aec").exists()


def test_a_truncated_picture_is_refused(photo: Path, tmp_path: Path) -> None:
    source = tmp_path / "half.png"
    source.write_bytes(photo.read_bytes()[:20_000])
    refusal(run_command("compress", source), 1, "half.png", "cannot be read")
    assert list(tmp_path.iterdir()) == [source]


def test_missing_files_and_directories_are_refused(tmp_path: Path) -> None:
    refusal(run_command("compress", tmp_path / "no.png"), 1, "no.png", "No such file")
    refusal(run_command("compress", tmp_path, tmp_path / "x.aec"), 2, "directory")
    refusal(run_command("decompress", tmp_path / "no.aec"), 1, "No such file")
    refusal(run_command("info", tmp_path), 1, "directory")


def test_outputs_that_cannot_be_are_refused(photo: Path, compressed: Path, tmp_path: Path) -> None:
    refusal(run_command("compress", photo, tmp_path), 2, "is a directory")
    refusal(run_command("compress", photo, tmp_path / "no" / "x.aec"), 2, "no directory")
    refusal(run_command("decompress", compressed, tmp_path / "x.xyz"), 2, "unknown suffix")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "longer", "foreign"])
def test_damaged_files_are_refused(compressed: Path, tmp_path: Path, damage: str) -> None:
    data = bytearray(compressed.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    spoilt = {"truncated": data[:-10], "flipped": data, "longer": data + b"x", "foreign": b"GIF89a"}[damage]
    source, target = tmp_path / "bad.aec", tmp_path / "bad.png"
    source.write_bytes(spoilt)
    target.write_bytes(b"precious")
    refusal(run_command("decompress", source, target, "--force"), 3)
    assert target.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.aec", "bad.png"]


def test_an_unknown_model_has_its_own_code(photo: Path, compressed: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign.aec").write_bytes(of_another_model(compressed))
    refusal(run_command("decompress", tmp_path / "foreign.aec"), 4, "00010203")
    refusal(run_command("compress", photo, tmp_path / "x.aec", "--model", "none"), 4, "none", "base")


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["compress", "x.png", "-q", "101"], "101"),
        (["compress", "x.png", "-q", "abc"], "--quality"),
        (["compress", "x.png", "--max-bytes", "5e3"], "'5e3' is no number: give one such as 20000"),
        (["compress", "x.png", "--max-bytes", "0"], "'0' is less than 1"),
        (["compress", "x.png", "--max-bytes", "-5"], "'-5' is no number"),
        (["decompress", "x.aec", "--max-pixels", "24X"], "'24X' is no number"),
        (["compress", "x.png", "-j", "0"], "'--jobs'"),
        (["compress", "x.png", "-e", "10"], "--effort 10 is out of range"),
        (["compress", "x.png", "--tune", "x"], "'x': choose visual or psnr"),
        (["train", "codec", "--data", ".", "--out", "x", "--steps", "1", "--tune", "x"], "--tune x: choose"),
        (["compress", "x.png", "--nope"], "no such option: --nope"),
        (["compress", "x.png", "-q"], "requires an argument"),
        (["compress"], "missing argument"),
        (["frobnicate"], "'frobnicate': see aecodec --help"),
        (["train", "frobnicate"], "see aecodec train --help"),
    ],
)
def test_wrong_usage_is_a_line_and_code_two(arguments: list[str], fragment: str) -> None:
    refusal(run_command(*arguments), 2, fragment)


@pytest.mark.parametrize(
    ("schedule", "named"),
    [
        (("--hours", "nan"), "--hours"),
        (("--hours", "inf"), "--hours inf"),
        (("--steps", "1", "--rate", "nan"), "--rate"),
    ],
)
def test_a_training_without_end_or_rate_is_refused(
    tmp_path: Path, schedule: tuple[str, ...], named: str
) -> None:
    result = run_command("train", "codec", "--data", tmp_path, "--out", tmp_path / "run", *schedule)
    refusal(result, 2, named)


@pytest.mark.parametrize("command", [[], ["train"]])
def test_a_command_by_itself_shows_its_help(command: list[str]) -> None:
    result = run_command(*command)
    asked = run_command(*command, "--help")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert (result.stdout or result.stderr).strip() == asked.stdout.strip()


def test_a_shell_gets_its_completion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_AECODEC_COMPLETE", "source_bash")
    result = run_command()
    assert result.returncode == 0
    assert "_AECODEC_COMPLETE=complete_bash" in result.stdout


def test_the_pixel_limit_holds_and_is_no_damage(compressed: Path, tmp_path: Path) -> None:
    over = "451x300 is over the limit of 1000 pixels"
    for command in ("decompress", "export-html"):
        refusal(run_command(command, compressed, "-o", tmp_path / "x.png", "--max-pixels", 1000), 1, over)
    upscale = ("decompress", compressed, tmp_path / "x.png", "--upscale", 2, "--max-pixels")
    refusal(run_command(*upscale, 451 * 300), 1, f"902x600 is over the limit of {451 * 300} pixels")
    largest = tmp_path / "largest.aec"
    largest.write_bytes(serialise(replace(parse(compressed.read_bytes()), width=2**13, height=2**13)))
    refusal(
        run_command("decompress", largest, "--upscale", 2), 1, "16384x16384 is over the limit of 178956970"
    )
    damaged = tmp_path / "damaged.aec"
    damaged.write_bytes(compressed.read_bytes()[:-1])
    refusal(run_command("decompress", damaged, tmp_path / "x.png", "--max-pixels", 1000), 3)


def test_a_size_over_the_default_limit_is_the_fault_of_the_file(compressed: Path, tmp_path: Path) -> None:
    claim = replace(parse(compressed.read_bytes()), width=2**20, height=2**10)
    (tmp_path / "claim.aec").write_bytes(serialise(claim))
    for command in (["decompress"], ["info"], ["export-html"], ["decompress", "--max-pixels", 1000]):
        refusal(run_command(*command, tmp_path / "claim.aec"), 3, "1048576x1024 is over the limit of")


def test_a_file_that_ends_early_is_not_taken_for_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()

    @app.command()
    def read() -> None:
        raise EOFError("the data end")

    monkeypatch.setattr("aecodec.cli.app", app)
    monkeypatch.setattr(sys, "argv", ["aecodec"])
    with pytest.raises(EOFError, match="the data end"):
        main()


def without(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command where a module is not installed."""
    program = f"import sys; sys.modules['{module}'] = None; from aecodec.cli import main; main()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_highest_effort_needs_no_torch(tmp_path: Path) -> None:
    Image.fromarray(photograph(32, 32)).save(tmp_path / "small.png")  # one cell
    sizes = []
    for effort in (0, 9):
        result = without("torch", "compress", tmp_path / "small.png", tmp_path / "x.aec", "-fe", effort)
        assert result.returncode == 0, result.stderr
        sizes.append((tmp_path / "x.aec").stat().st_size)
    assert sizes[0] > 0 < sizes[1]


def test_what_is_missing_names_its_extra(photo: Path, tmp_path: Path) -> None:
    result = without("skimage", "denoise", photo, tmp_path / "x.png", "--sigma", 20, "--method", "nlm")
    refusal(result, 2, "pip install 'aecodec[nlm]'")
    assert not any(tmp_path.iterdir())


def test_help_starts_without_heavy_imports() -> None:
    program = (
        "import sys\n"
        "from aecodec.cli import app\n"
        "try:\n"
        "    app(['--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "print(sorted({'torch', 'onnxruntime', 'numpy', 'PIL', 'compressai'} & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "compress" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"
