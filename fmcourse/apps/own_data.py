"""A dataset of your own: a table of texts, or folders of images, read, checked and split.

    mine.csv                           a text and a label in each row, or a folder with
                                       train.csv and test.csv
    pets/cat/1.jpg  pets/dog/7.PNG     a folder for each label, or such folders inside
                                       pets/train and pets/test

What can be repaired is repaired, and a note says so; what cannot is an error that says where it is
and what to do. No torch is needed here. `fmcourse.apps.classifier` trains on what was read.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fmcourse.data.tables import (
    clean_label,
    fold_text,
    format_lines,
    join_first,
    quote,
    read_table,
    suggest,
)
from fmcourse.packages import is_installed, package_file
from fmcourse.tokenizers import WordPieceTokenizer

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["text", "images"]
MAX_TOKENS = 128  # the network reads so many tokens of a text, from its beginning
IMAGE_SIZE = 96  # pixels; an image is resized to a square of this side, whatever its shape
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
TEXT_MODEL = "minilm-l6"  # the network that reads texts
EMPTY_CELLS = {"nan", "null", "nat", "<na>", "#n/a", "#null!"}  # as programs write an empty cell
MAYBE_EMPTY = {"na", "n/a", "none", "nil", "-", "?"}  # may be labels, and may be empty cells
FEW_ITEMS = 10  # the scores of a label with fewer items say little


class Item(NamedTuple):
    """A text, or an image as bytes (IMAGE_SIZE, IMAGE_SIZE, 3); its label; where it was found."""

    content: Any
    label: str
    source: str


@dataclass(frozen=True)
class OwnData:
    """A dataset that passed every check; printed, it says what was found and what was done."""

    kind: Kind
    labels: tuple[str, ...]
    train: tuple[Item, ...] = field(repr=False)
    test: tuple[Item, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = count_labels(self.train + self.test)
        things = pluralize(counts.total(), "text" if self.kind == "text" else "image")
        each = join_first([f"{label} {counts[label]}" for label in self.labels], 8)
        summary = (
            f"{things} with {len(self.labels)} labels ({each}): "
            f"{len(self.train)} for training, {len(self.test)} held out."
        )
        return "\n- ".join([summary, *self.notes])


def read_dataset(
    path: str | Path, text: str = "text", label: str = "label", held_out: float = 0.2, seed: int = 0
) -> OwnData:
    """Read, check and split a CSV or TSV file, a folder of images, or a folder with train and test.

    Items that are equal to the network (texts up to case and spaces, images at its size) count as
    one: kept once, never in both train and test, and left out if they have two labels. The split is
    random, stratified by label, and depends on the content alone: neither the order of the rows nor
    the names of files change it.

    Args:
        text, label: names of the table's columns.
        held_out: fraction of each label's items that is kept for the test, at least one item; not
            used where the data are split already.
        seed: another seed, another split.
    Raises: ValueError saying what was found, what is needed and what to do.
    """
    path, notes = Path(path), []
    if not 0 < held_out < 1:
        raise ValueError(
            f"held_out={held_out}; give the fraction that is kept for the test, above 0 and "
            "below 1, such as 0.2."
        )
    if not path.exists():
        near = suggest(path.name, [entry.name for entry in list_visible(path.parent)])
        raise ValueError(f"there is no {path}{near}; give a CSV file or a folder of images.")
    parts = find_splits(path, notes)
    kind = "text" if parts[0].is_file() else "images"
    pools = []
    for part in parts:
        if kind == "text":
            items = read_text_table(part, text, label, notes)
        else:
            items = read_image_folders(part, notes)
        pools.append(shuffle(deduplicate(items, part.name, notes), seed))
    if len(pools) == 1:
        train, test = split_by_label(pools[0], held_out)
    else:
        train, test = remove_overlap(*pools, notes)
    notes += find_weaknesses(train + test, kind)
    labels = tuple(sorted(count_labels(train)))
    return OwnData(kind, labels, tuple(train), tuple(test), tuple(notes))


# -- counting and naming --------------------------------------------------------------------------


def pluralize(n: int, thing: str) -> str:
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def count_labels(items: Iterable[Item]) -> Counter:
    return Counter(item.label for item in items)


def list_visible(folder: Path) -> list[Path]:
    """What a folder holds, without hidden files and what macOS adds to archives."""
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(entry for entry in entries if entry.name[0] != "." and entry.name != "__MACOSX")


# -- training and test set ------------------------------------------------------------------------


def find_splits(path: Path, notes: list[str]) -> list[Path]:
    """The file or folder itself, or its two parts if it holds train and test.

    Raises: ValueError if it holds only one of the two.
    """
    for suffix in (".csv", ".tsv", ""):
        pair = [path / f"train{suffix}", path / f"test{suffix}"]
        found = [part for part in pair if is_split(part, suffix)]
        if len(found) == 1:
            raise ValueError(
                f"{path} holds {found[0].name} without its other half; put train{suffix} and "
                f"test{suffix} there, or give {found[0]} alone."
            )
        if found:
            unused = [entry.name for entry in list_visible(path) if entry not in pair]
            if unused:
                notes.append(f"not used, beside train and test: {join_first(unused)}")
            return pair
    return [path]


def is_split(part: Path, suffix: str) -> bool:
    """A file; or, without suffix, a folder of folders. A folder of images may be a label."""
    if suffix:
        return part.is_file()
    return any(entry.is_dir() for entry in list_visible(part))


def deduplicate(items: Sequence[Item], name: str, notes: list[str]) -> dict[str, Item]:
    """Equal items once, by a hash of their content, and those with two labels not at all.

    Nobody can predict both labels of one text.
    Raises: ValueError if nothing is left.
    """
    equal_items: dict[str, list[Item]] = {}
    for item in items:
        equal_items.setdefault(hash_content(item.content), []).append(item)
    kept = {key: same[0] for key, same in equal_items.items() if len(count_labels(same)) == 1}
    if n := sum(len(equal_items[key]) > 1 for key in kept):
        notes.append(f"{name}: {pluralize(n, 'item')} found more than once, kept once")
    contradictions = [same for key, same in equal_items.items() if key not in kept]
    if contradictions:
        named = join_first([name_labels(same) for same in contradictions])
        count = pluralize(len(contradictions), "item")
        notes.append(f"{name}: {count} with two labels, left out: {named}")
    if not kept:
        why = "every item has two labels" if items else "no row has both a text and a label"
        raise ValueError(f"{name} holds nothing to use: {why}.")
    return kept


def hash_content(content: Any) -> str:
    """Equal for texts that `fold_text` makes equal, and for images of equal pixels."""
    is_text = isinstance(content, str)
    return sha256(fold_text(content).encode() if is_text else content.tobytes()).hexdigest()


def name_labels(items: Sequence[Item]) -> str:
    """'food' (line 3) and 'drink' (line 9): where each of the labels was last found."""
    sources = {item.label: item.source for item in items}
    return " and ".join(f"{label!r} ({source})" for label, source in sources.items())


def shuffle(pool: dict[str, Item], seed: int) -> dict[str, Item]:
    """In an order that depends on the seed and on the content alone."""
    order = sorted(pool, key=lambda key: sha256(f"{seed} {key}".encode()).digest())
    return {key: pool[key] for key in order}


def split_by_label(pool: dict[str, Item], held_out: float) -> tuple[list[Item], list[Item]]:
    """Training and test items: the first of each label, in the order of the pool, are for the test.

    Raises: ValueError for fewer than two labels, or a label with a single item.
    """
    counts = count_labels(pool.values())
    require_two_labels(counts)
    if single := sorted(label for label, n in counts.items() if n == 1):
        # A column of names or numbers has nearly as many labels as rows.
        hint = f" {len(single)} of {len(counts)} labels have only 1: is it the right column?"
        raise ValueError(
            f"label {quote(single[0])} has only 1 item; it needs at least 2, one for training and "
            "one for the test: add some, or remove the label."
            f"{hint if len(single) > 2 else ''}"
        )
    left = {label: min(n - 1, max(1, round(held_out * n))) for label, n in counts.items()}
    train, test = [], []
    for item in pool.values():
        if left[item.label] > 0:
            test.append(item)
        else:
            train.append(item)
        left[item.label] -= 1
    return train, test


def remove_overlap(
    train: dict[str, Item], test: dict[str, Item], notes: list[str]
) -> tuple[list[Item], list[Item]]:
    """Data that were split already: what is in both parts is removed from train.

    Raises: ValueError if test then has a label that train lacks, or train fewer than two labels.
    """
    leaked = [item.source for key, item in train.items() if key in test]
    if leaked:
        count = pluralize(len(leaked), "item")
        notes.append(f"{count} in train and in test, removed from train: {join_first(leaked)}")
    train_items = [item for key, item in train.items() if key not in test]
    test_items = list(test.values())
    train_counts, test_counts = count_labels(train_items), count_labels(test_items)
    if unknown := sorted(set(test_counts) - set(train_counts)):
        raise ValueError(
            f"test has the label {quote(unknown[0])}, which train does not have"
            f"{suggest(unknown[0], list(train_counts))}; add examples of it to train, or correct "
            "the label."
        )
    require_two_labels(train_counts)
    if absent := sorted(set(train_counts) - set(test_counts)):
        notes.append(f"labels without an item in test: {join_first(absent)}")
    return train_items, test_items


def require_two_labels(counts: Counter) -> None:
    if len(counts) < 2:
        raise ValueError(
            f"all {pluralize(counts.total(), 'item')} have the label {quote(next(iter(counts)))}, "
            "so there is nothing to classify; give at least two labels."
        )


def find_weaknesses(items: Sequence[Item], kind: Kind) -> list[str]:
    """Notes on what is no error and still weakens a classifier or its scores."""
    notes, counts = [], count_labels(items)
    folded = Counter(map(fold_text, counts))
    if alike := sorted(label for label in counts if folded[fold_text(label)] > 1):
        # In ASCII where characters cannot be seen.
        shown = join_first(
            [one if one.isprintable() and one.isascii() else ascii(one) for one in alike], 4
        )
        notes.append(
            "labels that differ only in case, spaces or characters that cannot be seen, are they "
            f"one? {shown}"
        )
    if maybe := sorted(
        f"{label!r} {n}" for label, n in counts.items() if fold_text(label) in MAYBE_EMPTY
    ):
        notes.append(
            f"labels that may stand for an empty cell, are they meant? {join_first(maybe)}"
        )
    if few := sorted(f"{label} {n}" for label, n in counts.items() if n < FEW_ITEMS):
        notes.append(
            f"labels with fewer than {FEW_ITEMS} items, whose scores will say little: "
            f"{join_first(few)}"
        )
    (most, n), (_, least) = counts.most_common()[0], counts.most_common()[-1]
    if n > 3 * least:
        notes.append(
            f"labels are imbalanced: {n / counts.total():.0%} are {most!r}; "
            "to predict it always is right that often"
        )
    if kind == "text":
        long = sum(len(item.content.split()) > MAX_TOKENS for item in items)
        if long:
            notes.append(
                f"{pluralize(long, 'text')} of more than {MAX_TOKENS} words, of which only the "
                f"beginning is read ({MAX_TOKENS} tokens)"
            )
        notes += find_unknown_texts([item.content for item in items])
    return notes


def find_unknown_texts(texts: Sequence[str]) -> list[str]:
    """A note on texts whose words, most of them, the network's vocabulary lacks, if there are any.

    Emoji, for example: the network reads one [UNK] for all of them.
    """
    # In a word of ASCII letters nothing is unknown, unless it is too long to be one.
    suspects = [
        text for text in texts if not text.isascii() or len(max(text.split(), key=len)) > 100
    ]
    if not suspects or not is_installed(TEXT_MODEL):
        return []
    tokenizer = WordPieceTokenizer.from_vocab_file(package_file(TEXT_MODEL, "vocab.txt"))
    unknown, read = tokenizer.special_tokens["[UNK]"], {}
    for text in suspects:
        ids = tokenizer.encode(text, add_special_tokens=False)[:MAX_TOKENS]
        if 2 * ids.count(unknown) >= len(ids):  # none at all is no better
            read[text] = tuple(ids)
    if not read:
        return []
    n, n_different = len(read), len(set(read.values()))
    alike = f"; to it, they are only {n_different} different ones" if n_different < n else ""
    return [
        f"{pluralize(n, 'text')} made mostly of words that the network does not know and reads as "
        f"[UNK], such as {quote(next(iter(read)))}{alike}"
    ]


# -- files ----------------------------------------------------------------------------------------


def read_text_table(path: Path, text: str, label: str, notes: list[str]) -> list[Item]:
    """The rows of a table that have a text and a label."""
    rows, incomplete = read_table(path, text, label)
    if incomplete:
        notes.append(
            f"{path.name}: {pluralize(len(incomplete), 'row')} without a text or without a label, "
            f"left out: {format_lines(incomplete)}"
        )
    empty = [
        (found[0], line)
        for content, name, line in rows
        if (found := [one for one in (name, content) if fold_text(one) in EMPTY_CELLS])
    ]
    if empty:
        names = join_first(sorted({quote(name) for name, _ in empty}))
        lines = {line for _, line in empty}
        notes.append(
            f"{path.name}: {pluralize(len(lines), 'row')} with {names}, as programs write an empty "
            f"cell, left out: {format_lines(sorted(lines))}"
        )
        rows = [row for row in rows if row[2] not in lines]
    return [Item(content, name, f"{path.name} line {line}") for content, name, line in rows]


def read_image_folders(folder: Path, notes: list[str]) -> list[Item]:
    """The images of a folder; each folder in it is a label.

    Raises: ValueError naming the images that cannot be opened, or if there is none.
    """
    items, broken = [], []
    unused = [entry.name for entry in list_visible(folder) if not entry.is_dir()]
    for label_folder in (entry for entry in list_visible(folder) if entry.is_dir()):
        files, other = find_images(label_folder)
        unused += other
        label = clean_label(label_folder.name)  # macOS writes é as e and accent
        for file in files:
            source = f"{folder.name}/{label_folder.name}/{file.name}"
            try:
                items.append(Item(read_image(file), label, source))
            except ValueError as error:
                broken.append(str(error))
    if broken:
        them = "it" if len(broken) == 1 else "them"
        raise ValueError(f"{join_first(broken)}; replace or delete {them}.")
    if not items:
        found = f", only {join_first(unused)}" if unused else ""
        raise ValueError(
            f"{folder} holds no folders with images{found}; make one folder for each label and put "
            f"its images there ({', '.join(sorted(IMAGE_SUFFIXES))}), or give a CSV file."
        )
    if unused:
        notes.append(f"{folder.name}: not used, because no images: {join_first(unused)}")
    return items


def find_images(folder: Path) -> tuple[list[Path], list[str]]:
    """The image files of a label's folder, and the names of what else is there."""
    entries = list_visible(folder)
    files = [
        entry for entry in entries if entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES
    ]
    if not entries:
        return [], [f"{folder.name} (empty)"]
    return files, [f"{folder.name}/{entry.name}" for entry in entries if entry not in files]


