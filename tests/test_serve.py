"""`aecodec serve`: every upload is answered, or refused in a sentence; nothing is written."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import struct
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import typer
import uvicorn
from PIL import Image

import aecodec
from aecodec.cli import app as command
from aecodec.cli.files import UsageError
from aecodec.cli.serve import address_of, listening
from aecodec.cli.web import upload, work
from aecodec.cli.web.application import Limits, application
from aecodec.cli.web.guard import Access
from aecodec.cli.web.page import page, policy
from aecodec.container import Box
from aecodec.picture import Picture
from aecodec.picture.reading import read_picture
from aecodec.picture.writing import encode_image, to_pillow
from aecodec.progress import track
from tests.common import make_exif, make_icc, photograph, picture_of_mode
from tests.fuzz import files, pictures

TOKEN = "a-token"
LIMITS = Limits(upload=2**20, pixels=2**18)


def file_of(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, format, **options)
    return written.getvalue()


PHOTO = file_of(Image.fromarray(photograph(96, 64)))
AEC = aecodec.compress(photograph(40, 30), 40)


@contextmanager
def serving(access: Access, limits: Limits = LIMITS) -> Iterator[httpx.Client]:
    """A real server in a thread, and who asks it."""
    with listening("127.0.0.1", 0) as bound:
        app = application(access, limits)
        config = uvicorn.Config(app, log_level="critical", server_header=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        port = bound.getsockname()[1]
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as asking:
                yield asking
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """Who has the token."""
    with serving(Access.of(TOKEN, "127.0.0.1")) as asking:
        asking.headers["Authorization"] = f"Bearer {TOKEN}"
        yield asking


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def refused(answer: Any, *statuses: int) -> None:
    """The answer is a sentence of one line."""
    assert answer.status_code in statuses, (answer.status_code, answer.text)
    assert answer.text.strip()
    assert answer.text.isprintable(), answer.text
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_look_has_both_codecs_at_equal_bytes(client: httpx.Client) -> None:
    found = client.post("/look?quality=40&other=WebP", content=PHOTO).json()
    assert (found["source"]["width"], found["source"]["height"]) == (96, 64)
    ours, other = found["comparison"]["codecs"]
    assert (ours["codec"], other["codec"]) == ("aecodec", "WebP")
    assert ours["bytes"] == len(aecodec.compress(photograph(96, 64), 40))
    assert list(ours["measures"]) == ["psnr", "ssimulacra2"]


def test_the_whole_file_is_what_compress_writes(client: httpx.Client) -> None:
    source = file_of(Image.fromarray(photograph(96, 64)), exif=make_exif())
    *shares, last = events_of(client.post("/whole?quality=30&effort=1", content=source).text)
    data = base64.b64decode(last["result"]["file"])
    assert data == aecodec.compress(io.BytesIO(source), 30, effort=1)
    assert last["result"]["bytes"] == len(data)
    ours, other = last["result"]["comparison"]["codecs"]
    assert ours["bytes"] < len(data)  # as metadata do not count beside other codecs
    assert other["codec"] == "JPEG"
    steps = [event["share"] for event in shares]
    assert steps == sorted(steps)
    assert {"coding", "decoding", "JPEG at equal bytes"} == {event["label"] for event in shares}


@pytest.mark.parametrize("query", ["max_bytes=900", "lossless=1", "tune=psnr&quality=10"])
def test_options_are_those_of_compress(client: httpx.Client, query: str) -> None:
    given: dict[str, Any] = {"lossless": {"lossless": True}, "max_bytes": {"max_bytes": 900}}.get(
        query.split("=")[0], {"tune": "psnr", "quality": 10}
    )
    data = client.post(f"/compress?{query}", content=PHOTO).content
    assert data == aecodec.compress(photograph(96, 64), **given)
    assert client.post(f"/look?{query}", content=PHOTO).status_code == 200


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I;16"])
def test_pictures_of_every_mode_are_worked_on(client: httpx.Client, mode: str) -> None:
    image = picture_of_mode("L" if mode == "I;16" else mode, 50, 40)
    image = image.convert("I").convert(mode) if mode == "I;16" else image
    source = file_of(image, "TIFF")
    assert client.post("/look", content=source).status_code == 200
    last = events_of(client.post("/whole", content=source).text)[-1]
    data = base64.b64decode(last["result"]["file"])
    assert aecodec.info(data).width == 50
    for name in ("png", "jpeg"):
        picture = Image.open(io.BytesIO(client.post(f"/decode?format={name}", content=data).content))
        assert (picture.format or "").lower() == name
        assert picture.size == (50, 40)


def test_a_part_of_a_large_picture_is_looked_at_where_it_is_asked_for(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "MOST_SHOWN", 1000)
    monkeypatch.setattr(work, "WIDE", 64)
    monkeypatch.setattr(work, "TALL", 48)
    pixels = np.full((200, 300, 3), 90, np.uint8)
    pixels[96:144, 160:224] = photograph(64, 48)
    source = file_of(Image.fromarray(pixels))
    found = client.post("/look", content=source).json()["comparison"]
    assert (found["left"], found["top"]) == (160, 96)
    found = client.post("/look?left=290&top=3", content=source).json()["comparison"]
    assert (found["left"], found["top"], found["shown_width"]) == (236, 3, 64)
    last = events_of(client.post("/whole?left=10&top=3", content=source).text)[-1]["result"]["comparison"]
    assert (last["left"], last["top"], last["width"]) == (10, 3, 300)


@pytest.mark.parametrize("box", [Box.ICC, Box.COLOUR])
def test_all_pictures_of_the_page_say_what_the_colours_are(
    box: Box, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "MOST_SHOWN", 1000)
    colours = {box: {Box.ICC: make_icc() + bytes(2**15), Box.COLOUR: bytes([9, 16, 0, 1])}[box]}
    source = encode_image(to_pillow(Picture(photograph(96, 64), metadata=colours)), "PNG")
    first = client.post("/look", content=source).json()
    crop = base64.b64decode(first["comparison"]["original"].split(",")[1])
    again = client.post("/look?whole=6144", content=crop).json()
    whole = events_of(client.post("/whole", content=source).text)[-1]["result"]
    uris = [found["source"]["thumbnail"] for found in (first, again)]
    for comparison in (first["comparison"], again["comparison"], whole["comparison"]):
        uris += [comparison["original"], *(one["image"] for one in comparison["codecs"])]
    assert len(uris) == 11
    for uri in uris:
        assert read_picture(io.BytesIO(base64.b64decode(uri.split(",")[1]))).metadata == colours


@pytest.mark.parametrize("size", [(300, 1), (2, 300), (300, 3), (8, 200), (200, 9), (10, 200)])
def test_of_a_thin_picture_a_part_is_looked_at(
    size: tuple[int, int], client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "MOST_SHOWN", 100)
    monkeypatch.setattr(work, "WIDE", 64)
    monkeypatch.setattr(work, "TALL", 48)
    source = file_of(Image.fromarray(photograph(*size)))
    whole = events_of(client.post("/whole", content=source).text)[-1]["result"]
    for found in (client.post("/look", content=source).json(), whole):
        part = found["comparison"]
        assert (part["width"], part["height"]) == size
        assert (part["shown_width"], part["shown_height"]) == (min(64, size[0]), min(48, size[1]))


def test_the_bytes_asked_for_are_shared_out_to_a_part(client: httpx.Client) -> None:
    found = client.post("/look?max_bytes=40000&whole=200000", content=PHOTO).json()
    assert found["comparison"]["codecs"][0]["bytes"] <= 40000 * 96 * 64 / 200000


def test_a_codec_that_would_take_much_memory_is_left_out(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(work.MOST_WHOLE, "AVIF", 1000)
    last = events_of(client.post("/whole?other=AVIF", content=PHOTO).text)[-1]
    assert last["result"]["comparison"] is None


def test_what_an_aec_file_holds(client: httpx.Client) -> None:
    found = client.post("/info", content=AEC).json()
    assert (found["width"], found["height"], found["mode"], found["size"]) == (40, 30, "RGB", len(AEC))
    decoded = Image.open(io.BytesIO(client.post("/decode", content=AEC).content))
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(aecodec.decompress(AEC)))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("quality=101", "quality 101"),
        ("quality=much", "quality 'much' is no number"),
        ("quality=nan", "out of range"),
        ("effort=10", "effort 10"),
        ("tune=ear", "no model is tuned for 'ear'"),
        ("max_bytes=-3000", "a size of -3000 bytes is no target: give a positive number"),
        ("max_bytes=0", "a size of 0 bytes is no target: give a positive number"),
        ("max_bytes=much", "a size of 'much' bytes is no number: give one"),
        ("max_bytes=100&lossless=1", "exclude each other"),
        ("other=GIF", "codec 'GIF' is unknown"),
        ("left=-1&top=2", "left '-1' is no number"),
        ("left=²&top=2", "no number"),
        ("whole=" + "9" * 5000, "no number"),
    ],
)
def test_options_that_are_not_offered_are_named(client: httpx.Client, query: str, said: str) -> None:
    answer = client.post(f"/look?{query}", content=PHOTO)
    refused(answer, 400)
    assert said in answer.text


@pytest.mark.parametrize("path", ["look", "whole", "compress"])
@pytest.mark.parametrize("query", ["quality=30&max_bytes=500", "quality=0&lossless=1"])
def test_one_quality_or_size_is_asked_for(client: httpx.Client, path: str, query: str) -> None:
    answer = client.post(f"/{path}?{query}", content=PHOTO)
    refused(answer, 400)
    assert "quality, lossless, max_bytes, bpp and psnr exclude each other: give one" in answer.text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("of a file"), "aecodec failed (RuntimeError): please report this file"),
        (MemoryError(), "the picture takes more memory than there is: give a smaller one"),
        (aecodec.AecodecError("as it is"), "as it is"),
    ],
)
def test_what_fails_after_the_answer_began_is_its_last_line(
    error: Exception, said: str, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(work, "beside", fails)
    answer = client.post("/whole", content=PHOTO)
    assert answer.status_code == 200
    assert events_of(answer.text)[-1] == {"error": said}


def test_targets_out_of_reach_are_said(client: httpx.Client) -> None:
    for path in ("look", "whole", "compress"):
        answer = client.post(f"/{path}?max_bytes=5", content=PHOTO)
        if answer.status_code == 200:
            assert "5 bytes" in events_of(answer.text)[-1]["error"]
        else:
            refused(answer, 422)


def test_uploads_over_the_limits_are_refused(client: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(5):
            yield bytes(2**18)

    for path in ("look", "whole", "compress", "decode", "info"):
        refused(client.post(f"/{path}", content=bytes(2**20 + 1)), 413)
        refused(client.post(f"/{path}", content=parts()), 413)  # of which no length is announced
        refused(client.post(f"/{path}", content=b""), 400)
    large = file_of(Image.new("RGB", (600, 500)))
    for path in ("look", "whole", "compress"):
        refused(client.post(f"/{path}", content=large), 422)
    refused(client.post("/decode?format=gif", content=AEC), 400)
    refused(client.get("/nothing"), 404)


def test_requests_beyond_those_that_may_wait_are_refused(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "MOST_WAITING", 0)
    refused(client.post("/look", content=PHOTO), 503)


def hostile() -> list[tuple[str, bytes]]:
    """Damaged files of every kind, and files that are none, with the address that each is sent to."""
    random, found = Random(7), []
    for number, (_, data) in enumerate(sorted(pictures.seeds().items())):
        for _ in range(2):
            found.append((("/look", "/whole")[number % 2], pictures.mutated(random, data)))
    for number, (_, data) in enumerate(sorted(files.seeds().items())):
        for _ in range(4):
            found.append((("/decode", "/info")[number % 2], files.mutated(random, data)))
    corpus = Path(__file__).parent / "fuzz" / "corpus"
    found += [("/decode", path.read_bytes()) for path in sorted(corpus.iterdir())]
    claims = struct.pack(">II", 2**31 - 1, 2**31 - 1)
    png = pictures.PNG_SIGNATURE + pictures.png_chunk(b"IHDR", claims + bytes([8, 2, 0, 0, 0]))
    return [*found, ("/look", png), ("/look", AEC), ("/decode", PHOTO), ("/whole", b"\0" * 4096)]


def test_hostile_uploads_get_an_answer_or_a_sentence(client: httpx.Client) -> None:
    came = []
    for path, data in hostile():
        answer = client.post(path, content=data)
        if answer.status_code != 200:
            refused(answer, 400, 413, 422)
        elif path == "/whole":
            assert {"result", "error"} & set(events_of(answer.text)[-1])
        came.append(answer.status_code)
    assert came.count(422) > len(came) / 2


@pytest.mark.parametrize("path", ["/", "/look", "/whole", "/compress", "/decode", "/info", "/nothing"])
def test_whoever_has_no_token_is_refused(path: str) -> None:
    with serving(Access.of(TOKEN, "127.0.0.1")) as stranger:
        for given in ("x", f"{TOKEN}x", TOKEN[:-1], TOKEN.upper(), "é"):
            header = {"Authorization": f"Bearer {given}".encode()}
            refused(stranger.get(path, params={"token": given}), 403)
            refused(stranger.post(path, params={"token": TOKEN}, content=PHOTO), 403)  # it goes in a header
            refused(stranger.post(path, headers=header, content=PHOTO), 403)
        refused(stranger.options(path), 403)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Host", "evil.example:8765"),
        ("Host", "127.0.0.1.evil.example"),
        ("Host", ""),
        ("Host", "["),
        ("Origin", "http://evil.example"),
        ("Origin", "http://127.0.0.1:1"),
        ("Origin", "http://127.0.0.1"),
        ("Origin", "null"),
        ("Origin", "["),
    ],
)
def test_other_hosts_and_origins_are_refused(client: httpx.Client, header: str, value: str) -> None:
    refused(client.post("/look", content=PHOTO, headers={header: value}), 400, 403)
    refused(client.get("/", params={"token": TOKEN}, headers={header: value}), 400, 403)


@pytest.mark.parametrize(
    ("host", "allowed", "known", "unknown"),
    [
        ("127.0.0.1", (), ("127.0.0.1:1", "localhost:2", "[::1]:3", "LOCALHOST"), ("192.168.0.7", "a.org")),
        ("0.0.0.0", (), ("192.168.0.7:80", "[fe80::1]", "localhost"), ("a.org", "")),
        ("::1", ("0:0:0:0:0:0:0:2",), ("[::1]", "[0:0:0:0:0:0:0:1]:5", "[::2]"), ("[::3]", "::1")),
        ("::ffff:127.0.0.1", (), ("[::ffff:7f00:1]", "127.0.0.1", "localhost"), ("192.168.0.7",)),
        ("::ffff:0.0.0.0", (), ("[::ffff:7f00:1]", "192.168.0.7"), ("a.org",)),
        ("fe80::1%lo", (), ("[fe80::1]",), ("[fe80::2]",)),
        ("192.168.0.7", ("Pictures.example",), ("192.168.0.7", "pictures.example:443"), ("127.0.0.1",)),
    ],
)
def test_a_page_goes_by_its_names_alone(
    host: str, allowed: tuple[str, ...], known: tuple[str, ...], unknown: tuple[str, ...]
) -> None:
    with serving(Access.of(TOKEN, host, allowed)) as client:
        query = {"token": TOKEN}
        for name in known:
            answer = client.get("/", params=query, headers={"Host": name, "Origin": f"https://{name}"})
            assert answer.status_code == 200, name
        for name in unknown:
            refused(client.get("/", params=query, headers={"Host": name}), 403)


def test_the_page_and_every_answer_have_a_policy(client: httpx.Client) -> None:
    text = page(1, 1)
    assert "http:" not in text
    assert "https:" not in text
    own = {"token": TOKEN}
    for answer in (client.get("/", params=own), client.get("/nothing"), client.post("/look", content=b"x")):
        assert answer.headers["content-security-policy"] == policy(page(LIMITS.upload, LIMITS.pixels))
        assert answer.headers["cache-control"] == "no-store"
    assert "'unsafe-inline'" not in policy(text)
    assert TOKEN not in client.get("/", params=own).text


def test_nothing_is_written(client: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and recording and isinstance(arguments[2], int) and arguments[2] & 3:
            opened.append(str(arguments[0]))

    recording = True
    sys.addaudithook(watch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for path in ("/look", "/whole", "/compress"):
        assert client.post(path, content=PHOTO + bytes(2**19)).status_code == 200
    client.post("/decode", content=AEC)
    client.post("/look", content=b"nothing")
    recording = False
    assert opened == []
    assert list(tmp_path.iterdir()) == []


def test_ten_at_once_are_all_answered(client: httpx.Client) -> None:
    with ThreadPoolExecutor(10) as pool:
        paths = 5 * ["/look", "/whole"]
        answers = list(pool.map(lambda path: client.post(path, content=PHOTO), paths))
    assert [answer.status_code for answer in answers] == [200] * 10
    assert all("result" in events_of(answer.text)[-1] for answer in answers[1::2])


def test_work_that_nobody_waits_for_ends(client: httpx.Client) -> None:
    slow = file_of(Image.fromarray(photograph(400, 300)))
    with client.stream("POST", "/whole?effort=9", content=slow) as answer:
        assert "label" in json.loads(next(answer.iter_lines()))
    assert client.post("/compress", content=PHOTO).status_code == 200  # which needs the one slot


def test_the_address_names_the_page_on_this_machine() -> None:
    assert address_of("0.0.0.0", 80, "t") == "http://127.0.0.1:80/?token=t"
    assert address_of("::1", 80, "t") == "http://[::1]:80/?token=t"
    with listening("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} of 127.0.0.1 cannot be had"):
            listening("127.0.0.1", port)
    with pytest.raises(UsageError, match="no address of this machine"):
        listening("no such host", 0)


@pytest.mark.parametrize(
    ("host", "printed"),
    [
        ("localhost", "localhost"),
        ("LOCALHOST", "LOCALHOST"),
        ("127.0.0.2", "127.0.0.2"),
        ("127.1", "127.0.0.1"),
        ("0", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("0::0", "[::1]"),
        ("0:0:0:0:0:0:0:1", "[::1]"),
        ("::ffff:127.0.0.1", "[::ffff:127.0.0.1]"),
    ],
)
def test_the_address_that_is_printed_opens_the_page(
    host: str, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def asked(app: Any, address: str) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            return (await client.get(address)).status_code

    def ask(app: Any, address: str) -> int:
        with ThreadPoolExecutor(1) as pool:  # as a browser's tests leave an event loop running in this thread
            return pool.submit(asyncio.run, asked(app, address)).result()

    apps: list[Any] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda server, sockets: apps.append(server.config.app))
    try:
        command(["serve", "--host", host, "--port", "0"], standalone_mode=False)
    except UsageError:
        pytest.skip(f"this machine has no {host}")
    address = capsys.readouterr().out.strip()
    assert urlsplit(address).netloc.rpartition(":")[0] == printed
    assert ask(apps[0], address) == 200
    by_another = ask(apps[0], address.replace(printed, "192.168.0.7"))
    assert (by_another == 200) is (host in ("0", "0.0.0.0", "::", "0::0"))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(aecodec.MissingExtraError, match=r"pip install 'aecodec\[web\]'"):
        command(["serve"], standalone_mode=False)


def test_help_says_where_it_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((SystemExit, typer.Exit)):
        command(["serve", "--help"])
    assert "127.0.0.1" in capsys.readouterr().out


# Of a file that is refused, has changed or is gone.
REASONS = (
    "the server responded with a status of 422",
    "net::ERR_UPLOAD_FILE_CHANGED",
    "net::ERR_FILE_NOT_FOUND",
)
SAID_BY_CHROMIUM = tuple(f"Failed to load resource: {reason}" for reason in REASONS)


@pytest.fixture
def tab(browser: Any, client: httpx.Client) -> Iterator[Any]:
    """The page; afterwards it had no error, and asked nobody but the server."""
    base = str(client.base_url).rstrip("/")
    with browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True) as context:
        opened, wrong = context.new_page(), []
        opened.on("console", lambda message: wrong.append(message.text))
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.on(
            "request",
            lambda asked: asked.url.startswith((f"{base}/", "data:", "blob:")) or wrong.append(asked.url),
        )
        opened.goto(f"{base}/?token={TOKEN}")
        yield opened
        assert [text for text in wrong if not text.startswith(SAID_BY_CHROMIUM)] == []


def drop(tab: Any, *given: tuple[str, bytes]) -> None:
    """Drop files on the page."""
    tab.evaluate(
        """files => {
          const data = new DataTransfer();
          const bytes = content => Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
          for (const [name, content] of files) data.items.add(new File([bytes(content)], name));
          dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        [[name, base64.b64encode(data).decode()] for name, data in given],
    )


