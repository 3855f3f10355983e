"""What outputs are: whole, checked on demand, and left alone where they are what they should be."""

from __future__ import annotations

import io
import itertools
import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import ExifTags, Image

import aecodec
from aecodec.api import to_picture
from aecodec.cli import files
from aecodec.cli.batch import SKIPPED, attempt, outcomes, run
from aecodec.cli.files import SUFFIX, write
from aecodec.cli.jobs import Batch, Job, Record
from aecodec.cli.options import bytes_of, pixels_of
from aecodec.cli.resume import is_picture, was_compressed_with
from aecodec.cli.verification import verify
from aecodec.encoder.encoder import encode
from aecodec.encoder.options import CompressOptions
from tests.common import make_exif, noise, photograph, picture_of_mode
from tests.test_cli import refusal, run_command

PHOTO = Image.fromarray(photograph(96, 64))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    PHOTO.save(tmp_path / "photo.png", exif=make_exif())
    return tmp_path / "photo.png"


def made(tmp_path: Path, data: bytes, options: CompressOptions, image: Image.Image = PHOTO) -> bool:
    (tmp_path / "x.aec").write_bytes(data)
    return was_compressed_with(tmp_path / "x.aec", to_picture(image, strip=options.strip), options)


@pytest.mark.parametrize(
    ("options", "others"),
    [
        (
            CompressOptions(),
            [
                CompressOptions(quality=49),
                CompressOptions(tune="psnr"),
                CompressOptions(lossless=True),
                CompressOptions(max_bytes=100),
                CompressOptions(max_bytes=10000),
                CompressOptions(denoise="auto", quality=40),
            ],
        ),
        (
            CompressOptions(quality=30),
            [
                CompressOptions(),
                CompressOptions(quality=30, denoise=20.0),
                CompressOptions(quality=30, denoise=0.2),
                CompressOptions(quality=30, reduce=2),
            ],
        ),
        (CompressOptions(quality=30, tune="psnr"), [CompressOptions(quality=30, enhance=True)]),
        (CompressOptions(quality=5, tune="psnr"), [CompressOptions(quality=5, reduce="auto")]),
        (CompressOptions(quality=20, reduce="auto"), [CompressOptions(quality=20, enhance=True)]),
        (CompressOptions(denoise="auto"), [CompressOptions(denoise=10.0)]),
        (CompressOptions(denoise=20.0), [CompressOptions(), CompressOptions(denoise=21.0)]),
        (CompressOptions(reduce=2), [CompressOptions(), CompressOptions(reduce=3)]),
        (CompressOptions(max_bytes=1000), [CompressOptions(max_bytes=100), CompressOptions(bpp=0.01)]),
        (
            CompressOptions(lossless=True),
            [
                CompressOptions(),
                CompressOptions(quality=10),
                CompressOptions(max_bytes=100),
                CompressOptions(denoise=20.0),
                CompressOptions(psnr=30),
            ],
        ),
        (CompressOptions(max_bytes=1e6), [CompressOptions(max_bytes=1e6, denoise=20.0), CompressOptions()]),
        (CompressOptions(tune="psnr"), [CompressOptions(), CompressOptions(model="visual")]),
    ],
)
def test_what_was_made_so_is_left_and_what_was_not_is_not(
    tmp_path: Path, options: CompressOptions, others: list[CompressOptions]
) -> None:
    data = aecodec.encode_image(PHOTO, options).data
    assert made(tmp_path, data, options)
    assert made(tmp_path, data, replace(options, model=options.model_name, tune=None))
    assert [other for other in others if made(tmp_path, data, other)] == []


def test_metadata_that_is_to_be_stripped_is_seen(tmp_path: Path) -> None:
    image = PHOTO.copy()
    tags = Image.Exif()
    tags.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    files = {}
    for exif in (make_exif(), tags.tobytes()):
        image.info["exif"] = exif
        for strip in ((), ("exif", "gps"), ("gps",)):
            files[strip] = aecodec.compress(image, strip=strip)
        for strip in files:
            same = {
                data for data in files.values() if made(tmp_path, data, CompressOptions(strip=strip), image)
            }
            assert same == {files[strip]}


