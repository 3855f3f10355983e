"""Fields of a file: a `Reader` takes bytes and varints off its front, and says where the file ends too early.

A varint has seven bits a byte, the lowest first. Bit 7 says that another byte
follows. Only the shortest form is read.
"""

from __future__ import annotations

from typing import IO

from aecodec.errors import LimitError, TruncatedError

MAX_VARINT_BYTES = 5  # so lengths end at 32 GiB: no picture that a machine holds needs more
MAX_FILE = 2**36  # bytes that are read of a file at most: a payload and a box, both of the greatest length
CHUNK = 2**20  # bytes that are read at a time


def write_varint(value: int) -> bytes:
    """`value`, 0 to 2**35 - 1, as a varint; raises LimitError beyond."""
    if not 0 <= value < 1 << 7 * MAX_VARINT_BYTES:
        raise LimitError(f"{value} does not fit the format: lengths end at 2**35 - 1")
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F)
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


class Reader:
    """Takes fields off the front of a file; raises TruncatedError where there is too little."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, count: int, what: str) -> bytes:
        if count > len(self.data) - self.position:
            raise TruncatedError(f"file ends too early, within the {what}: get a complete copy")
        self.position += count
        return self.data[self.position - count : self.position]

    def byte(self, what: str) -> int:
        return self.take(1, what)[0]

    def varint(self, what: str, most: int = MAX_VARINT_BYTES) -> int:
        """A number of at most so many bytes; raises LimitError for others."""
        value = 0
        for place in range(most):
            byte = self.byte(what)
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if byte == 0 and place > 0:
                    raise LimitError(f"{what} is not in its shortest form: the file is damaged")
                return value
        raise LimitError(f"{what} is longer than {most} bytes: the file is damaged")


def rewind(file: IO[bytes]) -> None:
    """Go to the start of an open file, where that can be done."""
    seekable = getattr(file, "seekable", None)  # which mmap has since Python 3.13
    if seekable() if seekable else hasattr(file, "seek"):
        file.seek(0)


class FileReader(Reader):
    """The same of an open file, of which only as much is read as its fields ask for."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(b"")
        self.file = file

    def take(self, count: int, what: str) -> bytes:
        self.read_to(self.position + count)
        return super().take(count, what)

    def read_to(self, end: int) -> None:
        """Read on until there are `end` bytes, MAX_FILE at most, or the file ends."""
        parts, length = [self.data], len(self.data)
        while length < min(end, MAX_FILE) and (part := self.file.read(CHUNK)):
            parts.append(part)
            length += len(part)
        self.data = b"".join(parts)