def drop_from_disk(tab: Any, *paths: Path) -> None:
    """Drop files and folders on the page as a file manager does."""
    session = tab.context.new_cdp_session(tab)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 100, "data": data})


def saved(tab: Any, kind: str) -> tuple[str, bytes]:
    """The name and the bytes of what a button saves, once it can."""
    with tab.expect_download() as download:
        tab.click(f"[data-save={kind}]:enabled", timeout=60000)
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_a_picture_is_dropped_a_quality_drawn_and_files_saved(tab: Any) -> None:
    drop(tab, ("holiday.png", PHOTO))
    assert saved(tab, "aec") == ("holiday.aec", aecodec.compress(photograph(96, 64)))
    assert "JPEG" in tab.inner_text("#rows")
    tab.select_option("#other", "WebP")
    tab.fill("#quality", "20")
    assert tab.inner_text("#drawn") == "20"
    _, data = saved(tab, "aec")
    assert aecodec.info(data).quality == 20
    tab.wait_for_selector("#rows :text('WebP')")
    assert "of 96" not in tab.inner_text("#part")
    name, picture = saved(tab, "png")
    assert name == "holiday.png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture))), aecodec.decompress(data))
    assert saved(tab, "jpeg")[0] == "holiday.jpg"
    tab.check("[name=mode][value=bytes]")
    tab.fill("#kilobytes", "0.9")
    tab.wait_for_selector("[data-save=aec]:disabled")
    assert len(saved(tab, "aec")[1]) <= 900
    tab.check("[name=mode][value=lossless]")
    tab.wait_for_selector("[data-save=aec]:disabled")
    assert aecodec.info(saved(tab, "aec")[1]).quality is None


