"""The codecs of the benchmark with their exact settings: aecodec, and those of Pillow and its plugins."""

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
from aecodec.model.registry import model_named
from aecodec.parallel import thread_count

QUALITY = "QUALITY"  # stands for the quality in a codec's options
CODE_FOLDERS = ("", "decoder", "encoder", "entropy", "model")  # of the package: code that can change a file
OURS, OURS_PSNR, OURS_ENHANCED = "aecodec", "aecodec tune=psnr", "aecodec tune=psnr, enhanced"
JPEG, JPEG_ENHANCED = "JPEG 4:2:0", "JPEG 4:2:0, enhanced"
# Qualities to measure, from thumbnails to nearly lossless: more make smoother curves, and take longer.
JPEG_QUALITIES = (5, 10, 20, 30, 40, 55, 70, 80, 90, 95)
AVIF_QUALITIES = (5, 20, 35, 50, 60, 70, 80, 90)  # closer above 50, where its sizes grow fastest
EFFORT_QUALITIES = (10, 30, 50, 70)  # 28 to 38 dB; few, since efforts are slow
PLUGIN_QUALITIES = (10, 25, 40, 55, 70, 80, 90, 95)


@dataclass(frozen=True, slots=True)
class ReferenceCodec:
    """One codec with one set of options.

    `format` is Pillow's name of the format, empty for aecodec. `plugin` is the module that adds the format to
    Pillow. `enhanced` means that decoded pictures go through our stage `enhance`. `span` is the range of the
    quality and `step` its finest difference. `note` is a remark for readers of the figures. Reports show
    `displayed_version` if `version`, which is a part of the journal's keys, names no release. A `slow` codec
    is measured, but neither timed nor shown.
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
    displayed_version: str = ""
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
            return aecodec.compress(image, strip="thumbnail", **self.options_at(quality))  # others have none
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
    """Add a format to Pillow in this process; raises ImportError."""
    if module:
        plugin = importlib.import_module(module)
        if hasattr(plugin, "register_heif_opener"):
            plugin.register_heif_opener()


def ours(effort: int | None = None) -> list[ReferenceCodec]:
    """aecodec three times: by default, tuned for PSNR, and so tuned with enhancement.

    With `effort` the first and the last come at that effort too. Versions differ if anything differs that may
    change a file.
    """
    for_eye: dict[str, Any] = {"quality": QUALITY}
    for_psnr = {**for_eye, "tune": "psnr"}
    enhanced = {**for_psnr, "enhance": True}
    qualities, licence = tuple(range(0, 101, 5)), "BSD-3-Clause"
    eye, psnr = our_version("visual"), our_version("psnr")
    both = f"{psnr}, {stages_version()}"
    codecs = [
        ReferenceCodec(OURS, "", eye, qualities, for_eye, licence, step=0.01),
        ReferenceCodec(OURS_PSNR, "", psnr, qualities, for_psnr, licence, step=0.01),
        ReferenceCodec(OURS_ENHANCED, "", both, qualities[::4], enhanced, licence, step=0.01),
    ]
    if effort is not None:
        codecs += [
            ReferenceCodec(
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
    return codecs


def our_version(tune: str) -> str:
    """The version of aecodec, with a digest of its code and of the model."""
    model = model_named(TUNED[tune])
    folders = [Path(aecodec.__file__).parent / name for name in CODE_FOLDERS]
    contents = [path.read_bytes() for folder in folders for path in sorted(folder.glob("*.py"))]
    contents += [model.files[name] for name in sorted(model.files)]
    text = f"aecodec {aecodec.__version__}, model {model.name} {model.fingerprint.hex()}"
    return f"{text}, onnxruntime {version('onnxruntime')}, build {digest(contents)}"


def stages_version() -> str:
    """A digest of the code and the networks of the stages."""
    folder = Path(aecodec.__file__).parent / "restoration"
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".onnx"))
    return f"stages {digest([path.read_bytes() for path in paths])}"


def digest(contents: list[bytes]) -> str:
    """The start of the SHA-256 of all contents."""
    return hashlib.sha256(b"".join(contents)).hexdigest()[:8]


def library(name: str, feature: str) -> str:
    return f"{name} {features.version(feature) or 'of unknown version'}, Pillow {version('pillow')}"


def with_turbo(codec: ReferenceCodec) -> ReferenceCodec:
    """A JPEG codec that displays the release of libjpeg-turbo.

    Its `version` is that of libjpeg's interface.
    """
    release, interface = (features.version(feature) or "" for feature in ("libjpeg_turbo", "jpg"))
    displayed = codec.version.replace(f"libjpeg-turbo {interface}", f"libjpeg-turbo {release}")
    return replace(codec, displayed_version=displayed)


def pillow_codecs() -> tuple[list[ReferenceCodec], dict[str, str]]:
    """The codecs of Pillow, and the reasons for those that this Pillow was built without."""
    jpeg = library("libjpeg-turbo" if features.check("libjpeg_turbo") else "libjpeg", "jpg")
    base = {"quality": QUALITY, "optimize": True}
    progressive = {**base, "subsampling": "4:4:4", "progressive": True}
    licence = "IJG, BSD-3-Clause"
    codecs = [
        ReferenceCodec(
            JPEG, "JPEG", jpeg, JPEG_QUALITIES, {**base, "subsampling": "4:2:0"}, licence, span=(1, 95)
        ),
        ReferenceCodec(
            JPEG_ENHANCED,
            "JPEG",
            f"{jpeg}; {stages_version()}",
            JPEG_QUALITIES[::2],
            {**base, "subsampling": "4:2:0"},
            licence,
            enhanced=True,
            span=(1, 95),
        ),
        ReferenceCodec(
            "JPEG 4:4:4 progressive", "JPEG", jpeg, JPEG_QUALITIES, progressive, licence, span=(1, 95)
        ),
    ]
    codecs, absent = [with_turbo(codec) for codec in codecs], {}
    if features.check("webp"):
        webp, options = library("libwebp", "webp"), {"quality": QUALITY, "method": 6}
        codecs.append(ReferenceCodec("WebP", "WEBP", webp, JPEG_QUALITIES, options, "BSD-3-Clause"))
    else:
        absent["WebP"] = "this Pillow was built without it"
    if features.check("jpg_2000"):
        # mct: the colour transform, without which files are half as large again
        options = {"quality_mode": "dB", "quality_layers": (QUALITY,), "irreversible": True, "mct": 1}
        j2k, decibels = library("OpenJPEG", "jpg_2000"), tuple(range(24, 46, 3))
        codec = ReferenceCodec(
            "JPEG 2000", "JPEG2000", j2k, decibels, options, "BSD-2-Clause", span=(15, 60), step=0.05
        )
        note = "asked for one PSNR of every picture: those that are hard to code weigh most in its mean rate"
        codecs.append(replace(codec, note=note))
    else:
        absent["JPEG 2000"] = "this Pillow was built without it"
    if features.check("avif"):
        codecs += avif_codecs()
    else:
        absent["AVIF"] = "this Pillow was built without it"
    return codecs, absent


def avif_codecs() -> list[ReferenceCodec]:
    """AVIF by libaom. Options name the number of threads, which changes files by a tenth of a percent."""
    text = library("libavif", "avif")
    common = {"quality": QUALITY, "speed": 6, "codec": "aom", "max_threads": thread_count()}
    return [
        ReferenceCodec(
            f"AVIF {chroma}{' tune=psnr' if extra else ''}",
            "AVIF",
            text,
            AVIF_QUALITIES,
            {**common, "subsampling": chroma, **extra},
            "BSD-2-Clause",
        )
        for chroma, extra in (("4:2:0", {}), ("4:4:4", {}), ("4:4:4", {"advanced": {"tune": "psnr"}}))
    ]


def plugin_codecs() -> tuple[list[ReferenceCodec], dict[str, str]]:
    """The codecs of optional packages that are installed, and the reasons why the others are absent."""
    codecs, absent = [], {}
    for name, pillow_name, module, package, plugin_options, licence in (
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
        options: dict[str, Any] = {"quality": QUALITY, **plugin_options}
        codecs.append(ReferenceCodec(name, pillow_name, text, PLUGIN_QUALITIES, options, licence, module))
    return codecs, absent


def all_codecs(effort: int | None = None) -> tuple[list[ReferenceCodec], dict[str, str]]:
    """All codecs that can run here, aecodec first, at an effort too if one is given.

    And reasons for the rest.
    """
    from aecodec.benchmarks.compressai_models import compressai_codecs

    sources = [pillow_codecs(), plugin_codecs(), compressai_codecs()]
    absent = {name: reason for _, reasons in sources for name, reason in reasons.items()}
    return [*ours(effort), *(codec for codecs, _ in sources for codec in codecs)], absent
