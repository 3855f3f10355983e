"""Self-contained HTML pages: pictures with their heat maps, and a map of pictures in two dimensions."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from PIL import Image

from aecodec.plain_reading import read_plainly
from aecodec.uses.anomaly import Finding

SIDE = 240  # pixels of the longer side of pictures on pages
GLOW = 0.65  # share of the heat's colour where it is at its most
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Card:
    """A picture on a page: its name, score, and itself beside its heat map, as data URLs."""

    name: str
    score: float
    picture: str
    heat: str

    @classmethod
    def of(cls, file: Path, name: str, finding: Finding) -> Card:
        """The card of a picture file, under a name that is text; raises ImageError."""
        image = Image.fromarray(read_plainly(file).pixels)
        image.thumbnail((SIDE, SIDE))
        levels = Image.fromarray(finding.levels()).resize(image.size)
        glow = np.asarray(levels, np.float32)[:, :, None] / 255
        red = np.asarray(image, np.float32) * (1 - GLOW * glow) + np.array([255, 40, 0]) * GLOW * glow
        return cls(name, finding.score, data_url(image), data_url(Image.fromarray(red.astype(np.uint8))))


def data_url(image: Image.Image) -> str:
    """An image as a WebP in a data URL."""
    file = io.BytesIO()
    image.save(file, "WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def findings_page(cards: list[Card]) -> str:
    """The page of scored pictures, the worst first."""
    figures = [
        f'<figure class="{"odd" if card.score >= 1 else "good"}">'
        f'<img src="{card.picture}" alt=""><img src="{card.heat}" alt="heat map">'
        f"<figcaption>{card.score:.3f} {escape(card.name)}</figcaption></figure>"
        for card in sorted(cards, key=lambda card: -card.score)
    ]
    odd = sum(card.score >= 1 for card in cards)
    return filled("findings.html", figures="\n".join(figures), odd=odd, count=len(cards))


def map_page(names: list[str], places: Any, thumbnails: Any, groups: list[list[int]]) -> str:
    """The page of a map: places (N, 2) in [0, 1], thumbnails (N, 32, 32, 3); groups are near duplicates."""
    group_of = {item: number for number, group in enumerate(groups) for item in group}
    points = [
        {
            "name": name,
            "x": round(float(place[0]), 4),
            "y": round(float(place[1]), 4),
            "src": data_url(Image.fromarray(thumbnail)),
            "group": group_of.get(item, -1),
        }
        for item, (name, place, thumbnail) in enumerate(zip(names, places, thumbnails, strict=True))
    ]
    safe = json.dumps(points).replace("<", "\\u003c")  # so that no name ends the script
    return filled("map.html", points=safe, count=len(names), groups=len(groups))


def filled(name: str, **values: object) -> str:
    """A template of this package, filled."""
    return Template((TEMPLATES / name).read_text("utf-8")).substitute(values)
