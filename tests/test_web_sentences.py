"""What `aecodec serve` says where nothing comes of a request."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import redirect_stdout

import httpx
import pytest
import typer
from PIL import Image

from aecodec.cli import app as command
from aecodec.cli.web.guard import Access
from tests.common import make_exif, photograph
from tests.test_serve import PHOTO, TOKEN, events_of, file_of, refused, serving

OFFERED = {"/": ({"GET", "HEAD"}, "GET and HEAD"), "/look": ({"POST"}, "files by POST")}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """Who has the token."""
    with serving(Access.of(TOKEN, "127.0.0.1")) as asking:
        asking.headers["Authorization"] = f"Bearer {TOKEN}"
        yield asking


@pytest.mark.parametrize("path", OFFERED)
def test_a_refused_method_is_told_of_those_that_are_taken(client: httpx.Client, path: str) -> None:
    methods, said = OFFERED[path]
    for method in {"GET", "POST", "PUT", "DELETE"} - methods:
        answer = client.request(method, path)
        refused(answer, 405)
        assert answer.text == f"this address takes {said} alone"
        assert set(answer.headers["allow"].split(", ")) == methods


def flawed() -> Iterator[tuple[str, bytes, str]]:
    """A query, a file that needs an option besides, and how that is named."""
    frames = [Image.fromarray(photograph(40, 30)), Image.fromarray(photograph(40, 30)[::-1])]
    moving = file_of(frames[0], "GIF", append_images=frames[1:], save_all=True)
    yield "", moving, "--frame 0 to 1 of aecodec compress"
    yield "", PHOTO[: len(PHOTO) // 2], "--tolerant of aecodec compress"
    yield "", file_of(Image.new("RGB", (600, 500))), "--max-pixels of aecodec serve"
    described = file_of(Image.fromarray(photograph(96, 64)), exif=make_exif())
    yield "max_bytes=20", described, "--strip of aecodec compress"
    yield f"max_bytes={len(make_exif()) + 20}", described, "--strip of aecodec compress"


@pytest.mark.parametrize("path", ["look", "whole", "compress"])
def test_an_option_that_the_page_lacks_is_told_with_its_command(client: httpx.Client, path: str) -> None:
    for query, data, said in flawed():
        if path == "look" and query:
            continue  # which leaves metadata out
        text = sentence_for(client.post(f"/{path}?{query}", content=data))
        assert said in text
        assert "in Python" not in text
        *_, option, name = re.findall(r"--[a-z-]+|(?<=aecodec )[a-z]+", text)
        assert option in help_of(name)


def sentence_for(answer: httpx.Response) -> str:
    """What is wrong, said before or after the answer began."""
    if answer.status_code == 200:
        return str(events_of(answer.text)[-1]["error"])
    refused(answer, 422)
    return answer.text


def help_of(name: str) -> str:
    """What a command's help says."""
    with redirect_stdout(io.StringIO()) as printed, pytest.raises((SystemExit, typer.Exit)):
        command([name, "--help"])
    return printed.getvalue()
