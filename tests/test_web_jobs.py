"""`aecodec serve` gives work up that nobody waits for, and all work when it is ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from threading import Event
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from aecodec.cli.web import work
from aecodec.cli.web.guard import Access
from aecodec.cli.web.sentences import ENDED
from aecodec.progress import track
from tests.test_serve import AEC, LIMITS, PHOTO, TOKEN, serving

WORK = {
    "/look": "look",
    "/whole": "whole",
    "/compress": "compress",
    "/decode": "picture_of",
    "/info": "info",
}
# A server whose work never ends by itself. It prints its address, and a line for each work that begins.
PROGRAM = """
import signal, time
from aecodec.cli import main
from aecodec.cli.web import work
from aecodec.progress import track

def endless(*given, **options):
    print("begun\\n", end="", flush=True)  # in one piece, as two threads do
    while True:
        for _ in track("endless", range(2)):
            time.sleep(0.01)

work.look = work.whole = work.compress = endless
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
main()
"""


class Endless:
    """Work that ends once it is abandoned, or the test is over."""

    def __init__(self) -> None:
        self.begun, self.abandoned, self.over = Event(), Event(), Event()

    def __call__(self, *given: Any, **options: Any) -> None:
        self.begun.set()
        try:
            while not self.over.wait(0.01):
                for _ in track("endless", range(2)):
                    pass
        except BaseException:
            self.abandoned.set()
            raise


@pytest.fixture
def endless() -> Iterator[Endless]:
    work_without_end = Endless()
    yield work_without_end
    work_without_end.over.set()


@contextmanager
def asked(port: int | None, path: str, token: str = TOKEN) -> Iterator[HTTPConnection]:
    """A connection on which a picture was sent, and no answer read."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, PHOTO, {"Authorization": f"Bearer {token}"})
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("path", WORK)
def test_work_is_given_up_when_who_asked_leaves(
    path: str, endless: Endless, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(work, WORK[path])
    monkeypatch.setattr(work, WORK[path], endless)
    with serving(Access.of(TOKEN, "127.0.0.1"), LIMITS) as client:
        with asked(client.base_url.port, path):
            assert endless.begun.wait(60)
        try:
            assert endless.abandoned.wait(60)
        finally:
            endless.over.set()  # or the server would not end
        monkeypatch.setattr(work, WORK[path], original)
        data = AEC if path in ("/decode", "/info") else PHOTO
        answer = client.post(path, content=data, headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200  # for which the slot was freed


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([signal.SIGINT], 0),
        ([signal.SIGINT, signal.SIGINT], 0),
        ([signal.SIGTERM], 128 + signal.SIGTERM),
        ([signal.SIGHUP], 128 + signal.SIGHUP),
    ],
)
def test_the_server_ends_whatever_is_in_work(numbers: list[signal.Signals], code: int) -> None:
    command = [sys.executable, "-c", PROGRAM, "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            address = urlsplit(server.stdout.readline())
            token = parse_qs(address.query.strip())["token"][0]
            with (
                asked(address.port, "/look", token) as look,
                asked(address.port, "/whole", token) as whole,
                asked(address.port, "/compress", token) as waiting,
            ):
                assert [server.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
                for number in numbers:
                    server.send_signal(number)
                answers = [one.getresponse() for one in (look, whole, waiting)]
                texts = [one.read().decode().splitlines()[-1] for one in answers]
            _, stderr = server.communicate(timeout=60)
        finally:
            server.kill()
    assert server.returncode == code
    said = ("Open this address", "ERROR:    Cancel 2 running", "ERROR:    Cancel 3 running")
    assert all(line.startswith(said) for line in stderr.splitlines()), stderr
    last_line = {503: ENDED, 200: json.dumps({"error": ENDED})}  # 200 where the answer had begun
    assert texts == [last_line[answer.status] for answer in answers]
