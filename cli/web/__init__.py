"""The local page of `aecodec serve`: a Starlette application, which keeps nothing between requests."""
