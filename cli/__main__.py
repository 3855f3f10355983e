"""`python -m aecodec.cli` is `aecodec`."""

from aecodec.cli import main

main()
