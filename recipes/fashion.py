"""Make fashion.gz: 14,000 small grey photographs of clothes, ten classes.

Source    Debian dataset-fashion-mnist 0.0~git20200523.55506a9-1
Licence   MIT, (c) 2017 Zalando SE
Run       python recipes/fashion.py OUT
Takes     about ten seconds; Debian or Ubuntu

Of each class the first images are taken, in the order they come: training and validation from what
was published for training, test from what was published for testing. An image that looks exactly
like one already taken is left out. The file is one line of JSON (kinds, side, channels, and for
each image its split and class), then a byte for each pixel.
"""

import gzip
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import compress, unpack_debian

from fmcourse.files import write_atomically

PACKAGE = (
    "dataset-fashion-mnist=0.0~git20200523.55506a9-1",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
)
FOLDER = "usr/share/datasets/fashion-mnist"
CLASSES = (
    "T-shirt",
    "trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
SIDE = 28
EACH = {"train": 1000, "validation": 200, "test": 200}  # images of each class


def read_part(root: Path, part: str) -> Iterator[tuple[int, bytes]]:
    """Class and pixels of each image of one published part.

    The two files begin with heads of 8 and 16 bytes.
    """
    kinds = gzip.decompress((root / FOLDER / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
    pixels = gzip.decompress((root / FOLDER / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
    cut = np.frombuffer(pixels, np.uint8).reshape(len(kinds), SIDE * SIDE)
    return zip(kinds, (row.tobytes() for row in cut), strict=True)


def read_images(root: Path) -> Iterator[tuple[str, int, bytes]]:
    """Split, class and pixels of each image that is taken."""
    seen: set[bytes] = set()
    for part, splits in {"train": ("train", "validation"), "t10k": ("test",)}.items():
        taken: Counter[int] = Counter()
        ends = np.cumsum([EACH[split] for split in splits])
        for kind, pixels in read_part(root, part):
            if taken[kind] == ends[-1] or pixels in seen:
                continue
            split = splits[int(np.searchsorted(ends, taken[kind], side="right"))]
            taken[kind] += 1
            seen.add(pixels)
            yield split, kind, pixels


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = list(read_images(unpack_debian(*PACKAGE, Path(folder))))
    listed = [[split, kind] for split, kind, _ in found]
    head = json.dumps({"kinds": CLASSES, "side": SIDE, "channels": 1, "pictures": listed})
    content = head.encode() + b"\n" + b"".join(pixels for *_, pixels in found)
    write_atomically(out / "fashion.gz", lambda temporary: temporary.write_bytes(compress(content)))
    print(f"{out / 'fashion.gz'}: {len(found)} pictures")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
