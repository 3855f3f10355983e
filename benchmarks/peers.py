"""The codecs that are compared: ours, and what Pillow and its plugins write, each with its exact settings."""

from __future__ import annotations

import hashlib
import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image, features

import aecodec
from aecodec.encoder.options import TUNED
from aecodec.model.parallel import thread_count
from aecodec.model.registry import model_named

QUALITY = "QUALITY"  # stands for the quality in a peer's options
OURS, OURS_PSNR, OURS_ENHANCED = "aecodec", "aecodec tune=psnr", "aecodec tune=psnr, enhanced"
JPEG, JPEG_ENHANCED = "JPEG 4:2:0", "JPEG 4:2:0, enhanced"
JPEG_QUALITIES = (5, 10, 20, 30, 40, 55, 70, 80, 90, 95)
AVIF_QUALITIES = (5, 20, 35, 50, 60, 70, 80, 90)
EFFORT_QUALITIES = (10, 30, 50, 70)  # 28 to 38 dB
PLUGIN_QUALITIES = (10, 25, 40, 55, 70, 80, 90, 95)


@dataclass(frozen=True, slots=True)
class Peer:
    """One codec with one set of options.

    `format` is Pillow's name of it, empty for ours; `plugin` the module that teaches Pillow the format.
    `enhanced` pictures are decoded and then freed of artefacts by our stage. `span` is the range of its
    quality, `step` the finest difference that it takes. `note` is what a reader of the figures should know,
    `shown_version` what reports show where `version`, which the journal's keys hold, names no release. A
    `slow` codec is measured, and neither timed nor shown.
    """

    name: str
    format: str
    version: str
    qualities: tuple[float, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    plugin: str = ""
    enhanced: bool = False
    span: tuple[float, float] = (0, 100)
    step: float = 1
    note: str = ""
    shown_version: str = ""
    slow: bool = False

    @property
    def settings(self) -> str:
        """The call that writes a file."""
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        if not self.format:
            return f"aecodec.compress(image, {options})".replace(f"'{QUALITY}'", QUALITY)
        if self.enhanced:
            options += "), then aecodec.enhance(decoded"
        return f"image.save(file, {self.format!r}, {options})".replace(f"'{QUALITY}'", QUALITY)

    def options_at(self, quality: float) -> dict[str, Any]:
        """The options with the quality in its place."""
        number = int(quality) if self.step == 1 else quality

        def filled(value: Any) -> Any:
            if value == QUALITY:
                return number
            return [number] if value == (QUALITY,) else value

        return {name: filled(value) for name, value in self.options.items()}

    def nearest(self, quality: float) -> float:
        """The quality nearest to this one that the codec can be asked for."""
        return round(round(quality / self.step) * self.step, 2)

    def encode(self, image: Image.Image, quality: float) -> bytes:
        """The file of an RGB image, all of it."""
        if not self.format:
            return aecodec.compress(image, **self.options_at(quality))
        load_plugin(self.plugin)
        file = io.BytesIO()
        image.save(file, self.format, **self.options_at(quality))
        return file.getvalue()

    def decode(self, data: bytes) -> Image.Image:
        """The image in a file, as RGB."""
        if not self.format:
            return aecodec.decompress(data).convert("RGB")
        load_plugin(self.plugin)
        with Image.open(io.BytesIO(data)) as image:
            decoded = image.convert("RGB")
        return aecodec.enhance(decoded) if self.enhanced else decoded


@cache
def load_plugin(module: str) -> None:
    """Teaches Pillow a format, in this process; raises ImportError."""
    if module:
        plugin = importlib.import_module(module)
        if hasattr(plugin, "register_heif_opener"):
            plugin.register_heif_opener()


def ours(effort: int | None = None) -> list[Peer]:
    """This project's codec: as it is, for PSNR, and that with its stage; the first and last at an effort too.

    Versions tell apart whatever may change a file.
    """
    for_eye: dict[str, Any] = {"quality": QUALITY}
    for_psnr = {**for_eye, "tune": "psnr"}
    enhanced = {**for_psnr, "enhance": True}
    qualities, licence = tuple(range(0, 101, 5)), "BSD-3-Clause"
    eye, psnr = our_version("visual"), our_version("psnr")
    both = f"{psnr}, {stages_version()}"
    found = [
        Peer(OURS, "", eye, qualities, for_eye, licence, step=0.01),
        Peer(OURS_PSNR, "", psnr, qualities, for_psnr, licence, step=0.01),
        Peer(OURS_ENHANCED, "", both, qualities[::4], enhanced, licence, step=0.01),
    ]
    if effort is not None:
        found += [
            Peer(
                f"{name}, effort {effort}",
                "",
                text,
                EFFORT_QUALITIES,
                {**options, "effort": effort},
                licence,
                step=0.01,
                slow=True,
            )
            for name, text, options in ((OURS, eye, for_eye), (OURS_ENHANCED, both, enhanced))
        ]
    return found


def our_version(tune: str) -> str:
    """The version of this project's codec, a digest of its code and of the model included."""
    model = model_named(TUNED[tune])
    contents = [path.read_bytes() for path in sorted(Path(aecodec.__file__).parent.glob("*.py"))]
    contents += [model.files[name] for name in sorted(model.files)]
    text = f"aecodec {aecodec.__version__}, model {model.name} {model.fingerprint.hex()}"
    return f"{text}, onnxruntime {version('onnxruntime')}, build {digest(contents)}"


def stages_version() -> str:
    """A digest of the stages' code and networks."""
    folder = Path(aecodec.__file__).parent / "stages"
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".onnx"))
    return f"stages {digest([path.read_bytes() for path in paths])}"


