"""Measurements on files written by the product, and by what it is compared with."""