def read_image(given: Any) -> "np.ndarray":
    """An image as bytes (IMAGE_SIZE, IMAGE_SIZE, 3).

    Of several frames the first; upright, as the camera noted it; on white where transparent.

    Args:
        given: a file, or an array (H, W) or (H, W, 3): bytes, floats from 0 to 1, or other whole
            numbers; see `scale_to_bytes`.
    Raises: ValueError naming the file and what is wrong with it.
    """
    import numpy as np
    from PIL import Image

    try:
        coloured = decode_image(given)
    except Exception as error:  # decoders raise what they like; whatever it was, it is no image
        name = given if isinstance(given, str | Path) else type(given).__name__
        why = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{name} cannot be opened as an image ({why})") from None
    white = Image.new("RGBA", coloured.size, "white")
    white.alpha_composite(coloured)
    size = (IMAGE_SIZE, IMAGE_SIZE)
    return np.array(white.convert("RGB").resize(size, Image.Resampling.BILINEAR))


def decode_image(given: Any) -> Any:
    """A PIL image in colours and opacity (RGBA), upright. Raises: whatever a decoder raises."""
    import numpy as np
    from PIL import Image, ImageOps

    if not isinstance(given, str | Path):
        pixels = np.asarray(given)
        if pixels.ndim == 3 and pixels.shape[-1] == 1:  # grey with a dimension for its one channel
            pixels = pixels[..., 0]
        return Image.fromarray(scale_to_bytes(pixels)).convert("RGBA")
    # A file, not its name, by which Pillow maps it into memory: a turned TIFF is garbled that way.
    with open(given, "rb") as file, Image.open(file) as image:
        image.draft("RGB", (2 * IMAGE_SIZE, 2 * IMAGE_SIZE))  # large JPEGs: not decoded in full
        # PNG defines its white, TIFF leaves it open.
        white = 65535 if image.format == "PNG" else None
        image = ImageOps.exif_transpose(image)  # first, since an image made of numbers has no EXIF
        if image.mode.startswith(("I", "F")):  # grey in 16 or 32 bits
            image = Image.fromarray(scale_to_bytes(np.asarray(image), white))
        return image.convert("RGBA")


