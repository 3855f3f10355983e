"""What Pillow raises on odd files and images."""

from __future__ import annotations

import struct

MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
