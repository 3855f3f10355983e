"""`python -m cli` is `aecodec`."""

from cli import main

main()