def test_a_slow_look_is_given_up_when_a_setting_changes_or_another_file_comes(
    tab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(data: bytes, options: Any, *more: Any) -> Any:
        begun.set()
        while options.effort and not over.wait(0.01):
            for _ in track("endless", range(2)):
                pass
        return quick(data, options, *more)

    def start() -> None:
        begun.clear()
        tab.select_option("#effort", "6")
        assert begun.wait(60)

    begun, over, quick = Event(), Event(), work.look
    monkeypatch.setattr(work, "look", look)
    try:
        drop(tab, ("a.png", PHOTO))
        saved(tab, "aec")
        start()
        tab.select_option("#effort", "0")
        saved(tab, "aec")
        start()
        drop(tab, ("a.aec", AEC))
        saved(tab, "png")
    finally:
        over.set()


def test_a_bad_file_is_said_and_the_next_is_taken(tab: Any) -> None:
    drop(tab, ("bad.png", b"no picture"))
    tab.wait_for_selector("#wrong:visible")
    assert tab.inner_text("#wrong").startswith("Not a picture that can be read")
    assert not tab.is_visible("#desk")
    drop(tab, ("large.png", bytes(2**20 + 1)))
    tab.wait_for_selector("#wrong:has-text('at most')")
    drop(tab, ("bad.aec", AEC[:-1]))
    tab.wait_for_selector("#wrong:has-text('ends')")
    drop(tab, ("good.png", PHOTO))
    tab.wait_for_selector("[data-save=aec]:enabled")
    assert not tab.is_visible("#wrong")


def test_a_folder_is_said_to_be_one(tab: Any, tmp_path: Path) -> None:
    folder, picture = tmp_path / "holiday", tmp_path / "a.png"
    folder.mkdir()
    picture.write_bytes(PHOTO)
    drop_from_disk(tab, folder)
    tab.wait_for_selector("#wrong:visible")
    assert tab.inner_text("#wrong") == "holiday is a folder: give the pictures in it."
    assert not tab.is_visible("#desk")
    drop_from_disk(tab, folder, picture)
    tab.click("[data-save=aec]:enabled")
    tab.wait_for_selector("[data-save=aec]:has-text('zip')")
    assert tab.inner_text("#list tr:first-child td.note") == "holiday is a folder: give the pictures in it."
    assert tab.inner_text("#status") == "1 of 2 files are in the zip."


@pytest.mark.parametrize("name", ["a.png", "a.aec"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_file_that_is_no_longer_what_was_given_is_said(
    gone: bool, name: str, tab: Any, tmp_path: Path
) -> None:
    given, other = tmp_path / name, tmp_path / "other.png"
    said = f"{name} cannot be read, as it has changed or is gone: give it again."

    def change() -> None:
        os.utime(given, (1, 1))
        if gone:
            given.unlink()

    for path in (given, other):
        path.write_bytes(PHOTO if path.suffix == ".png" else AEC)
    tab.set_input_files("#files", [given, other])
    change()
    tab.click("[data-save=aec]:enabled")
    tab.wait_for_selector("[data-save=aec]:has-text('zip')")
    assert tab.inner_text("#list tr:first-child td.note") == said
    given.write_bytes(PHOTO if given.suffix == ".png" else AEC)
    tab.set_input_files("#files", given)
    tab.wait_for_selector("[data-save=jpeg]:enabled")
    change()
    if name == "a.png":
        tab.select_option("#other", "WebP")
    else:
        tab.click("[data-save=jpeg]")
    tab.wait_for_selector("#wrong:visible")
    assert tab.inner_text("#wrong") == said


@pytest.mark.parametrize("shown_whole", [True, False])
def test_no_figures_stay_where_an_answer_failed(
    shown_whole: bool, tab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "MOST_SHOWN", 2**19 if shown_whole else 1000)
    monkeypatch.setattr(work, "WIDE", 64)
    drop(tab, ("a.png", PHOTO))
    tab.wait_for_selector("[data-save=aec]:enabled")
    tab.check("[name=mode][value=bytes]")
    tab.fill("#kilobytes", "0.9")
    tab.wait_for_selector("[data-save=aec]:enabled")
    assert "B" in tab.inner_text("#bytes")
    tab.fill("#kilobytes", "0.005")
    tab.wait_for_selector("#wrong:has-text('5 bytes')")
    assert tab.inner_text("#bytes").strip() == tab.inner_text("#figures").strip() == ""
    assert not tab.is_visible("#rows")
    tab.fill("#kilobytes", "0.9")
    tab.wait_for_selector("[data-save=aec]:enabled")
    assert "B" in tab.inner_text("#bytes")
    assert tab.is_visible("#rows")
    assert not tab.is_visible("#wrong")


def test_votes_are_saved_with_what_was_voted_on(tab: Any) -> None:
    shown, sizes = "", []
    for name, quality in (("a.png", 50), ("a.png", 10), ("b.png", 10), ("a.png", 50)):
        if name != shown:
            drop(tab, (name, PHOTO))
        shown = name
        tab.fill("#quality", str(quality))
        tab.wait_for_selector("[data-save=aec]:enabled")
        sizes.append(tab.inner_text("#rows tr:first-child td:nth-child(3)"))
        tab.click("[data-view=blind]")
        tab.click("[data-vote=a]")
        tab.click("#end")
    drop(tab, ("never voted on.png", PHOTO))
    tab.wait_for_selector("[data-save=aec]:enabled")
    with tab.expect_download() as download:
        tab.click("#save")
    record = json.loads(Path(download.value.path()).read_text())
    seen = [record["pictures"][vote["place"]] for vote in record["votes"]]
    names = [vote["picture"] for vote in record["votes"]]
    assert [one["name"] for one in seen] == names == ["a.png", "a.png", "b.png", "a.png"]
    assert len(record["pictures"]) == 3
    ours = [one["codecs"][0] for one in seen]
    assert [one["setting"] for one in ours] == [f"quality {quality}" for quality in (50, 10, 10, 50)]
    assert [f"{one['bytes']:,}" for one in ours] == sizes
    assert all(one["bpp"] == 8 * one["bytes"] / (96 * 64) for one in ours)
    assert {vote["nearer"] for vote in record["votes"]} <= {"aecodec", "JPEG"}


def test_an_aec_file_is_shown(tab: Any) -> None:
    drop(tab, ("<b>a.aec", AEC))
    _, picture = saved(tab, "png")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture))), aecodec.decompress(AEC))
    assert tab.inner_text("#name") == "<b>a.aec"
    assert tab.eval_on_selector("#whole", "one => one.naturalWidth") == 40
    assert "40 × 30" in tab.inner_text("#size")
    assert not tab.is_visible("#settings")


