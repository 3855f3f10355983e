"""Training, in torch: networks, data, one loop, export. Nothing else in the package imports torch."""
