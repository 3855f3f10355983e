"""The application: its page, and what the page asks for. Every answer that is an error is a sentence.

A body is a file's bytes, and the options stand in the query. Nothing is kept, and nothing written to disk.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aecodec.benchmarks.equal_bytes import SHOWN
from aecodec.cli.web import jobs, work
from aecodec.cli.web.guard import Access, Guard
from aecodec.cli.web.page import page, policy
from aecodec.cli.web.sentences import (
    ENDED,
    TOO_MUCH,
    failure,
    say_error,
    say_failure,
    say_refusal,
    say_too_much,
    sentence_of,
)
from aecodec.cli.web.upload import Slots, body_of, check_announced, gone
from aecodec.encoder.options import CompressOptions
from aecodec.errors import AecodecError, one_line

# Bodies in memory at a time: of looks, which are short, and of whole files. Of 50 megapixels they take about
# 0.7 and 1.2 GB; of more at a time none would be done sooner, as each uses all cores.
LOOKS, WHOLES = 1, 1
NUMBERS = ("quality", "max_bytes", "effort")


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest upload in bytes, and the most pixels of a picture."""

    upload: int
    pixels: int


def application(access: Access, limits: Limits) -> ASGIApp:
    """The application, which answers whoever has `access` and refuses what is over the limits."""
    text = page(limits.upload, limits.pixels)
    service = Service(limits, HTMLResponse(text))
    routes = [
        Route("/", service.show_page),
        Route("/look", service.look, methods=["POST"]),
        Route("/whole", service.whole, methods=["POST"]),
        Route("/compress", service.compress, methods=["POST"]),
        Route("/decode", service.decode, methods=["POST"]),
        Route("/info", service.info, methods=["POST"]),
    ]

    @asynccontextmanager
    async def warmed_up(app: Starlette) -> AsyncIterator[None]:
        """Loads models beside the first requests, so that a picture dropped a second later finds them."""
        asyncio.get_running_loop().run_in_executor(None, work.warm_up)
        yield

    handlers: Mapping[Any, Any] = {
        HTTPException: say_refusal,
        AecodecError: say_error,
        MemoryError: say_too_much,
        Exception: say_failure,
    }
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=warmed_up)
    return Guard(CutOff(app), access, policy(text))


