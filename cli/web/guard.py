"""Who may ask, and what answers allow: the token, the Host, the Origin and the headers of every answer."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_BYTES = 24  # of chance, more than can be guessed: 32 characters
BEARER = "Bearer "
EVERYWHERE = ("0.0.0.0", "::")  # hosts that stand for every address of the machine
LOCAL = ("127.0.0.1", "localhost", "::1")
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
NO_TOKEN = "this address needs its token: open the one that aecodec serve printed"
OTHER_HOST = "{host!r} is not the name of this page: open the address that aecodec serve printed"
OTHER_ORIGIN = "a page of {origin!r} may not ask here: open the address that aecodec serve printed"


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(frozen=True, slots=True)
class Access:
    """What a request needs: the token, and a Host of the page. `hosts` are names without a port."""

    token: str
    hosts: Collection[str]
    any_address: bool = False  # whether a Host that is an IP address is taken too

    @classmethod
    def of(cls, token: str, host: str, allowed: Collection[str] = ()) -> Access:
        """Access to a server that is bound to the address `host`, under further names that are allowed.

        A name that is not listed is refused, as an attacker's own name may lead to this address (DNS
        rebinding). An address is no name, so any will do where the server listens at all of them.
        """
        host = spelled(host)
        everywhere = host in EVERYWHERE
        names = {*allowed, *(LOCAL if everywhere or host in LOCAL else (host,))}
        return cls(token, frozenset(map(spelled, names)), everywhere)

    def refusal(self, scope: Scope) -> str:
        """A sentence that says why a request is refused; empty for one that is not."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self.knows(host_name(host)):
            return OTHER_HOST.format(host=host)
        origin = headers.get("origin")
        if origin is not None and authority(origin) != host.lower():
            return OTHER_ORIGIN.format(origin=origin)
        return "" if self.holds_token(scope, headers) else NO_TOKEN

    def knows(self, name: str) -> bool:
        """Whether the page goes by a name."""
        return name in self.hosts or (self.any_address and is_address(name))

    def holds_token(self, scope: Scope, headers: Headers) -> bool:
        """Whether a request has the token: that of the page in its address, all others in a header."""
        token = headers.get("authorization", "").removeprefix(BEARER)
        if scope["method"] in ("GET", "HEAD"):
            query = parse_qs(scope["query_string"].decode("latin-1"))
            token = query.get("token", [token])[0]
        return secrets.compare_digest(token.encode("utf-8"), self.token.encode("ascii"))


def host_name(host: str) -> str:
    """The name in a Host header, as `spelled`, without the port; empty for what is none."""
    try:
        return spelled(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return ""


def spelled(name: str) -> str:
    """A name as names are compared: in lower case, and an IP address in the one spelling that is usual.

    The zone of an IPv6 address is left out, as in a Host header.
    """
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name.lower()
    return str(getattr(address, "ipv4_mapped", None) or address)


def authority(origin: str) -> str:
    """The name and port of an Origin header, in lower case; empty for what is none, such as null."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def is_address(name: str) -> bool:
    """Whether a name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """The application within, for those who may ask; everyone else gets 403 and a sentence."""

    def __init__(self, app: ASGIApp, access: Access, policy: str) -> None:
        self.app, self.access = app, access
        self.headers = {**HEADERS, "Content-Security-Policy": policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # a web socket, which is closed before it is opened
            return await send({"type": "websocket.close", "code": 1008})

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        if sentence := self.access.refusal(scope):
            return await PlainTextResponse(sentence, 403)(scope, receive, send_guarded)
        await self.app(scope, receive, send_guarded)
