"""Takes parts out of XMP packets, and joins packets. All other bytes stay as they were.

None stands for a packet that cannot be edited safely: no UTF-8, no sound XML, or one that defines entities.
"""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable

LOCATION = (  # qualified names of coordinates, by whatever program; bounded, as any text is searched for them
    r"(?<![\w.-])(?i:[\w.-]{0,80}gps[\w.-]{0,80}:[\w.-]{1,80}"
    r"|[\w.-]{1,80}:[\w.-]{0,80}(?:gps|latitude|longitude|altitude)[\w.-]{0,80}|geo:(?:lat|long|lon|alt))"
)
SPEAKS_OF_LOCATION = re.compile(r"gps|latitude|longitude", re.IGNORECASE)
GAIN_MAP = ("http://ns.adobe.com/hdr-gain-map/1.0/", "http://ns.apple.com/HDRGainMap/1.0/")
CONTAINERS = (  # namespaces that describe data behind the picture in its file
    *GAIN_MAP,
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.google.com/photos/1.0/container/item/",
)
NOTE = "http://ns.adobe.com/xmp/note/"
MOTION = r"(?<![\w.-])[\w.-]{1,80}:(?:MicroVideo|MotionPhoto)[\w.-]{0,80}"
ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[2-8]")
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
EMPTY_ELEMENTS = {"{adobe:ns:meta/}xmpmeta", RDF + "RDF", RDF + "Description"}
PACKET = re.compile(r"<\?xpacket.*?\?>", re.DOTALL)
CONTENT = re.compile(r"<rdf:RDF\b[^>]*>(.*)</rdf:RDF\s*>", re.DOTALL)
MAIN = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    f'xmlns:xmpNote="{NOTE}" xmpNote:HasExtendedXMP="%s"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def decoded(packet: bytes) -> str | None:
    """The text of a packet that can be edited, else None."""
    try:
        text = packet.decode()
    except UnicodeDecodeError:
        return None
    return None if tree(text) is None else text


def tree(text: str) -> ET.Element | None:
    """A packet's elements; None where it is no sound XML, or declares entities, which may be bombs."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    try:
        return ET.fromstring(text.strip("\ufeff\0 \t\r\n"))
    except (ET.ParseError, ValueError):
        return None


def without(packet: bytes, names: str) -> bytes | None:
    """The packet without properties, and declarations, of qualified names that match a pattern."""
    if (text := decoded(packet)) is None:
        return None
    text = re.sub(rf"<({names})(?=[\s/>])[^>]*?(?:/>|>.*?</\1\s*>)", "", text, flags=re.DOTALL)
    text = re.sub(rf"""\s(?:{names})\s*=\s*(?:"[^"]*"|'[^']*')""", "", text)
    return None if tree(text) is None else text.encode()


def without_location(packet: bytes) -> bytes | None:
    """The packet without coordinates; None too where it still speaks of them."""
    text = decoded(packet)
    if text is not None and not SPEAKS_OF_LOCATION.search(text) and not re.search(LOCATION, text):
        return packet
    changed = without(packet, LOCATION)
    return None if changed is None or SPEAKS_OF_LOCATION.search(changed.decode()) else changed


def without_containers(packet: bytes) -> bytes | None:
    """The packet without claims about a gain map or film behind the picture; b"" if that is all there is."""
    if not (names := names_of_containers(packet)):
        return packet
    changed = without(packet, names)
    return b"" if changed is not None and is_empty(changed) else changed


def names_of_containers(packet: bytes) -> str:
    """A pattern of the qualified names of such claims; empty where there are none."""
    text = packet.decode("utf-8", "replace")
    prefixes = "|".join(prefixes_of(text, CONTAINERS))
    patterns = [rf"(?:{prefixes}):[\w.-]+|xmlns:(?:{prefixes})"] if prefixes else []
    return "|".join([*patterns, MOTION] if patterns or re.search(MOTION, text) else [])


def prefixes_of(text: str, namespaces: Iterable[str]) -> list[str]:
    """The prefixes that stand for some namespaces."""
    declared: list[tuple[str, str]] = re.findall(r"xmlns:([\w.-]+)\s*=\s*[\"']([^\"']*)[\"']", text)
    return sorted({re.escape(prefix) for prefix, namespace in declared if namespace in set(namespaces)})


def speaks_of_gain_map(packet: bytes) -> bool:
    return bool(prefixes_of(packet.decode("utf-8", "replace"), GAIN_MAP))


def is_empty(packet: bytes) -> bool:
    """Whether a packet says nothing."""
    if (root := tree(packet.decode("utf-8", "replace"))) is None:
        return False
    nodes = list(root.iter())
    return all(node.tag in EMPTY_ELEMENTS for node in nodes) and not any(
        set(node.attrib) - {RDF + "about"} for node in nodes if node.tag == RDF + "Description"
    )


def upright(packet: bytes) -> bytes:
    """The packet with orientation 1 where it has one of pixels that are turned."""
    return ORIENTATION.sub(rb"\g<1>1", packet)


def extension_of(packet: bytes) -> str:
    """The digest of the extended XMP that a JPEG's packet refers to; empty if there is none."""
    match = re.search(rb":HasExtendedXMP\s*(?:=\s*[\"']|>)\s*([0-9A-Fa-f]{32})", packet)
    return match[1].decode() if match else ""


def without_extension(packet: bytes) -> bytes | None:
    """The packet without that reference."""
    declared = prefixes_of(packet.decode("utf-8", "replace"), (NOTE,))
    return without(
        packet, "|".join(rf"{prefix}:[\w.-]+|xmlns:{prefix}" for prefix in declared or ["xmpNote"])
    )


def extended(packet: bytes, extension: bytes) -> bytes | None:
    """One packet of a JPEG's packet and its extended XMP (XMP specification, part 3, 1.1.3.1)."""
    main, more = without_extension(packet), decoded(extension)
    if main is None or more is None:
        return None
    if is_empty(main):
        return extension
    content = CONTENT.search(more)
    head, end, tail = main.decode().rpartition("</rdf:RDF")
    if content is None or not end:
        return None
    combined = head + content[1] + end + tail
    return None if tree(combined) is None else combined.encode()


def split(packet: bytes) -> tuple[bytes, bytes, str] | None:
    """A JPEG's packet, the extended XMP that holds all there is, and its digest."""
    if (text := decoded(packet)) is None:
        return None
    extension = PACKET.sub("", text).strip("\ufeff\0 \t\r\n").encode()
    digest = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper()
    return (MAIN % digest).encode(), extension, digest
