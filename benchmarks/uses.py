"""Measures what goes on beside compression: `python -m aecodec.benchmarks.uses anomaly|embed FOLDER...`

anomaly: the textures of scikit-image and the pictures of the folders are cut into tiles of 128 pixels. The
detector is fitted on every other tile. Defects are drawn into the others: scratches, spots, blurs and pieces
of other textures. The detector is compared with the squared errors of principal components of patches, of a
convolutional autoencoder of the lab (where its extra is installed), and of the reconstruction of the codec.

embed: each picture of the folders is compared in 13 versions, by vectors, and by imagehash's phash if that is
installed.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

import aecodec
from aecodec.benchmarks.textures import KINDS, TILE, Map, Pixels, Texture, pictures_in, textures
from aecodec.uses import anomaly, embedding
from aecodec.uses.verification import verified

PATCH, COMPONENTS = 16, 64  # of the baseline by principal components
LATENTS, LEARNED = (
    32,
    600,
)  # of the baseline by an autoencoder, and its steps: as many as the lab's `transposed`
RECONSTRUCTED = 20  # quality of the baseline by reconstruction; 50 is worse


def patches(tile: Map, step: int) -> Map:
    """Patches (n, PATCH, PATCH, C) of a tile (TILE, TILE, C), one every `step` pixels."""
    windows = np.lib.stride_tricks.sliding_window_view(tile, (PATCH, PATCH, tile.shape[2]))
    chosen: Map = windows[::step, ::step, 0].reshape(-1, PATCH, PATCH, tile.shape[2])
    return chosen


def enlarged(errors: Map) -> Map:
    """A map (TILE, TILE) of the errors of patches at every 8 pixels."""
    side = (TILE - PATCH) // 8 + 1
    image = Image.fromarray(errors.reshape(side, side))
    resized = image.resize((TILE - PATCH,) * 2, Image.Resampling.BILINEAR)
    return np.pad(np.asarray(resized), PATCH // 2, mode="edge")


def by_components(texture: Texture) -> Callable[[Pixels], Map]:
    """Squared errors of patches, at every 8 pixels, when the strongest components of good ones code them."""

    def rows(tile: Pixels, step: int) -> Map:
        return patches(tile.astype(np.float32), step).reshape(-1, PATCH * PATCH * 3)

    good = np.concatenate([rows(tile, 4) for tile in texture.fit])[::3]
    mean = good.mean(0)
    _, _, axes = np.linalg.svd((good - mean)[:: max(1, len(good) // 1500)], full_matrices=False)

    def errors(tile: Pixels) -> Map:
        rest = rows(tile, 8) - mean
        rest -= rest @ axes[:COMPONENTS].T @ axes[:COMPONENTS]
        return enlarged(np.square(rest).mean(1))

    return errors


def by_autoencoder(texture: Texture) -> Callable[[Pixels], Map]:
    """Squared errors of patches of luma that a convolutional autoencoder learned from good ones."""
    from aecodec.lab.catalogue import Entry
    from aecodec.lab.convolutional import Transposed
    from aecodec.lab.training import decode, encode, fit

    def luma(tile: Pixels, step: int) -> Map:
        gray = np.asarray(Image.fromarray(tile).convert("L"), np.float32) / np.float32(255)
        return patches(gray[..., None], step)[..., 0]

    good = np.concatenate([luma(tile, 4) for tile in texture.fit])
    entry = Entry("transposed", "", lambda shape: Transposed(shape, LATENTS), LEARNED)
    with tempfile.TemporaryDirectory() as folder:
        network = fit(entry, good, good[:1], Path(folder))

    def errors(tile: Pixels) -> Map:
        seen = luma(tile, 8)
        return enlarged(np.square(seen - decode(network, encode(network, seen))).mean((1, 2)))

    return errors


def by_reconstruction(tile: Pixels) -> Map:
    """Squared errors of the codec, blurred."""
    decoded = np.asarray(aecodec.decompress(aecodec.compress(tile, RECONSTRUCTED)).convert("RGB"))
    errors = np.square(decoded.astype(np.float32) - tile).mean(2)
    padded = np.pad(errors, 8, mode="edge")
    sums = np.lib.stride_tricks.sliding_window_view(padded, (17, 17)).mean((2, 3))
    return np.asarray(sums, np.float32)


def figures(texture: Texture, heat: Callable[[Pixels], Map]) -> dict[str, float]:
    """AUROC per picture, by its largest value, per pixel, and per picture of each kind of defect."""
    good = [heat(tile) for tile in texture.good]
    bad = [heat(tile) for _, tile, _ in texture.bad]
    inside = np.concatenate([np.zeros(TILE**2 * len(good), bool), *(m.reshape(-1) for *_, m in texture.bad)])
    every = np.concatenate([heat_map.reshape(-1) for heat_map in (*good, *bad)])
    lows, highs = (np.array([heat_map.max() for heat_map in maps], np.float64) for maps in (good, bad))
    kinds = np.array([kind for kind, *_ in texture.bad])
    return {
        "picture": anomaly.auroc(lows, highs),
        "pixel": anomaly.auroc(every[~inside], every[inside]),
        **{kind: anomaly.auroc(lows, highs[kinds == kind]) for kind in KINDS},
    }


def measure_anomaly(folders: list[Path]) -> None:
    """Print a table of AUROC, and what the threshold does."""
    rows: dict[str, list[dict[str, float]]] = {}
    for texture in textures(folders):
        detector = anomaly.fit(texture.fit)
        ways: dict[str, Callable[[Pixels], Map]] = {
            "aecodec": lambda tile, fitted=detector: fitted.score(tile).heat,  # type: ignore[misc]
            "components": by_components(texture),
            "reconstruction": by_reconstruction,
        }
        if find_spec("torch"):
            ways["autoencoder"] = by_autoencoder(texture)
        good_scores = np.array([detector.score(tile).score for tile in texture.good])
        bad_scores = np.array([detector.score(tile).score for _, tile, _ in texture.bad])
        for name, way in ways.items():
            row = figures(texture, way)
            if name == "aecodec":
                row["false positives"] = float((good_scores >= 1).mean())
                row["found"] = float((bad_scores >= 1).mean())
            rows.setdefault(name, []).append(row)
            print(texture.name, len(texture.fit), name, formatted(row), flush=True)
    for name, measured in rows.items():
        means = {key: float(np.mean([row[key] for row in measured])) for key in measured[0]}
        print("mean", name, formatted(means))


def formatted(row: dict[str, float]) -> str:
    return " ".join(f"{key} {value:.3f}" for key, value in row.items())


def recoded(image: Image.Image, format: str, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, format, quality=quality)
    return Image.open(file).convert("RGB")


def versions(image: Image.Image) -> dict[str, Image.Image | bytes]:
    """A picture in 13 versions, the last an .aec file."""
    width, height = image.size
    brightness = ImageEnhance.Brightness(image)
    return {
        "original": image,
        "JPEG 30": recoded(image, "JPEG", 30),
        "JPEG 10": recoded(image, "JPEG", 10),
        "WebP 30": recoded(image, "WEBP", 30),
        "half size": image.resize((width // 2, height // 2), Image.Resampling.LANCZOS),
        "0.7 of the size": image.resize((width * 7 // 10, height * 7 // 10), Image.Resampling.BICUBIC),
        "middle 90 %": image.crop((width // 20, height // 20, width * 19 // 20, height * 19 // 20)),
        "corner 90 %": image.crop((0, 0, width * 9 // 10, height * 9 // 10)),
        "brighter": brightness.enhance(1.3),
        "darker": brightness.enhance(0.7),
        "blurred": image.filter(ImageFilter.GaussianBlur(2)),
        "gray": image.convert("L").convert("RGB"),
        ".aec at 20": aecodec.compress(image, 20),
    }


def measure_embedding(folders: list[Path]) -> None:
    """Print recalls of duplicates, at the product's threshold and at the best one without a false pair."""
    owners, names, embeddings, hashes, seconds, megapixels = [], [], [], [], 0.0, 0.0
    for owner, path in enumerate(pictures_in(folders)):
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        for name, version in versions(image).items():
            owners.append(owner)
            names.append(name)
            began = time.process_time()
            embeddings.append(embedded(version))
            if name == "original":
                seconds += time.process_time() - began
                megapixels += image.width * image.height / 1e6
            hashes.append(perceptual_hash(version))
    print(f"{len(embeddings)} files of {owners[-1] + 1} pictures; {seconds / megapixels:.2f} s a megapixel")
    vectors = np.stack([version.vector for version in embeddings])
    crops = np.stack([version.crops for version in embeddings])
    cosine = np.full((len(embeddings),) * 2, -1.0)
    for first, second, similarity in embedding.similar_pairs(vectors, crops, -1.0):
        cosine[first, second] = cosine[second, first] = similarity
    report("layouts alone", cosine, np.array(owners), names, embedding.SIMILAR)
    thumbnails = np.stack([version.thumbnail for version in embeddings])
    verified_cosine = np.full_like(cosine, -1.0)
    for first, second, similarity in verified(embedding.similar_pairs(vectors, crops), thumbnails):
        verified_cosine[first, second] = verified_cosine[second, first] = similarity
    report("aecodec", verified_cosine, np.array(owners), names, embedding.SIMILAR)
    bits = np.array([phash for phash in hashes if phash is not None])
    if len(bits):
        report("phash", -(bits[:, None] != bits[None]).sum(2).astype(float), np.array(owners), names, -10)


