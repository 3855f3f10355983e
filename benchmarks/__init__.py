"""Measurements on files that aecodec and the reference codecs write."""
