"""The constants of SSIMULACRA 2.1, which training and benchmarks share.

Weights below 0.05 are left out: together they move a score by less than 0.01.

Source: Sneyers 2023, SSIMULACRA 2.1 (cloudinary/ssimulacra2, `src/ssimulacra2.cc`).
"""

from __future__ import annotations

Terms = tuple[tuple[int, str, int, float], ...]

OPSIN = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
OPSIN_BIAS = 0.0037930732552754493
# The impulse response of libjxl's recursive Gaussian of deviation 1.5 (Charalampidis 2016).
SIDE_OF_WINDOW = (0.009414367809653733, 0.03601111465836439, 0.10933537277746035, 0.21292859201042227)
WINDOW = (*SIDE_OF_WINDOW, 0.2646211054881986, *reversed(SIDE_OF_WINDOW))
CONTRAST = 0.0009  # the constant C2 of SSIM
SMALLEST_SIDE = 8  # pixels: a scale is measured where the one before it has sides of as many
# The weights of each scale, from full resolution down by halves: (channel, map, norm 1 or 4, weight).
# Maps are ssim (structure lost), ring (edges added) and lost (edges gone).
X, Y, B = range(3)
WEIGHTS: tuple[Terms, ...] = (
    ((Y, "ssim", 4, 7.466890328078848), (Y, "lost", 4, 17.445833984131262)),
    (
        (X, "ssim", 4, 1.1041726426657346),
        (Y, "ssim", 4, 6.683678146179332),
        (Y, "lost", 4, 1.027889937768264),
    ),
    (
        (X, "ssim", 4, 1.8422455520539298),
        (X, "ring", 4, 11.441172603757666),
        (Y, "ssim", 1, 225.20515300849274),
        (Y, "ssim", 4, 19.213238186143016),
    ),
    (
        (X, "ssim", 4, 1.8787594979546387),
        (X, "ring", 4, 10.94906990605142),
        (Y, "ssim", 1, 176.39317598450694),
        (Y, "ssim", 4, 24.43300999870476),
        (Y, "ring", 4, 0.28520802612117757),
        (B, "ssim", 4, 8.826982764996862),
        (B, "ring", 4, 23.19243343998926),
    ),
    (
        (X, "ring", 1, 0.9677937080626833),
        (X, "ring", 4, 0.9981766977854967),
        (Y, "ssim", 4, 34.77906344483772),
        (Y, "ring", 4, 44.835625328877896),
        (B, "ssim", 1, 95.1080498811086),
        (B, "ring", 1, 0.9863978034400682),
        (B, "ring", 4, 171.2667255897307),
        (B, "lost", 1, 0.9834382792465353),
        (B, "lost", 4, 0.9807858872435379),
    ),
)
SCALE = 0.9562382616834844  # of the sum, then the polynomial and the power that make a score of it
POLYNOMIAL = (2.326765642916932, -0.020884521182843837, 6.248496625763138e-05)
POWER = 0.6276336467831387
