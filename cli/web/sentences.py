"""What a request is told where nothing comes of it: one sentence, of what the page has."""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from aecodec.errors import one_line

NOT_UNDERSTOOD = 422  # HTTP status of a file, or of options, that cannot be worked on
TOO_MUCH = "the picture takes more memory than there is: give a smaller one"
ENDED = "the server was ended: start aecodec serve again"
IN_PYTHON = re.compile(r" \([^()]* in Python\)")
OPTION = re.compile(r"--[a-z][a-z-]*(?: \d+(?: to \d+)?)?")  # with the values that a sentence offers
OPTIONS_OF_SERVE = ("--max-pixels",)
MAX_BYTES = re.compile(r"\bmax_bytes (\S+?)(?:\.0)? is ")


def sentence_of(error: Exception) -> str:
    """What is wrong. Errors name options of Python and of commands, which the page does not have."""
    text = OPTION.sub(with_command, IN_PYTHON.sub("", one_line(error)))
    return MAX_BYTES.sub(r"a size of \1 bytes is ", text)


def with_command(option: re.Match[str]) -> str:
    """An option, with the command that takes it."""
    command = "serve" if option[0].startswith(OPTIONS_OF_SERVE) else "compress"
    return f"{option[0]} of aecodec {command}"


async def say_refusal(request: Request, error: Exception) -> Response:
    """The sentence of a refused request."""
    assert isinstance(error, HTTPException)
    allowed = sorted((error.headers or {}).get("Allow", "").split(", "))
    by = "files by POST" if allowed == ["POST"] else " and ".join(allowed)
    sentences = {404: "there is no such page: open /", 405: f"this address takes {by} alone"}
    text = sentences.get(error.status_code, error.detail)
    return PlainTextResponse(text, error.status_code, headers=error.headers)


async def say_error(request: Request, error: Exception) -> Response:
    """The sentence of a file that cannot be worked on."""
    return PlainTextResponse(sentence_of(error), NOT_UNDERSTOOD)


async def say_too_much(request: Request, error: Exception) -> Response:
    """The sentence of a picture that is too large for this machine."""
    return PlainTextResponse(TOO_MUCH, 413)


async def say_failure(request: Request, error: Exception) -> Response:
    """The sentence of a mistake of ours."""
    return PlainTextResponse(failure(error), 500)


def failure(error: Exception) -> str:
    """The sentence of a mistake of ours, which shows nothing of the file."""
    return f"aecodec failed ({type(error).__name__}): please report this file"
