"""Make clipart.gz: 225 small drawings of three classes, for learning a task from few labels.

Source    Debian openclipart-svg 1:0.18+dfsg-19
Licence   public domain, as each drawing itself states
Run       python recipes/clipart.py OUT
Takes     about a minute; Debian or Ubuntu

Each drawing is an SVG file in the folder of its class. It is taken if its own metadata says "Public
Domain", and drawn on white, SIDE x SIDE, by resvg-py 0.5.0, installed into a temporary folder.
Drawings that look the same, and all but one of a series (cow_01, cow_02), are left out, so that a
test picture is no twin of a training picture. The file is one line of JSON (kinds, side, and for
each image its split, class and name), then the bytes of the images, red, green, blue.
"""

import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from common import compress, pip_install, unpack_debian
from PIL import Image

from fmcourse.files import write_atomically

PACKAGE = (
    "openclipart-svg=1:0.18+dfsg-19",
    "989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
)
DRAWER = "resvg-py==0.5.0"
ROOT = "usr/share/openclipart/svg"
CLASSES = ("animals", "food", "people")
OTHER = "fantasy|clothing|smilies|bodypart|stickmen"  # folders of something else
SIDE = 64
EACH = {"train": 35, "validation": 5, "test": 35}  # images of each class


def series(name: str) -> str:
    """A file's name without its numbers: what a series has in common.

    >>> series("cow_gerald_g_01"), series("Cow-gerald-g_2")
    ('cow gerald g', 'cow gerald g')
    """
    return " ".join(re.findall("[a-z]+", name.lower()))


def stable_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def render(svg: Path, to_png) -> np.ndarray:
    """(SIDE, SIDE, 3) bytes: the drawing in the middle of a white square.

    Raises: ValueError if nothing can be seen.
    """
    png = to_png(svg_string=svg.read_text("utf-8", errors="replace"), width=4 * SIDE)
    image = Image.open(BytesIO(bytes(png))).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (SIDE, SIDE), "white")
    square.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    pixels = np.asarray(square)
    if pixels.std() < 8:
        raise ValueError(f"{svg.name}: nothing to be seen")
    return pixels


def read_images(root: Path, to_png) -> Iterator[tuple[str, str, str, np.ndarray]]:
    """Split, class, name and pixels of each image, classes side by side; which ones is decided by a
    hash of the name.
    """
    seen: set[str] = set()
    for kind in CLASSES:
        splits = [split for split, n in EACH.items() for _ in range(n)]
        for svg in sorted(
            (root / ROOT / kind).rglob("*.svg"), key=lambda path: stable_hash(path.stem)
        ):
            if not splits:
                break
            text = svg.read_text("utf-8", errors="replace")
            if (
                re.search(OTHER, str(svg))
                or series(svg.stem) in seen
                or not re.search(r"public\s?domain", text, re.IGNORECASE)
            ):
                continue
            try:
                pixels = render(svg, to_png)
            except (ValueError, OSError):
                continue
            if (look := hashlib.sha256(pixels.tobytes()).hexdigest()) in seen:
                continue
            seen |= {series(svg.stem), look}
            yield splits.pop(0), kind, svg.stem, pixels
        if splits:
            raise ValueError(f"{kind}: {len(splits)} pictures are missing.")


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, library = unpack_debian(*PACKAGE, Path(folder)), Path(folder) / "library"
        pip_install(DRAWER, library)
        sys.path.insert(0, str(library))
        from resvg_py import svg_to_bytes

        found = list(read_images(root, svg_to_bytes))
    listed = [[split, CLASSES.index(kind), name] for split, kind, name, _ in found]
    head = json.dumps({"kinds": CLASSES, "side": SIDE, "pictures": listed}, ensure_ascii=True)
    content = head.encode() + b"\n" + b"".join(pixels.tobytes() for *_, pixels in found)
    write_atomically(out / "clipart.gz", lambda temporary: temporary.write_bytes(compress(content)))
    print(f"{out / 'clipart.gz'}: {len(found)} pictures")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
