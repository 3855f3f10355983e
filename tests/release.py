"""What a maintainer does to the models at a release: `python -m tests.release VERSION`, or `--retire NAME`.

    VERSION         the models and stages of the package become released ones, which are kept for ever;
                    golden files that are not on tests/golden.sha256 yet are added to it
    --retire NAME   before another model takes the name: what decodes files of the released model moves to a
                    folder NAME-FINGERPRINT beside it, without the encoder; or the network of a stage to a
                    file of such a name

Both print what is left to do by hand. Nothing is done twice, so a release that failed half way goes on.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import aecodec
from aecodec.container import parse
from aecodec.model import registry
from aecodec.model.registry import DECODER_FILES, MANIFEST, decoder_digest
from aecodec.model.released import REGISTRY
from aecodec.restoration import networks
from tests.common import ROOT
from tests.portability import GOLDEN

LIST = ROOT / "tests" / "golden.sha256"  # as `sha256sum` writes it
DECODED = ("enhance", "upscale2", "upscale3", "upscale4")  # the stages that files ask their decoder for

Lists = dict[str, list[dict[str, str]]]  # the registry: entries of models and stages


class NotReady(SystemExit):
    """What keeps a release from being made; the text is the message."""


def candidates(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Digest and name of each model in a folder, and of each network that files may name."""
    models = []
    for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
        files = {name: (manifest.parent / name).read_bytes() for name in DECODER_FILES}
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        models.append((decoder_digest(sums), manifest.parent.name))
    return {"models": models, "stages": [(networks.digest_of(name), name) for name in DECODED]}


def released_after(lists: Lists, shipped: dict[str, list[tuple[str, str]]], version: str) -> Lists:
    """The registry with what is shipped and not on it yet; raises NotReady where fingerprints collide."""
    known = {entry["sha256"]: entry for entries in lists.values() for entry in entries}
    fingerprints = {digest[:8] for digest in known}
    grown = {kind: list(entries) for kind, entries in lists.items()}
    for kind, found in shipped.items():
        for digest, name in found:
            if digest in known:
                continue
            if digest[:8] in fingerprints:
                raise NotReady(f"{name} has the fingerprint {digest[:8]} of another one: export it anew")
            fingerprints.add(digest[:8])
            grown[kind].append({"sha256": digest, "name": name, "release": version})
    return grown


def without_golden_file(digests: list[str]) -> list[str]:
    """The fingerprints, of models and stages, that no golden file names."""
    named = set()
    for path in GOLDEN.glob("*.aec"):
        container = parse(path.read_bytes())
        learned = [container.learned.fingerprint] if container.learned else []
        named |= {one.hex() for one in (*learned, container.stages.enhance, container.stages.upscale)}
    return [digest[:8] for digest in digests if digest[:8] not in named]


def release(version: str) -> None:
    """Freezes what is shipped as that of a release."""
    if version != aecodec.__version__:
        raise NotReady(f"the package is {aecodec.__version__}, not {version}: set __version__ first")
    lists = json.loads(REGISTRY.read_bytes())
    shipped = candidates(registry.DIRECTORY)
    untested = without_golden_file([digest for found in shipped.values() for digest, _ in found])
    if untested:
        raise NotReady(f"no golden file is of {', '.join(untested)}: add some to tests/golden")
    grown = released_after(lists, shipped, version)
    REGISTRY.write_text(json.dumps(grown, indent=2) + "\n")
    lines = LIST.read_text().splitlines(keepends=True)
    listed = {line.split()[1] for line in lines}
    for path in sorted(GOLDEN.iterdir()):
        if path.name not in listed:
            lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    LIST.write_text("".join(lines))
    print("To FROZEN in tests/test_golden_list.py, unless they are there:")
    print(f'    ({len(lines)}, "{hashlib.sha256("".join(lines).encode()).hexdigest()}"),')
    print("To RELEASED in tests/test_released.py, unless they are there:")
    for entries in grown.values():
        for entry in entries:
            if entry["release"] == version:
                print(f'    ("{entry["release"]}", "{entry["name"]}", "{entry["sha256"]}"),')


def retire_model(directory: Path) -> Path:
    """Keep the decoder of a model directory in one of its own; returns that."""
    manifest = json.loads((directory / MANIFEST).read_bytes())
    kept = directory.with_name(f"{directory.name}-{manifest['fingerprint']}")
    kept.mkdir()
    for name in DECODER_FILES:
        (kept / name).write_bytes((directory / name).read_bytes())
    sums = {name: manifest["sha256"][name] for name in DECODER_FILES}
    (kept / MANIFEST).write_text(json.dumps({**manifest, "sha256": sums}, indent=2) + "\n")
    return kept


def retire_stage(name: str, folder: Path) -> Path:
    """Keep the network of a stage under a name of its own; returns its file."""
    manifest = json.loads((folder / networks.MANIFEST).read_bytes())
    earlier = f"{name}-{manifest[name]['sha256'][:8]}"
    kept = folder / f"{earlier}.onnx"
    kept.write_bytes((folder / f"{name}.onnx").read_bytes())
    manifest[earlier] = manifest[name]
    (folder / networks.MANIFEST).write_text(json.dumps(dict(sorted(manifest.items())), indent=2) + "\n")
    return kept


def main() -> None:
    match sys.argv[1:]:
        case ["--retire", name] if name in DECODED:
            print(f"kept as {retire_stage(name, networks.DIRECTORY)}: now put the new network in its place")
        case ["--retire", name]:
            print(f"kept as {retire_model(registry.DIRECTORY / name)}: now put the new model in its place")
        case [version]:
            release(version)
        case _:
            raise NotReady(__doc__)


if __name__ == "__main__":
    main()