def test_many_pictures_become_a_zip(tab: Any) -> None:
    drop(tab, ("a.png", PHOTO), ("bad.png", b"no picture"), ("a.tif", PHOTO), ("é.png", PHOTO))
    tab.click("[data-save=aec]:enabled")
    tab.wait_for_selector("[data-save=aec]:has-text('zip')")
    name, data = saved(tab, "aec")
    assert name == "pictures.zip"
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        assert packed.testzip() is None
        assert packed.namelist() == ["a.aec", "a (2).aec", "é.aec"]
        assert packed.read("é.aec") == aecodec.compress(photograph(96, 64))
    assert "Not a picture" in tab.inner_text("#list")


def test_the_page_passes_the_rules_of_accessibility_and_fits_a_phone(tab: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

    def check(scheme: str) -> None:
        tab.emulate_media(color_scheme=scheme)
        found = axe.Axe().run(tab)
        assert found.violations_count == 0, found.generate_report()

    check("light")
    drop(tab, ("bad.png", b"no picture"))
    tab.wait_for_selector("#wrong:visible")
    check("dark")
    drop(tab, ("a.png", PHOTO))
    tab.wait_for_selector("[data-save=aec]:enabled")
    for scheme in ("light", "dark"):
        check(scheme)
    tab.set_viewport_size({"width": 360, "height": 740})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    for given in ((("a.aec", AEC),), (("a.png", PHOTO), ("b.png", PHOTO))):
        drop(tab, *given)
        tab.wait_for_selector("[data-save]:enabled")
        check("light")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