def embedded(version: Image.Image | bytes) -> embedding.Embedding:
    """The embedding of a version of a picture."""
    if isinstance(version, bytes):
        return embedding.embed_compressed(version)
    return embedding.embed(version)


def perceptual_hash(version: Image.Image | bytes) -> NDArray[np.bool_] | None:
    """The 64 bits of imagehash's phash; None where it is not installed."""
    try:
        import imagehash
    except ImportError:
        return None
    image = aecodec.decompress(version) if isinstance(version, bytes) else version
    return np.asarray(imagehash.phash(image.convert("RGB")).hash).reshape(-1)


def report(
    name: str, alike: NDArray[np.float64], owners: NDArray[np.intp], names: list[str], threshold: float
) -> None:
    """Print recalls among all pairs of versions of a picture, and of each version with its original."""
    rows, columns = np.triu_indices(len(owners), 1)
    values, same = alike[rows, columns], owners[rows] == owners[columns]
    highest = values[~same].max()
    print(
        f"{name}: recall with no false pair {(values[same] > highest).mean():.4f}; at {threshold:g} "
        f"{(values[same] >= threshold).mean():.4f}, false pairs {int((values[~same] >= threshold).sum())}; "
        f"least of the same {values[same].min():.3f}, most of others {highest:.3f}"
    )
    originals = np.array([version_name == "original" for version_name in names])
    for version in dict.fromkeys(names):
        this = np.array([version_name == version for version_name in names])
        pairs = same & ((originals[rows] & this[columns]) | (this[rows] & originals[columns]))
        if pairs.any():
            print(f"  {version}: {(values[pairs] > highest).mean():.3f}")


def main() -> None:
    """Run the measurement that the command line names."""
    measures = {"anomaly": measure_anomaly, "embed": measure_embedding}
    if len(sys.argv) < 2 or sys.argv[1] not in measures:
        sys.exit("usage: python -m aecodec.benchmarks.uses anomaly|embed FOLDER...")
    measures[sys.argv[1]]([Path(name) for name in sys.argv[2:]])


if __name__ == "__main__":
    main()