@pytest.mark.parametrize(("mode", "other"), [*itertools.permutations(["L", "LA", "RGB", "RGBA"], 2)])
@pytest.mark.parametrize("options", [CompressOptions(), CompressOptions(lossless=True)])
def test_the_file_of_another_picture_is_seen(
    tmp_path: Path, mode: str, other: str, options: CompressOptions
) -> None:
    image = picture_of_mode(mode, 96, 64)
    data = aecodec.encode_image(image, options).data
    assert made(tmp_path, data, options, image)
    assert not made(tmp_path, data, options, picture_of_mode(other, 96, 64))
    assert not made(tmp_path, data, options, image.rotate(90, expand=True))
    if options.lossless:
        assert not made(tmp_path, data, options, image.rotate(180))


@pytest.mark.parametrize("options", [CompressOptions(lossless=True), CompressOptions(max_bytes=1e6)])
def test_files_that_keep_invisible_pixels_are_told_from_those_that_do_not(
    tmp_path: Path, options: CompressOptions
) -> None:
    image = PHOTO.copy()
    image.putalpha(Image.linear_gradient("L").resize(PHOTO.size).point(lambda level: max(level - 99, 0)))
    data = aecodec.encode_image(image, options).data
    assert made(tmp_path, data, options, image)
    other = CompressOptions(lossless=not options.lossless, max_bytes=1e6 if options.lossless else None)
    assert not made(tmp_path, data, other, image)
    opaque = PHOTO.convert("RGBA")
    assert made(tmp_path, aecodec.encode_image(opaque, options).data, options, opaque)


def test_what_reached_a_psnr_is_not_known(tmp_path: Path) -> None:
    data = aecodec.compress(PHOTO, psnr=30.0)
    options = CompressOptions(psnr=30.0)
    assert not made(tmp_path, data, options)
    assert was_compressed_with(tmp_path / "x.aec", to_picture(PHOTO), options, same_command=True)
    other = to_picture(PHOTO.rotate(90, expand=True))
    assert not was_compressed_with(tmp_path / "x.aec", other, options, same_command=True)


@pytest.mark.parametrize("damage", [slice(0), slice(3), slice(20), slice(-1)])
def test_an_unfinished_file_is_made_again(tmp_path: Path, damage: slice) -> None:
    assert not made(tmp_path, aecodec.compress(PHOTO)[damage], CompressOptions())


def test_resume_makes_again_what_is_ours_and_keeps_all_else(source: Path) -> None:
    target = source.with_suffix(SUFFIX)
    target.write_bytes(aecodec.compress(PHOTO, 20)[:-5])
    assert run_command("compress", source, "--resume", "--quiet").returncode == 0
    data = target.read_bytes()
    assert aecodec.info(data).quality == 50
    before = target.stat().st_mtime_ns
    assert SKIPPED in run_command("compress", source, "--resume").stderr
    assert target.stat().st_mtime_ns == before
    assert SKIPPED in run_command("compress", source, "--resume", "--dry-run").stdout
    assert " -> " in run_command("compress", source, "--resume", "--dry-run", "-q", 20).stdout
    assert run_command("compress", source, "--resume", "-q", 20, "--quiet").returncode == 0
    assert aecodec.info(target.read_bytes()).quality == 20
    PHOTO.rotate(90, expand=True).save(source)
    assert run_command("compress", source, "--resume", "-q", 20, "--quiet").returncode == 0
    assert aecodec.info(target.read_bytes()).width == 64
    target.write_bytes(source.read_bytes())
    refusal(run_command("compress", source, "--resume"), 1, "photo.aec exists and is no aecodec file")
    assert target.read_bytes() == source.read_bytes()


def test_resume_looks_into_pictures(tmp_path: Path, source: Path) -> None:
    packed, target = tmp_path / "photo.aec", tmp_path / "out.png"
    packed.write_bytes(aecodec.compress(PHOTO))
    target.touch()
    assert run_command("decompress", packed, target, "--resume", "--upscale", 2).returncode == 0
    with Image.open(target) as image:
        assert image.size == (192, 128)
    arguments = ("decompress", packed, "-o", target, "--resume")
    assert SKIPPED in run_command(*arguments, "--upscale", 2).stderr
    refusal(run_command(*arguments), 1, "out.png exists and has 192x128 pixels, not 96x64")
    target.write_bytes(source.read_bytes()[:500])
    refusal(run_command(*arguments), 1, "no whole picture")
    before = source.read_bytes()
    refusal(run_command("decompress", packed, source, "--resume"), 1, "photo.png exists and shows another")
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("suffix", "option", "other"),
    [
        ("png", ["--region", "0,0,32,32"], ["--region", "64,32,32,32"]),
        ("png", ["--enhance"], []),
        ("png", ["--upscale", 2], ["--upscale", 2, "--enhance"]),
        ("png", ["--strip", "exif"], []),
        ("png", [], ["--strip", "exif"]),
        ("jpg", ["--jpeg-quality", 90, "--background", "red"], ["--jpeg-quality", 20, "--background", "red"]),
        ("bmp", ["--background", "red"], ["--background", "blue"]),
        ("webp", ["--thumbnail", 48], ["--region", "0,0,48,32"]),
    ],
)
def test_a_picture_made_with_another_option_is_not_left(
    tmp_path: Path, suffix: str, option: list[object], other: list[object]
) -> None:
    image = PHOTO.copy()
    image.putalpha(Image.linear_gradient("L").resize(PHOTO.size))
    image.info["exif"] = make_exif()
    (tmp_path / "a.aec").write_bytes(aecodec.compress(image, 20))
    arguments = ("decompress", tmp_path / "a.aec", tmp_path / f"a.{suffix}", "--resume")
    assert run_command(*arguments, *option).returncode == 0
    assert SKIPPED in run_command(*arguments, *option).stderr
    refusal(run_command(*arguments, *other), 1, f"a.{suffix} exists and ")


