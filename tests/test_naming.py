"""Which files the commands read, and which they write: no picture is ever lost to a name."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from aecodec import compress
from aecodec.cli.files import STANDARD_STREAM, UsageError, path_of
from aecodec.cli.jobs import Batch, Job
from aecodec.cli.naming import COMPRESSED, PICTURES, PICTURES_TO_PICTURES, Inputs, plan
from aecodec.container import MAGIC
from aecodec.picture.reading import READABLE
from aecodec.signatures import HEAD, is_picture
from tests.common import SAME_PACKAGE, photograph
from tests.test_cli import refusal, run_command

UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]  # root ignores modes
KINDS = {"compress": PICTURES, "decompress": COMPRESSED, "denoise": PICTURES_TO_PICTURES}


def encoded(format: str, seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (seed, 0, 0)).save(file, format)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two pictures with a suffix, two without, files of ours, and a text."""
    for name, pillow_format in {"a.png": "PNG", "b.jpg": "JPEG", "IMG_1": "JPEG", "IMG_2": "WEBP"}.items():
        (tmp_path / name).write_bytes(encoded(pillow_format))
    for name in ("x.aec", "y.aec", "packed"):
        (tmp_path / name).write_bytes(compress(Image.new("L", (8, 8))))
    (tmp_path / "notes").write_text("no picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(command: str, *names: str, batch: Batch | None = None) -> list[tuple[str, str]]:
    suffix = ".aec" if command == "compress" else ".png"
    jobs = plan([path_of(name) for name in names], KINDS[command], suffix, batch or Batch())
    return [(job.source.name, job.target.name) for job in jobs if not job.refusal]


@pytest.mark.parametrize(
    ("command", "names", "expected"),
    [
        ("compress", ["a.png", "out.bin"], [("a.png", "out.bin")]),
        ("compress", ["a.png", "new.aec"], [("a.png", "new.aec")]),
        ("compress", ["a.png", "b.jpg"], [("a.png", "a.aec"), ("b.jpg", "b.aec")]),
        ("compress", ["a.png", "IMG_2"], [("a.png", "a.aec"), ("IMG_2", "IMG_2.aec")]),
        ("compress", ["IMG_1", "IMG_2"], [("IMG_1", "IMG_1.aec"), ("IMG_2", "IMG_2.aec")]),
        ("compress", ["a.png", "empty.png"], [("a.png", "a.aec"), ("empty.png", "empty.aec")]),
        ("compress", ["a.png", "notes"], [("a.png", "notes")]),  # which needs --force
        ("compress", ["a.png", "x.aec"], [("a.png", "x.aec")]),
        ("compress", ["a.png", "-"], [("a.png", "-")]),
        ("compress", ["-", "-"], [("-", "-")]),
        ("compress", ["-"], [("-", "-")]),
        ("compress", ["/dev/stdin", "/dev/stdout"], [("-", "-")]),
        ("decompress", ["x.aec", "new.png"], [("x.aec", "new.png")]),
        ("decompress", ["x.aec", "new"], [("x.aec", "new")]),
        ("decompress", ["x.aec", "y.aec"], [("x.aec", "x.png"), ("y.aec", "y.png")]),
        ("decompress", ["x.aec", "packed"], [("x.aec", "x.png"), ("packed", "packed.png")]),
        ("decompress", ["x.aec", "notes"], [("x.aec", "notes")]),
        ("denoise", ["a.png", "new.png"], [("a.png", "new.png")]),
        ("denoise", ["a.png", "empty.png"], [("a.png", "empty.png")]),
        ("denoise", ["b.jpg"], [("b.jpg", "b.png")]),
        ("denoise", ["b.jpg", "IMG_1", "y"], [("b.jpg", "b.png"), ("IMG_1", "IMG_1.png"), ("y", "y.png")]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("folder")
def test_a_second_name_is_the_output_only_where_no_picture_is(
    command: str, names: list[str], expected: list[tuple[str, str]]
) -> None:
    assert planned(command, *names, batch=Batch(force=True)) == expected


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("command", "names", "reason"),
    [
        ("compress", ["a.png", "out.png"], "out.png does not exist"),
        ("compress", ["a.png", "out.jpg"], "an output with -o"),
        ("decompress", ["x.aec", "z.aec"], "z.aec does not exist"),
        ("decompress", ["x.aec", "a.png"], "a.png is a picture"),
        ("decompress", ["x.aec", "IMG_1"], "name it with -o"),
        ("denoise", ["a.png", "b.jpg"], "b.jpg is a picture"),
        ("denoise", ["a.png", "IMG_2"], "a folder with -d"),
        ("denoise", ["a.png", "a.png"], "is the input"),
        ("compress", ["a.png", "./a.png"], "is the input"),
        ("compress", ["-", "a.png"], "goes alone"),
        ("compress", ["a.png", "folder"], "folder is a directory"),
        ("compress", ["a.png", "new/"], "new/ is no directory"),
        ("denoise", ["a.png", "a.png/"], "a.png/ is no directory"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_second_name_that_may_mean_something_else_is_refused(
    command: str, names: list[str], reason: str, force: bool
) -> None:
    with pytest.raises(UsageError, match=reason):
        planned(command, *names, batch=Batch(force=force))


@pytest.mark.usefixtures("folder")
def test_resume_finds_its_output_again() -> None:
    assert planned("decompress", "x.aec", "a.png", batch=Batch(resume=True)) == [("x.aec", "a.png")]


@pytest.mark.parametrize("command", KINDS)
@pytest.mark.usefixtures("folder")
def test_with_an_output_every_name_is_an_input(command: str) -> None:
    source, other = ("x.aec", "y.aec") if command == "decompress" else ("a.png", "b.jpg")
    target = Path("IMG_1")
    assert planned(command, source, batch=Batch(output=target, force=True)) == [(source, "IMG_1")]
    with pytest.raises(UsageError, match="IMG_1 exists"):
        planned(command, source, batch=Batch(output=target))
    with pytest.raises(UsageError, match="would be the output of 2 inputs"):
        planned(command, source, other, batch=Batch(output=target, force=True))
    into = Batch(output_dir=Path("new"), force=True)
    assert [name for name, _ in planned(command, source, "notes", batch=into)] == [source, "notes"]


@pytest.mark.usefixtures("folder")
def test_a_folder_of_many_has_no_single_output() -> None:
    Path("folder/c.png").write_bytes(encoded("PNG"))
    assert planned("compress", "folder", "new.aec", batch=Batch(recursive=True)) == [("c.png", "new.aec")]
    Path("folder/d.png").write_bytes(encoded("PNG"))
    with pytest.raises(UsageError, match="would be the output of 2 inputs"):
        planned("compress", "folder", "new.aec", batch=Batch(recursive=True))


@pytest.mark.parametrize("command", ["denoise", "enhance", "upscale"])
def test_no_picture_is_overwritten_by_a_stage_unless_it_is_named(folder: Path, command: str) -> None:
    before = (folder / "b.jpg").read_bytes()
    refusal(run_command(command, "a.png", "b.jpg", "-f", cwd=folder), 2, "b.jpg is a picture", "-o")
    assert (folder / "b.jpg").read_bytes() == before


def test_a_picture_that_is_named_is_overwritten(folder: Path) -> None:
    before = (folder / "b.jpg").read_bytes()
    refusal(run_command("enhance", "a.png", "-o", "b.jpg", cwd=folder), 2, "b.jpg exists", "--force")
    assert (folder / "b.jpg").read_bytes() == before
    assert run_command("enhance", "a.png", "-o", "b.jpg", "-f", cwd=folder).returncode == 0
    assert (folder / "b.jpg").read_bytes() != before
    for command, source in {"compress": "a.png", "decompress": "x.aec"}.items():
        assert run_command(command, source, "-o", f"{command}.png", cwd=folder).returncode == 0
        assert (folder / f"{command}.png").exists()


def test_all_of_a_glob_become_files(folder: Path) -> None:
    before = {name: (folder / name).read_bytes() for name in ("IMG_1", "IMG_2")}
    assert run_command("compress", "IMG_1", "IMG_2", "-f", cwd=folder).returncode == 0
    assert before == {name: (folder / name).read_bytes() for name in before}
    assert (folder / "IMG_2.aec").exists()


@pytest.mark.usefixtures("folder")
def test_an_output_is_no_input_of_the_same_batch() -> None:
    Path("folder/a.png").write_bytes(encoded("PNG"))
    jobs = plan(
        [Path("a.png"), Path("folder/a.png")],
        KINDS["denoise"],
        ".png",
        Batch(output_dir=Path("folder"), force=True),
    )
    assert "which is an input" in jobs[0].refusal
    assert "is the input" in jobs[1].refusal


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
@pytest.mark.parametrize(
    ("command", "source"),
    [
        ("compare a.png b.jpg -o", "b.jpg"),
        ("embed a.png b.jpg -o", "b.jpg"),
        ("embed a.png b.jpg --map", "b.jpg"),
        ("embed . -o", "IMG_1"),
        ("embed a.png x.aec --resume -o", "x.aec"),
        ("anomaly fit a.png b.jpg -o", "b.jpg"),
        ("anomaly score a.png b.jpg -m x.aec --html", "b.jpg"),
        ("anomaly score a.png -m x.aec --html", "x.aec"),
        ("lab encode a.png -m x.aec -o", "x.aec"),
        ("lab decode x.aec -m y.aec -o", "y.aec"),
        ("lab clean a.png -m x.aec -o", "x.aec"),
    ],
)
def test_no_input_is_an_output_under_any_name(
    folder: Path, command: str, source: str, link: Callable[[str, str], None] | None
) -> None:
    if link:
        link(source, "link.out")
    before = contents(folder)
    output = "link.out" if link else source
    refusal(run_command(*command.split(), output, "--force"), 2, f"{output} is the input: name another")
    assert contents(folder) == before


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_no_output_in_a_folder_is_an_input(folder: Path, link: Callable[[str, str], None]) -> None:
    Path("maps").mkdir()
    link("../b.jpg" if link is os.symlink else "b.jpg", "maps/a.png")
    before = contents(folder)
    maps = run_command("anomaly", "score", "a.png", "b.jpg", "-m", "x.aec", "--heat-maps", "maps", "-f")
    refusal(maps, 2, " is the input: name another")
    model = run_command("anomaly", "score", "a.png", "-m", "maps/a.png", "--heat-maps", "maps", "-f")
    refusal(model, 2, " is the input: name another")
    stage = run_command("denoise", "a.png", "b.jpg", "-d", "maps", "-f", "--dry-run")
    assert stage.returncode == 1
    assert "a.png would overwrite" in stage.stderr
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("embed a.png -o new --map new", "new would be two outputs: name them apart"),
        ("embed a.png -o folder/new --map link/new", "link/new would be two outputs"),
        ("embed a.png -o - --map -", "- would be two outputs"),
        ("embed a.png -o - --duplicates", "- would be two outputs"),
        ("anomaly score a.png -m x.aec --html -", "- would be two outputs"),
        ("anomaly score a.png -m x.aec --heat-maps new --html new/a.png", "new/a.png would be two outputs"),
        ("anomaly score a.png -m x.aec --heat-maps new --html new", "new/a.png would lie in new, another"),
    ],
)
def test_outputs_of_a_command_are_apart(folder: Path, command: str, said: str) -> None:
    Path("link").symlink_to("folder")
    before = contents(folder)
    refusal(run_command(*command.split(), "--force"), 2, said)
    assert contents(folder) == before
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("command", "name", "expected"),
    [
        ("compress", "IMG.2024.01.15", "IMG.2024.01.15.aec"),
        ("compress", "IMG.2024.01.15.JPG", "IMG.2024.01.15.aec"),
        ("compress", "photo.final", "photo.final.aec"),
        ("decompress", "IMG.2024.01.15.aec", "IMG.2024.01.15.png"),
        ("decompress", "out.bin", "out.bin.png"),
        ("denoise", "photo.v2", "photo.v2.png"),
        ("denoise", "photo.v2.jpg", "photo.v2.png"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_only_a_known_suffix_is_replaced(command: str, name: str, expected: str) -> None:
    assert planned(command, name) == [(name, expected)]
    assert planned(command, name, batch=Batch(output_dir=Path("out"))) == [(name, expected)]


def test_an_empty_name_is_refused_and_is_not_the_current_folder() -> None:
    with pytest.raises(UsageError, match="a name is empty"):
        path_of("")


@pytest.mark.parametrize(
    "command",
    [
        "compress a.png -d",
        "decompress x.aec -d",
        "denoise a.png -d",
        "export-html",
        "info",
        "compare",
        "benchmark",
        "benchmark folder -o",
        "anomaly score a.png -m x.aec --heat-maps",
        "lab run -o",
        "lab run -o new --data",
        "train codec --steps 1 --out new --data",
        "train codec --steps 1 --data folder --out",
        "train codec --steps 1 --data folder --out new --validation",
        "train srcnn --steps 1 --data folder --out new --start",
        "train export a.png new --data",
        "train export --data folder a.png",
        "train export-stage denoise a.png",
    ],
)
def test_no_command_takes_an_empty_name_for_the_current_folder(folder: Path, command: str) -> None:
    before = contents(folder)
    refusal(run_command(*command.split(), ""), 2, "a name is empty")
    assert contents(folder) == before


@pytest.mark.parametrize("name", [".", "/", "..", "./", "folder/.."])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("compress", 2),
        ("decompress", 2),
        ("denoise", 2),
        ("info", 1),
        ("export-html", 1),
        ("export-html -o new.html", 1),
        ("compare -o new.html", 1),
        ("anomaly score a.png -m", 1),
        ("anomaly eval a.png b.jpg -m", 1),
    ],
)
def test_a_folder_is_refused_where_a_file_is_meant(folder: Path, command: str, name: str, code: int) -> None:
    before = contents(folder)
    refusal(run_command(*command.split(), name), code, "irectory" if code == 1 else "")
    assert contents(folder) == before


@pytest.mark.usefixtures("folder")
def test_only_a_bare_dash_is_the_pipe() -> None:
    assert path_of("-") == path_of("/dev/stdout") == STANDARD_STREAM
    assert path_of("./-") == Path.cwd() / "-"
    assert planned("compress", "a.png", "./-") == [("a.png", "-")]
    assert plan([path_of("./-")], PICTURES, ".aec", Batch())[0].target == Path.cwd() / "-.aec"


@pytest.mark.parametrize("format", READABLE)
def test_every_format_that_is_read_is_known_by_its_bytes(format: str) -> None:
    assert is_picture(encoded(format)[:HEAD])


@pytest.mark.parametrize("head", [b"", b"P", b"BM text", b"hello", b"RIFF....WAVE", b"PK\3\4", b"P6", MAGIC])
def test_other_bytes_are_no_picture(head: bytes) -> None:
    assert not is_picture(head[:HEAD])


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    """A link to itself."""
    (tmp_path / "loop.png").symlink_to("loop.png")
    return tmp_path / "loop.png"


def test_a_loop_of_links_is_the_failure_of_its_file(folder: Path, loop: Path) -> None:
    (folder / "a.aec").symlink_to("a.aec")
    result = run_command("compress", "a.png", "b.jpg", loop, "-f", cwd=folder)
    assert result.returncode == 1
    assert "a.aec is a link in a loop of links" in result.stderr
    assert "loop.png: cannot be read: Too many levels of symbolic links" in result.stderr
    assert "1 of 3 files" in result.stderr
    assert (folder / "b.aec").exists()
    refusal(run_command("compress", "a.png", "-f", cwd=folder), 2, "loop of links")
    refusal(run_command("enhance", "a.png", loop, "-f", cwd=folder), 2, "loop of links")
    refusal(run_command("enhance", "a.png", "-o", loop, "-f", cwd=folder), 2, "loop of links")
    refusal(run_command("compress", "a.png", "b.jpg", "-d", loop, cwd=folder), 2, "loop.png is no directory")
    refusal(
        run_command("compress", "a.png", "b.jpg", "-d", loop / "x", cwd=folder), 2, "loop.png is no directory"
    )
    assert loop.is_symlink()


def jobs_in(folder: Path, inputs: Inputs, batch: Batch | None = None) -> list[Job]:
    return plan([folder], inputs, ".aec", batch or Batch(recursive=True))


def test_pictures_without_suffix_and_links_to_nowhere_are_found(folder: Path) -> None:
    (folder / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe")
    names = [job.source.name for job in jobs_in(folder, PICTURES)]
    assert names == ["IMG_1", "IMG_2", "a.png", "b.jpg", "empty.png", "gone.jpg"]
    assert [job.source.name for job in jobs_in(folder, COMPRESSED)] == ["packed", "x.aec", "y.aec"]


def test_what_cannot_be_searched_is_named_and_counted(folder: Path) -> None:
    closed = folder / "folder"
    (closed / "c.png").write_bytes(encoded("PNG"))
    (folder / "secret").write_bytes(encoded("PNG"))
    (folder / "empty.png").unlink()
    for path in (closed, folder / "secret"):
        path.chmod(0)
    command = [*(UNPRIVILEGED if os.geteuid() == 0 else []), sys.executable, "-m", "aecodec.cli"]
    environment = {**os.environ, "PYTHONPATH": SAME_PACKAGE}
    for arguments in (["-r", "."], ["-r", "folder"]):
        result = subprocess.run(
            [*command, "compress", "--quiet", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 1
        assert "folder: the folder cannot be read: Permission denied" in result.stderr
        assert ("secret: cannot be read: Permission denied" in result.stderr) == (arguments[1] == ".")
    assert (folder / "IMG_1.aec").exists()


def test_a_stage_does_not_read_what_it_wrote(folder: Path) -> None:
    for name in ("new.png", "below/new.png"):
        (folder / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "out" / name).write_bytes(encoded("PNG"))
    batch = Batch(output_dir=Path("out"), recursive=True, force=True)
    assert {job.source.name for job in jobs_in(Path(), PICTURES_TO_PICTURES, batch)} == {
        "IMG_1", "IMG_2", "a.png", "b.jpg", "empty.png",
    }  # fmt: skip
    assert [job.source.name for job in jobs_in(Path("out"), PICTURES_TO_PICTURES, batch)] == ["new.png"] * 2
    names = [job.source.name for job in jobs_in(Path(), PICTURES, batch)]
    assert names.count("new.png") == 2  # what compress writes is none of its inputs


def test_pipes_count_what_went_through_them(folder: Path) -> None:
    Image.fromarray(photograph(60, 50)).save(folder / "photo.png")
    script = "mkfifo p q; cat photo.png > p & cat q > copy.aec & $AECODEC compress p q --json; wait"
    environment = {**os.environ, "AECODEC": f"{sys.executable} -m aecodec.cli", "PYTHONPATH": SAME_PACKAGE}
    result = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert f'"bytes_before": {(folder / "photo.png").stat().st_size}' in result.stdout, result.stderr
    assert (folder / "copy.aec").read_bytes() == compress(Image.open(folder / "photo.png"))
    assert sorted(path.name for path in folder.glob("[pq]")) == ["p", "q"]
    script = (
        "$AECODEC compress photo.png /dev/stdout | $AECODEC decompress /dev/stdin -o - | cat > back.png"
        " && $AECODEC compress photo.png /dev/null && $AECODEC compress <(cat photo.png) -o >(cat > sub.aec)"
        " && $AECODEC compress /dev/zero zero.aec"
    )
    result = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert "/dev/zero: not a picture" in result.stderr
    with Image.open(folder / "back.png") as image:
        assert image.size == (60, 50)
    assert (folder / "sub.aec").stat().st_size == (folder / "copy.aec").stat().st_size
    assert not Path("/dev/null").is_file()


def test_outputs_are_named_as_inputs_are(tmp_path: Path) -> None:
    Image.fromarray(photograph(16, 8)).save(tmp_path / "a.png")
    (tmp_path / "link").symlink_to(tmp_path)
    packed = run_command("compress", "link/a.png", "--json", cwd=tmp_path)
    assert json.loads(packed.stdout)["output"] == "link/a.aec"
    assert packed.stderr.startswith("link/a.aec: ")
    refusal(run_command("compress", "a.png", cwd=tmp_path), 2, "aecodec: a.aec exists: name another output")
    both = run_command("compress", "a.png", "link/a.png", "-f", cwd=tmp_path)
    assert "a.png and link/a.png would both become link/a.aec" in both.stderr
