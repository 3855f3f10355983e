"""`aecodec serve`: a local page where pictures are dropped and a quality is drawn; needs the extra `web`."""

from __future__ import annotations

import os
import socket
from typing import Annotated

import typer

from aecodec.cli.files import UsageError
from aecodec.cli.options import Quiet, bytes_of, pixels_of

HOST, PORT = "127.0.0.1", 8765
MOST_BYTES = 2**27  # of an upload: photographs of 50 megapixels as PNG have 100 MB
MOST_PIXELS = 50_200_000  # of a picture: what telephones of 50 megapixels take
GRACE = 2  # seconds that answers under way get when the server ends


def require_web() -> None:
    """Raises MissingExtraError where the extra is missing."""
    try:
        import jinja2  # noqa: F401
        import scipy  # noqa: F401
        import skimage  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        from aecodec import MissingExtraError

        raise MissingExtraError(f"{error}: run pip install 'aecodec[web]'") from error


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen here; SECURITY.md says what others can then do.")
    ] = HOST,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = PORT,
    open_page: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A further name of the page, as behind a proxy. Several times."),
    ] = None,
    max_upload: Annotated[
        int | None,
        typer.Option(metavar="BYTES", parser=bytes_of, help=f"Refuse larger files. Default: {MOST_BYTES}."),
    ] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS", parser=pixels_of, help=f"Refuse larger pictures. Default: {MOST_PIXELS}."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Try pictures and qualities in a local page: nothing leaves the machine, nothing is written."""
    require_web()
    import uvicorn

    from aecodec.cli.web.application import Limits, application
    from aecodec.cli.web.guard import Access, new_token

    token = new_token()
    limits = Limits(max_upload or MOST_BYTES, max_pixels or MOST_PIXELS)
    with listening(host, port) as bound:
        bound_host, bound_port = bound.getsockname()[:2]
        name = bound_host if is_address(host) and "%" not in host else host  # a zone is not told of it
        address = address_of(name, bound_port, token)
        typer.echo(address)
        if not quiet:
            typer.echo("Open this address in a browser. Ctrl-C ends the server.", err=True)
        app = application(Access.of(token, bound_host, (name, *(allow_host or ()))), limits)
        settings = uvicorn.Config(
            app,
            access_log=False,  # which would show the token
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
        if open_page:
            import webbrowser

            webbrowser.open(address)
        try:
            uvicorn.Server(settings).run(sockets=[bound])
        except KeyboardInterrupt:  # which uvicorn raises again after it has ended
            return


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; raises UsageError where the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"--host {host} is no address of this machine: {error.strerror}") from error
    try:
        if os.name == "posix":  # elsewhere it would let others take the port over
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()
    except OSError as error:
        bound.close()
        remedy = "choose another with --port, or 0 for any that is free"
        raise UsageError(f"port {port} of {host} cannot be had ({error.strerror}): {remedy}") from error
    return bound


def is_address(host: str) -> bool:
    """Whether a host is an IP address in any spelling that the system takes, such as 127.1, and no name."""
    try:
        return bool(socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST))
    except OSError:
        return False


def address_of(host: str, port: int, token: str) -> str:
    """The address of the page, to open on this machine. `host` is a name, or the address that is bound."""
    from aecodec.cli.web.guard import spelled

    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(spelled(host), host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/?token={token}"
