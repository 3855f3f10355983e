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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

import aecodec
from aecodec.picture.reading import READABLE_SUFFIXES
from aecodec.uses import anomaly, embedding
from aecodec.uses.verification import verified

Pixels = NDArray[np.uint8]
Map = NDArray[np.float32]
TILE = 128
KINDS = ("scratch", "spot", "blur", "swap")
REPEATS = 2  # defects of each kind in each tile
VISIBLE = 12.0  # root of the mean squared change, of 255, that a defect has, unless 30 draws have less
CHANGED = 5  # levels from which on a pixel counts as changed
PATCH, COMPONENTS = 16, 64  # of the baseline by principal components
LATENTS, LEARNED = (
    32,
    600,
)  # of the baseline by an autoencoder, and its steps: as many as the lab's `transposed`
RECONSTRUCTED = 20  # quality of the baseline by reconstruction; 50 is worse


@dataclass(frozen=True, slots=True)
class Texture:
    """Tiles of a texture: to fit on, good ones to test, and bad ones with where they are bad."""

    name: str
    fit: list[Pixels]
    good: list[Pixels]
    bad: list[tuple[str, Pixels, NDArray[np.bool_]]]


def pictures_in(folders: list[Path]) -> list[Path]:
    return sorted(p for folder in folders for p in folder.iterdir() if p.suffix.lower() in READABLE_SUFFIXES)


def textures(folders: list[Path]) -> Iterator[Texture]:
    """The textures of scikit-image and of folders."""
    import skimage.data

    textures_by_name = {name: getattr(skimage.data, name)() for name in ("brick", "grass", "gravel")}
    textures_by_name = {
        name: np.repeat(plane[:, :, None], 3, axis=2) for name, plane in textures_by_name.items()
    }
    for path in pictures_in(folders):
        with Image.open(path) as image:
            textures_by_name[path.stem] = np.asarray(image.convert("RGB"))
    for seed, (name, pixels) in enumerate(textures_by_name.items()):
        others = [other_pixels for other, other_pixels in textures_by_name.items() if other != name]
        yield cut(name, pixels, others, np.random.default_rng(seed))


def cut(name: str, pixels: Pixels, others: list[Pixels], random: np.random.Generator) -> Texture:
    """A texture as a chessboard of tiles."""
    texture = Texture(name, [], [], [])
    for row in range(pixels.shape[0] // TILE):
        for column in range(pixels.shape[1] // TILE):
            tile = pixels[row * TILE :, column * TILE :][:TILE, :TILE]
            if (row + column) % 2 == 0:
                texture.fit.append(tile)
                continue
            texture.good.append(tile)
            for kind in KINDS * REPEATS:
                other = others[random.integers(len(others))]
                texture.bad.append((kind, *visible_defect(tile, kind, other, random)))
    return texture


def visible_defect(
    tile: Pixels, kind: str, other: Pixels, random: np.random.Generator
) -> tuple[Pixels, NDArray[np.bool_]]:
    """A tile with a defect that can be seen, and where it changed the tile."""
    best = 0.0
    for _ in range(30):
        blended, inside = defect(tile.astype(np.float32), kind, other, random)
        drawn = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
        change = drawn.astype(np.float32) - tile
        size = float(np.sqrt(np.square(change[inside]).mean()))
        if size > best:
            best, defective, changed = size, drawn, inside & (np.abs(change).max(2) >= CHANGED)
        if size >= VISIBLE:
            break
    return defective, dilated(changed)


def dilated(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where more than a fifth of 5x5 pixels are set: without single ones, without single gaps."""
    padded = np.pad(mask, 2)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, (5, 5)).mean((2, 3)) > 0.2)


def defect(tile: Map, kind: str, other: Pixels, random: np.random.Generator) -> tuple[Map, NDArray[np.bool_]]:
    """A tile (128, 128, 3) with a defect, and where it is."""
    y, x = np.mgrid[:TILE, :TILE].astype(np.float32)
    if kind == "swap":
        side = int(random.integers(28, 44))
        top, left = random.integers(8, TILE - side - 8, 2)
        above, before = (int(random.integers(length - side)) for length in other.shape[:2])
        inside = (y >= top) & (y < top + side) & (x >= left) & (x < left + side)
        swapped = tile.copy()
        swapped[inside] = other[above : above + side, before : before + side].reshape(-1, 3)
        return swapped, inside
    row, column = random.uniform(0.25, 0.75, 2) * TILE
    if kind == "scratch":
        angle, length, width = random.uniform(0, np.pi), random.uniform(40, 80), random.uniform(2, 4)
        along = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
        across = (y - row) * np.cos(angle) - (x - column) * np.sin(angle) + 6 * np.sin(along / 15)
        inside = (np.abs(along) < length / 2) & (np.abs(across) < width / 2 + 0.5)
        opacity, colour = 0.85 * inside, random.choice([15, 240]) * np.ones(3)
        return blend(tile, opacity, colour), inside
    if kind == "spot":
        radius, flat = random.uniform(8, 16), random.uniform(0.6, 1)
        distance = np.square((y - row) / radius) + np.square((x - column) / (radius * flat))
        colour = random.uniform(0, 255) * np.ones(3) if random.random() < 0.5 else random.uniform(0, 255, 3)
        mean = tile.mean((0, 1))
        if np.abs(colour - mean).mean() < 60:
            colour = np.where(mean > 128, mean - 90, mean + 90)
        return blend(tile, 0.9 * np.clip((1.15 - distance) * 3, 0, 1), colour), distance < 1
    distance = (np.square(y - row) + np.square(x - column)) / random.uniform(16, 28) ** 2
    image = Image.fromarray(tile.astype(np.uint8)).filter(ImageFilter.GaussianBlur(3))
    return blend(tile, np.clip((1.2 - distance) * 4, 0, 1), np.asarray(image, np.float32)), distance < 1


def blend(tile: Map, opacity: NDArray[np.float64], colour: NDArray[np.float64]) -> Map:
    share = opacity[:, :, None]
    return np.asarray(tile * (1 - share) + share * colour, np.float32)


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
    found = np.full_like(cosine, -1.0)
    for first, second, similarity in verified(embedding.similar_pairs(vectors, crops), thumbnails):
        found[first, second] = found[second, first] = similarity
    report("aecodec", found, np.array(owners), names, embedding.SIMILAR)
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
