"""What goes on beside compression: finding what is odd in pictures, and comparing pictures.

`latents` is the only place that touches the codec's internals; `embedding` builds on it. `anomaly` needs no
network.
"""
