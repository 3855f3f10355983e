"""How files of pictures are named and begin: tells them from other files, without Pillow and numpy."""

from __future__ import annotations

READABLE_SUFFIXES = {
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".jfif", ".jif", ".jpe", ".jpeg", ".jpg"),
    *(".jxl", ".png", ".tif", ".tiff", ".webp"),
}
HEAD = 32  # bytes that suffice
SIGNATURES = (  # those that are read here, and of others which nobody wants to lose: raw and layered ones
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",  # JPEG
    b"GIF87a",
    b"GIF89a",
    b"II*\0",  # TIFF, and with it most raw files
    b"MM\0*",
    b"II+\0",  # BigTIFF
    b"MM\0+",
    b"IIRO",  # raw files of Olympus
    b"IIRS",
    b"IIU\0",  # of Panasonic
    b"FUJIFILMCCD-RAW",
    b"FOVb",  # of Sigma
    b"\xff\x0a",  # JPEG XL
    b"\0\0\0\x0cJXL \r\n\x87\n",
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000
    b"\xff\x4f\xff\x51",
    b"8BPS",  # Photoshop
    b"gimp xcf",
    b"v/1\x01",  # OpenEXR
    b"qoif",
    b"DDS ",
    b"\0\0\1\0",  # icon
)
BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes of its second header, by version
PNM = b"1234567"  # what follows P


def is_picture(head: bytes) -> bool:
    """Whether a file that begins so, with HEAD bytes or all it has, is a picture of a kind that is known.

    Of ISO media files, AVIF and HEIC among them, those of films count too.
    """
    if head.startswith(SIGNATURES) or head[4:8] == b"ftyp":
        return True
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    if is_bmp(head) or is_dib(head):
        return True
    return len(head) > 2 and head[0:1] == b"P" and head[1] in PNM and head[2:3].isspace()


def is_bmp(head: bytes) -> bool:
    """Whether a file that begins so is a BMP."""
    return head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in BMP_HEADERS


def is_dib(head: bytes) -> bool:
    """Whether a file that begins so is a BMP without its first header, as .dib files are."""
    size = int.from_bytes(head[:4], "little")
    planes = head[8:10] if size == BMP_HEADERS[0] else head[12:14]
    return size in BMP_HEADERS and planes == b"\1\0"