def scale_to_bytes(pixels: "np.ndarray", white: float | None = None) -> "np.ndarray":
    """Numbers of any type as bytes, from 0, black, to `white`.

    Args:
        white: unless given, the smallest usual one that no number exceeds: of floats 1, 255 or
            65535; of whole numbers 255, 4095 (12 bits), 65535 or the type's largest.
    Raises: ValueError for numbers below 0 or above every white, NaN, or no numbers at all.
    """
    import numpy as np

    if pixels.dtype == bool:
        return pixels * np.uint8(255)
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind not in "iuf" or not pixels.size:
        raise ValueError(f"{pixels.dtype} {pixels.shape} is no image; give numbers (H, W[, 3])")
    whites = [255, 4095, 65535, np.iinfo(pixels.dtype).max] if pixels.dtype.kind in "iu" else []
    low, high = pixels.min(), pixels.max()
    white = white or next((one for one in sorted(whites) or (1, 255, 65535) if high <= one), None)
    if white is None or not low >= 0:  # not <, with which NaN would pass
        raise ValueError(
            f"its values reach from {low:.4g} to {high:.4g}; give bytes, floats from 0 to 1, or "
            "whole numbers from 0"
        )
    return np.rint(pixels.astype(np.float64) * (255 / white)).astype(np.uint8)