def test_a_level_more_or_less_is_the_same_picture(tmp_path: Path) -> None:
    pixels = photograph(40, 30)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for levels in (1, 2):
        file = io.BytesIO()
        Image.fromarray(np.where(pixels < 200, pixels + levels, pixels)).save(file, "PNG")
        if levels == 1:
            assert is_picture(tmp_path / "a.png", file.getvalue, 2000)
        else:
            with pytest.raises(aecodec.AecodecError, match="another picture"):
                is_picture(tmp_path / "a.png", file.getvalue, 2000)


@pytest.mark.parametrize(
    "options", [CompressOptions(), CompressOptions(lossless=True), CompressOptions(max_bytes=900)]
)
def test_what_was_written_is_read_back(tmp_path: Path, options: CompressOptions) -> None:
    image = PHOTO.copy()
    image.putalpha(Image.fromarray(noise(96, 64)[:, :, 0]))
    picture = aecodec.api.to_picture(PHOTO if options.max_bytes else image)
    encoded = encode(picture, options)
    data = encoded.data
    target = tmp_path / "x.aec"
    target.write_bytes(data)
    verify(target, encoded)
    target.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(aecodec.AecodecError, match="bytes read back are not"):
        verify(target, encoded)
    with pytest.raises(aecodec.ChecksumError):
        verify(target, replace(encoded, data=target.read_bytes()))


def test_other_symbols_than_those_that_were_meant_are_seen(tmp_path: Path) -> None:
    picture = aecodec.api.to_picture(PHOTO)
    meant, other = encode(picture, CompressOptions()), encode(picture, CompressOptions(quality=40))
    (tmp_path / "x.aec").write_bytes(other.data)
    with pytest.raises(aecodec.AecodecError, match="another picture"):
        verify(tmp_path / "x.aec", replace(other, latents=meant.latents))


def test_verify_on_the_command_line(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_command("compress", source, "--verify").returncode == 0
    refusal(run_command("compress", source, "-", "--verify"), 2, "--verify")
    target = source.with_suffix(SUFFIX)
    before = target.read_bytes()

    def check(_: Path) -> None:
        raise aecodec.AecodecError("is another")

    with pytest.raises(aecodec.AecodecError, match=r"photo\.aec: is another"):
        write(target, b"new", True, check=check)
    assert target.read_bytes() == before
    assert len(list(source.parent.iterdir())) == 2


def test_a_larger_file_is_not_written(tmp_path: Path) -> None:
    PHOTO.save(tmp_path / "small.webp", quality=0)
    PHOTO.save(tmp_path / "large.png")
    small, large = tmp_path / "small.webp", tmp_path / "large.png"
    result = run_command("compress", small, "-q", 99, "--skip-larger", "--json")
    assert result.returncode == 0, result.stderr
    assert "not written, as it would not be smaller" in json.loads(result.stdout)["notes"][0]
    assert not small.with_suffix(SUFFIX).exists()
    result = run_command("compress", small, large, "-q", 99, "--skip-larger", "--quiet", "--json")
    assert result.returncode == 0
    assert large.with_suffix(SUFFIX).exists()
    small.with_suffix(SUFFIX).write_bytes(b"precious")
    result = run_command("compress", small, large, "-fq", 99, "--skip-larger")
    assert ", 1 left alone\n" in result.stderr
    assert small.with_suffix(SUFFIX).read_bytes() == b"precious"
    refusal(run_command("compress", large, "-", "--skip-larger"), 2, "--skip-larger")


def test_modes_and_times_are_kept_on_demand(source: Path, tmp_path: Path) -> None:
    os.utime(source, (1e9, 1e9))
    source.chmod(0o4640)
    targets = {"kept": ["--keep-times"], "fresh": []}
    for name, options in targets.items():
        assert run_command("compress", source, tmp_path / name, "--quiet", *options).returncode == 0
    (tmp_path / "plain").touch()
    kept, fresh, plain = ((tmp_path / name).stat() for name in ("kept", "fresh", "plain"))
    assert (stat.S_IMODE(kept.st_mode), kept.st_mtime) == (0o640, 1e9)
    assert fresh.st_mode == plain.st_mode
    with source.open() as pipe:
        arguments = ("compress", "/dev/stdin", tmp_path / "piped", "--quiet", "--keep-times")
        assert run_command(*arguments, stdin=pipe).returncode == 0
    assert (tmp_path / "piped").stat().st_mode == plain.st_mode


def test_files_and_their_names_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synchronised: list[str] = []

    def fsync(descriptor: int) -> None:
        synchronised.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", fsync)
    write(tmp_path / "target", b"data", False)
    assert [Path(name).name[: len(files.TEMPORARY)] for name in synchronised[:1]] == [files.TEMPORARY]
    assert synchronised[1:] == [str(tmp_path)]
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(22, "cannot")))
    files.put_in_place(tmp_path / "target", tmp_path / "other", force=True)
    assert (tmp_path / "other").read_bytes() == b"data"