def digest(contents: list[bytes]) -> str:
    """The start of the SHA-256 of all contents."""
    return hashlib.sha256(b"".join(contents)).hexdigest()[:8]


def library(name: str, feature: str) -> str:
    return f"{name} {features.version(feature) or 'of unknown version'}, Pillow {version('pillow')}"


def with_turbo(peer: Peer) -> Peer:
    """A JPEG peer that shows libjpeg-turbo's release; as `version` it has that of libjpeg's interface."""
    release, interface = (features.version(feature) or "" for feature in ("libjpeg_turbo", "jpg"))
    shown = peer.version.replace(f"libjpeg-turbo {interface}", f"libjpeg-turbo {release}")
    return replace(peer, shown_version=shown)


def of_pillow() -> tuple[list[Peer], dict[str, str]]:
    """The peers that Pillow brings, and those that this Pillow was built without."""
    jpeg = library("libjpeg-turbo" if features.check("libjpeg_turbo") else "libjpeg", "jpg")
    base = {"quality": QUALITY, "optimize": True}
    progressive = {**base, "subsampling": "4:4:4", "progressive": True}
    licence = "IJG, BSD-3-Clause"
    peers = [
        Peer(JPEG, "JPEG", jpeg, JPEG_QUALITIES, {**base, "subsampling": "4:2:0"}, licence, span=(1, 95)),
        Peer(
            JPEG_ENHANCED,
            "JPEG",
            f"{jpeg}; {stages_version()}",
            JPEG_QUALITIES[::2],
            {**base, "subsampling": "4:2:0"},
            licence,
            enhanced=True,
            span=(1, 95),
        ),
        Peer("JPEG 4:4:4 progressive", "JPEG", jpeg, JPEG_QUALITIES, progressive, licence, span=(1, 95)),
    ]
    peers, absent = [with_turbo(peer) for peer in peers], {}
    if features.check("webp"):
        webp, options = library("libwebp", "webp"), {"quality": QUALITY, "method": 6}
        peers.append(Peer("WebP", "WEBP", webp, JPEG_QUALITIES, options, "BSD-3-Clause"))
    else:
        absent["WebP"] = "this Pillow was built without it"
    if features.check("jpg_2000"):
        # mct: the colour transform, without which files are half as large again
        options = {"quality_mode": "dB", "quality_layers": (QUALITY,), "irreversible": True, "mct": 1}
        j2k, decibels = library("OpenJPEG", "jpg_2000"), tuple(range(24, 46, 3))
        peer = Peer("JPEG 2000", "JPEG2000", j2k, decibels, options, "BSD-2-Clause", span=(15, 60), step=0.05)
        note = "asked for one PSNR of every picture: those that are hard to code weigh most in its mean rate"
        peers.append(replace(peer, note=note))
    else:
        absent["JPEG 2000"] = "this Pillow was built without it"
    if features.check("avif"):
        peers += avif_peers()
    else:
        absent["AVIF"] = "this Pillow was built without it"
    return peers, absent


def avif_peers() -> list[Peer]:
    """AVIF by libaom; the number of threads, which changes files by a tenth of a percent, is named."""
    text = library("libavif", "avif")
    common = {"quality": QUALITY, "speed": 6, "codec": "aom", "max_threads": thread_count()}
    return [
        Peer(
            f"AVIF {chroma}{' tune=psnr' if extra else ''}",
            "AVIF",
            text,
            AVIF_QUALITIES,
            {**common, "subsampling": chroma, **extra},
            "BSD-2-Clause",
        )
        for chroma, extra in (("4:2:0", {}), ("4:4:4", {}), ("4:4:4", {"advanced": {"tune": "psnr"}}))
    ]


def of_plugins() -> tuple[list[Peer], dict[str, str]]:
    """The peers of optional packages that are installed, and why the others are absent."""
    peers, absent = [], {}
    for name, pillow_name, module, package, own, licence in (
        ("JPEG XL", "JXL", "pillow_jxl", "pillow-jxl-plugin", {"effort": 7}, "BSD-3-Clause"),
        ("HEIC", "HEIF", "pillow_heif", "pillow-heif", {"chroma": 420}, "LGPL-3.0, encoder x265 GPL-2.0"),
    ):
        try:
            load_plugin(module)
        except ImportError as error:
            absent[name] = f"{error}: pip install {package}"
            continue
        text = f"{package} {version(package)}"
        if name == "HEIC":
            text += f", libheif {importlib.import_module(module).libheif_version()}"
        options: dict[str, Any] = {"quality": QUALITY, **own}
        peers.append(Peer(name, pillow_name, text, PLUGIN_QUALITIES, options, licence, module))
    return peers, absent


def all_peers(effort: int | None = None) -> tuple[list[Peer], dict[str, str]]:
    """Ours first, at an effort too if one is given, then what can run here; a reason for each that cannot."""
    from aecodec.benchmarks.zoo import of_zoo

    kinds = [of_pillow(), of_plugins(), of_zoo()]
    absent = {name: reason for _, reasons in kinds for name, reason in reasons.items()}
    return [*ours(effort), *(peer for peers, _ in kinds for peer in peers)], absent
