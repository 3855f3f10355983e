"""What latents are good for besides compression: finding what is odd in pictures, and comparing pictures.

`latents` is the only place that touches the codec's internals. `anomaly` and `embedding` build on it.
"""
