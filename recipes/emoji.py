"""Make emoji.gz: 1,636 emoji in three drawing styles, 32 by 32 pixels, with names, keywords and
classes.

Source    npm emoji-datasource-google 16.0.0 (Noto), emoji-datasource-twitter 16.0.0 (Twemoji),
          @lobehub/fluent-emoji-3d 1.1.0 (Fluent), emojibase-data 17.0.0 (names and keywords)
Licence   images Apache-2.0 (Noto), CC BY 4.0 (Twemoji), MIT (Fluent); texts MIT, from Unicode
          CLDR (Unicode licence)
Run       python recipes/emoji.py OUT
Takes     about two minutes; needs npm

Left out are flags, parts of emoji, and skin tones. Which split an emoji is in is decided by a hash
of its concept, its name without man, woman, person and the like: all variants of an idea, in all
styles, are in one split. The file is one line of JSON (kinds, styles, side, and for each picture
its split, class, name, style and keywords), then the bytes.
"""

import hashlib
import json
import re
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from common import compress, download_file
from PIL import Image

from fmcourse.files import write_atomically

PACKAGES = {
    "noto": (
        "emoji-datasource-google@16.0.0",
        "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    ),
    "twemoji": (
        "emoji-datasource-twitter@16.0.0",
        "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
    ),
    "fluent": (
        "@lobehub/fluent-emoji-3d@1.1.0",
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    ),
}
TEXTS = "emojibase-data@17.0.0", "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a"
FOLDERS = {
    "noto": "package/img/google/64/{}.png",
    "twemoji": "package/img/twitter/64/{}.png",
    "fluent": "package/assets/{}.webp",
}
SIDE = 32


def archive(package: tuple[str, str]) -> tarfile.TarFile:
    return tarfile.open(
        fileobj=BytesIO(download_file(["npm", "pack", "--silent", package[0]], "*.tgz", package[1]))
    )


def concept(name: str) -> str:
    """A name without who it is drawn as.

    >>> concept("woman health worker"), concept("man and woman holding hands"), concept("princess")
    ('health worker', 'and holding hands', 'princess')
    """
    bare = re.sub(r"\b(man|woman|person|men|women|people|boy|girl)\b:?", " ", name)
    return " ".join(bare.split()) or name


def split_of(name: str) -> str:
    """Eight of ten concepts are for training, one each for validation and test."""
    lot = int(hashlib.sha256(concept(name).encode()).hexdigest(), 16) % 10
    return {0: "test", 1: "validation"}.get(lot, "train")


def decode_image(raw: bytes) -> np.ndarray:
    """(SIDE, SIDE, 3) bytes on white."""
    image = Image.open(BytesIO(raw)).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def select_emoji(texts: tarfile.TarFile) -> tuple[list[str], list[dict]]:
    """The classes, and every emoji that is taken, in Unicode's order."""
    groups = {
        group["order"]: group["message"]
        for group in json.load(texts.extractfile("package/en/messages.json"))["groups"]
    }
    taken = {order: name for order, name in groups.items() if name not in ("components", "flags")}
    every = json.load(texts.extractfile("package/en/data.json"))
    found = sorted(
        (one for one in every if one.get("group") in taken), key=lambda one: one["order"]
    )
    return list(taken.values()), [one | {"kind": list(taken).index(one["group"])} for one in found]


def read_images(emoji: list[dict]) -> Iterator[tuple[list, np.ndarray]]:
    """What is said of each image, and its pixels; a style that lacks an emoji is left out there."""
    for style, (name, package) in enumerate(PACKAGES.items()):
        with archive(package) as file:
            there = set(file.getnames())
            for one in emoji:
                codes = one["hexcode"].lower()
                paths = [
                    FOLDERS[name].format(code)
                    for code in (codes, codes.replace("-fe0f", ""), codes + "-fe0f")
                ]
                if path := next((path for path in paths if path in there), ""):
                    words = " ".join(word.replace(" ", "_") for word in one.get("tags", []))
                    yield (
                        [split_of(one["label"]), one["kind"], one["label"], style, words],
                        decode_image(file.extractfile(path).read()),
                    )


def main(out: Path) -> None:
    with archive(TEXTS) as texts:
        kinds, emoji = select_emoji(texts)
    found = list(read_images(emoji))
    head = {
        "kinds": kinds,
        "styles": list(PACKAGES),
        "side": SIDE,
        "pictures": [said for said, _ in found],
    }
    content = json.dumps(head).encode() + b"\n" + b"".join(pixels.tobytes() for _, pixels in found)
    write_atomically(out / "emoji.gz", lambda temporary: temporary.write_bytes(compress(content)))
    print(
        f"{out / 'emoji.gz'}: {len(found)} pictures of {len({said[2] for said, _ in found})} emoji"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