def writes(job: Job) -> Record:
    write(job.target, b"made", job.force)
    return {}


def test_without_resume_a_cluster_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"precious")
    job, batch = Job(Path("a.png"), tmp_path / "x"), Batch(cluster="tcp://host:1")
    assert "File exists" in str(attempt(writes, lambda _: False, batch, job))
    assert (tmp_path / "x").read_bytes() == b"precious"
    assert attempt(writes, lambda _: False, Batch(resume=True), job) == {}
    assert (tmp_path / "x").read_bytes() == b"made"


def fails(_: Job) -> Record:
    raise KeyError("odd\nname")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_fault_of_the_program_is_the_failure_of_one_file(
    capsys: pytest.CaptureFixture[str], jobs: int
) -> None:
    before = os.environ.get("AECODEC_THREADS")
    todo = [Job(Path(name), Path("x")) for name in ("a.png", "b.png")]
    with pytest.raises(typer.Exit):
        run(todo, fails, str, Batch(jobs=jobs))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[2] == "0 of 2 files: 0 B -> 0 B, 2 failed"
    assert all("a fault of aecodec (KeyError: 'odd\\nname', in test_outputs.py, line" in x for x in said[:2])
    assert os.environ.get("AECODEC_THREADS") == before


def threads(_: Job) -> Record:
    return {"threads": os.environ["AECODEC_THREADS"]}


def test_processes_share_the_threads_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AECODEC_THREADS", "6")
    outcomes_of_jobs = list(outcomes([Job(Path(n), Path("x")) for n in "ab"], threads, Batch(jobs=2)))
    assert [outcome for _, outcome in outcomes_of_jobs] == [{"threads": "3"}] * 2
    assert os.environ["AECODEC_THREADS"] == "6"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1", 1), ("20000", 20000), ("20k", 20_000), ("20K", 20_000), ("20kB", 20_000), ("1.5M", 1_500_000),
        ("1.5MB", 1_500_000), ("20KiB", 20_480), ("20Ki", 20_480), ("2 MiB", 2**21), ("0.1G", 10**8),
        ("0.0015k", 1), ("512B", 512),
    ],
)  # fmt: skip
def test_sizes_are_read_as_people_write_them(text: str, count: int) -> None:
    assert bytes_of(text) == count


@pytest.mark.parametrize(("text", "count"), [("24M", 24_000_000), ("24MP", 24_000_000), ("5", 5)])
def test_pixels_are_read_as_people_write_them(text: str, count: int) -> None:
    assert pixels_of(text) == count


@pytest.mark.parametrize("read", [bytes_of, pixels_of])
@pytest.mark.parametrize(
    "text", ["nan", "k", "1,5k", "1e3", "-1", "20kk", "20 k B", "1.k", "", "0", "0.5", "²"]
)
def test_what_is_no_size_is_refused(read: Callable[[str], int], text: str) -> None:
    with pytest.raises(typer.BadParameter):
        read(text)