class CutOff:
    """The application within. What the server cancels, as it ends, ends in peace: requests with a sentence.

    The server would log it as mistakes of ours.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        async def receive_to_the_end() -> Message:
            try:
                return await receive()
            except asyncio.CancelledError:
                if scope["type"] != "lifespan":
                    raise
                return {"type": "lifespan.shutdown"}

        try:
            await self.app(scope, receive_to_the_end, send_noted)
        except asyncio.CancelledError:
            if scope["type"] == "http" and not started:
                await PlainTextResponse(ENDED, 503)(scope, receive, send)


class Service:
    """The requests of the page."""

    def __init__(self, limits: Limits, page: Response) -> None:
        self.limits, self.page = limits, page
        self.looks, self.wholes = Slots(LOOKS), Slots(WHOLES)

    async def show_page(self, request: Request) -> Response:
        """The page itself, which holds no secret and no picture."""
        return self.page

    async def look(self, request: Request) -> Response:
        """JSON: a part of a picture by ours and another codec."""
        options, other = self.options(request), other_codec(request)
        place, whole = place_of(request), number(request, "whole")
        return JSONResponse(
            await self.short(request, lambda data: work.look(data, options, other, place, whole))
        )

    async def decode(self, request: Request) -> Response:
        """The picture of an .aec file, PNG or JPEG."""
        if (name := request.query_params.get("format", "png")) not in work.FORMATS:
            raise HTTPException(400, f"format {one_line(name)!r} is not offered: choose png or jpeg")
        data = await self.short(request, lambda data: work.picture_of(data, name, self.limits.pixels))
        return Response(data, media_type=work.FORMATS[name])

    async def info(self, request: Request) -> Response:
        """JSON: what an .aec file holds."""
        return JSONResponse(await self.short(request, lambda data: work.info(data, self.limits.pixels)))

    async def compress(self, request: Request) -> Response:
        """The .aec file of a picture file."""
        options = self.options(request)
        work_on = partial(work.compress, options=options)
        return Response(await self.short(request, work_on, self.wholes), media_type="image/x-aec")

    async def short(
        self, request: Request, work_on: Callable[[bytes], Any], slots: Slots | None = None
    ) -> Any:
        """What comes of a body, for as long as the request waits for it."""
        events = await self.begin(request, slots or self.looks, lambda data, job: work_on(data))
        return await jobs.result_of(events, gone(request))

    async def whole(self, request: Request) -> Response:
        """Lines of JSON: how far the whole file is, and at last the file with a part of what comes of it."""
        options, other, place = self.options(request), other_codec(request), place_of(request)
        work_on = partial(work.whole, options=options, other=other, place=place)
        events = await self.begin(request, self.wholes, lambda data, job: work_on(data, job=job))
        first = await anext(events)  # raises what is wrong with the picture, before the answer begins
        return StreamingResponse(lines(first, events), media_type="application/x-ndjson")

    async def begin(
        self, request: Request, slots: Slots, work_on: Callable[[bytes, jobs.Job], Any]
    ) -> AsyncIterator[dict[str, Any]]:
        """Events of work on a body, in a thread, whose slot is free when that ends."""
        check_announced(request, self.limits.upload)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(slots.taken())
            data = await body_of(request, self.limits.upload)
            release = stack.pop_all()
        return jobs.run(lambda job: work_on(data, job), lambda: asyncio.ensure_future(release.aclose()))

    def options(self, request: Request) -> CompressOptions:
        """The options in a query; raises HTTPException."""
        query = request.query_params
        values: dict[str, Any] = {
            name: as_number(query[name]) for name in NUMBERS if query.get(name, "") != ""
        }
        if query.get("tune"):
            values["tune"] = query["tune"]
        values["lossless"] = query.get("lossless") == "1"
        try:
            return CompressOptions(**values, depth=8, max_pixels=self.limits.pixels)
        except AecodecError as error:
            raise HTTPException(400, sentence_of(error)) from error


def as_number(text: str) -> float | str:
    """A number, or text that is none, which the options refuse by name."""
    try:
        return float(text)
    except ValueError:
        return one_line(text)


def number(request: Request, name: str) -> int | None:
    """A whole number in a query from 0 on, None where there is none; raises HTTPException."""
    text = request.query_params.get(name, "")
    if text and not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise HTTPException(400, f"{name} {one_line(text)!r} is no number: give one from 0 on")
    return int(text) if text else None


def place_of(request: Request) -> tuple[int, int] | None:
    """Left and top of the part that is asked for, None for any."""
    left, top = number(request, "left"), number(request, "top")
    return None if left is None or top is None else (left, top)


def other_codec(request: Request) -> str:
    """The codec that ours is shown beside; raises HTTPException."""
    if (name := request.query_params.get("other", "JPEG")) not in SHOWN.values():
        raise HTTPException(
            400, f"codec {one_line(name)!r} is unknown: choose of {', '.join(SHOWN.values())}"
        )
    return name


async def lines(first: dict[str, Any], events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    """Events as lines of JSON; an error that comes late is one too."""
    async with aclosing(events) as rest:  # type: ignore[type-var]
        try:
            yield json.dumps(first) + "\n"
            async for event in rest:
                yield json.dumps(event) + "\n"
        except AecodecError as error:
            yield json.dumps({"error": sentence_of(error)}) + "\n"
        except MemoryError:
            yield json.dumps({"error": TOO_MUCH}) + "\n"
        except asyncio.CancelledError:
            yield json.dumps({"error": ENDED}) + "\n"
        except Exception as error:
            logging.getLogger(__name__).exception("a mistake of ours")  # as the server logs what it answers
            yield json.dumps({"error": failure(error)}) + "\n"
