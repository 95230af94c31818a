"""A table of texts and labels, as people and spreadsheets write it (CSV).

    text,label                        separated by , ; tabs or |, in UTF-8, the names of the columns
    "Where is it, please?",delivery in the first line; a text that holds the separator, a line break
                                      or a "" stands between quotation marks

Every row is used, counted as left out, or the reason for an error that names file and line.
"""

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path

SEPARATORS = ",;\t|"
# Excel's own first line, sep=; which names the separator and is no row.
SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n])"?[ \t;,]*(?:\r\n|\r|\n|$)', re.IGNORECASE)
JOINERS = "\u200c\u200d"  # not seen, but seen in what they join: emoji, Persian, Hindi


def read_table(path: Path, text: str, label: str) -> tuple[list[tuple[str, str, int]], list[int]]:
    """The rows of a table.

    Args:
        text, label: the names of the columns.
    Returns: (text, label, line) of each whole row, and the lines of rows that lack one or the
        other; a row's line is the one that it begins in.
    Raises: ValueError naming file, line and what to do: not UTF-8, no such column, a row that does
        not fit, a quotation mark left open.
    """
    rows, separator = read_rows(path, (text, label))
    (_, header), *rows = rows
    columns = [find_column(name, header, path.name) for name in (text, label)]
    if columns[0] == columns[1]:
        raise ValueError(f"text={text!r} and label={label!r} are the same column; name two.")
    if wide := [line for line, row in rows if any(row[len(header) :])]:
        raise ValueError(
            f"{path.name}, {format_lines(wide)}: more columns than the {len(header)} of the first "
            f"line; put a text that holds {separator!r} between quotation marks."
        )
    whole, incomplete = [], []
    for line, row in rows:
        # A row may be shorter than the header: empty cells at its end are sometimes not written.
        words, kind = (row[n].strip() if n < len(row) else "" for n in columns)
        kind = clean_label(kind)
        if fold_text(words) and kind:  # folded: a text of invisible characters alone is empty
            whole.append((words, kind, line))
        else:
            incomplete.append(line)
    return whole, incomplete


def read_rows(path: Path, wanted: Sequence[str]) -> tuple[list[tuple[int, list[str]]], str]:
    """Every row with the line that it begins in, the header first; and the separator.

    The separator is the one that a first line sep=; names, or else the one by which the header
    holds most of the `wanted` columns.

    Raises: ValueError if the table is empty, is not UTF-8 or leaves a quotation mark open.
    """
    content, named = take_separator_line(read_utf8(path))
    before = csv.field_size_limit(
        max(len(content), 1)
    )  # else a quotation mark left open is cut off
    try:
        # Most wanted columns first, then most columns; of equals the first in SEPARATORS.
        separator = named or max(SEPARATORS, key=lambda one: score_separator(content, one, wanted))
        rows = parse_rows(content, separator, path.name)
    finally:
        csv.field_size_limit(before)  # of the whole process, not ours to keep
    if not rows:
        raise ValueError(
            f"{path} is empty; its first line must name the columns, such as text,label, "
            "and each row below it hold one item."
        )
    return rows, separator


def take_separator_line(content: str) -> tuple[str, str | None]:
    """A table whose first line is Excel's sep=; with that line empty, and the separator it names.

    >>> take_separator_line("sep=;\\ntext;label")
    ('\\ntext;label', ';')
    """
    found = SEPARATOR_LINE.match(content)
    # An empty line in its place, so that line numbers are still the file's.
    return ("\n" + content[found.end() :], found[1]) if found else (content, None)


def parse_rows(content: str, separator: str, name: str) -> list[tuple[int, list[str]]]:
    """Rows and the lines that they begin in; empty ones before the first are passed over."""
    # newline: csv itself must see line breaks inside quotation marks. strict: an open one raises.
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    line, found = 1, []
    try:
        for row in reader:
            if found or any(map(str.strip, row)):
                found.append((line, row))
            line = reader.line_num + 1  # line_num counts lines, of which a row may hold several
    except csv.Error as error:
        raise ValueError(
            f"{name}, the row that begins in line {line}: {error}. A text that begins with a "
            "quotation mark must end with one, and those inside are written twice: "
            '"she said ""no"" to it".'
        ) from None
    return found


def score_separator(content: str, separator: str, wanted: Sequence[str]) -> tuple[int, int]:
    """How many of the wanted columns this separator finds in the first line, and of all columns."""
    # Not strict, because it only guesses; `parse_rows` reports what is wrong.
    rows = csv.reader(io.StringIO(content, newline=""), delimiter=separator)
    names = set(map(fold_text, next((row for row in rows if any(row)), [])))
    return len(names & set(map(fold_text, wanted))), len(names)


def find_column(wanted: str, header: Sequence[str], name: str) -> int:
    """Which column is called that; case and spaces count only where two names differ in no more."""
    names = [title.strip() for title in header]
    same = [n for n, title in enumerate(names) if title == wanted]
    same = same or [n for n, title in enumerate(names) if fold_text(title) == fold_text(wanted)]
    if len(same) > 1:
        raise ValueError(
            f"{name} names the column {wanted!r} {len(same)} times in its first line; "
            "rename those that are not meant."
        )
    if not same:
        there = join_first([quote(title, 25) for title in names], 8)
        raise ValueError(
            f"{name} has no column {wanted!r}{suggest(wanted, names)}; its first line names "
            f"{there}. Say which holds the texts and which the labels: text=..., label=..., on the "
            "command line --text, --label."
        )
    return same[0]


# Encodings ----------------------------------------------------------------------------------------


def read_utf8(path: Path) -> str:
    """The text of a file in UTF-8, with or without a byte-order mark.

    Raises: ValueError naming line and byte, and which encoding it may be in.
    """
    data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    if data.startswith(b"PK\x03\x04"):  # a zip archive, as .xlsx and .ods are
        raise ValueError(
            f"{path} is a workbook or an archive, no text; "
            "open it where it was made and save it as CSV in UTF-8."
        )
    try:
        # Zero bytes are valid in UTF-8, but a text holds none: UTF-16 or a damaged file does.
        text, at = data.decode("utf-8"), data.find(0)
    except UnicodeDecodeError as error:
        text, at = "", error.start
    if at < 0:
        return text
    above = data[:at].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    raise ValueError(
        f"{path} is no text in UTF-8: line {len(above)}, byte {len(above[-1]) + 1} is "
        f"0x{data[at]:02X}{guess_encoding(data, at, above[-1])}. Save it as UTF-8 "
        '(in Excel "CSV UTF-8", in an editor "Save with encoding").'
    )


def unify_line_ends(text: str) -> str:
    """A text with \\n for \\r\\n and \\r."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def split_lines(text: str) -> list[str]:
    """The lines of a text, without their ends, which are \\n, \\r\\n or \\r.

    `str.splitlines` also cuts at U+2028, form feeds and more, which a line of a file may hold.

    >>> split_lines("a\\u2028b\\r\\n\\nc\\n")
    ['a\\u2028b', '', 'c']
    """
    lines = unify_line_ends(text).split("\n")
    return lines if lines[-1] else lines[:-1]  # what follows the last line end is no line


def guess_encoding(data: bytes, at: int, before: bytes) -> str:
    """Which encoding the file may be in, and what its line would then say around the byte."""
    byte_order_mark = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    if byte_order_mark or data.count(0) > len(data) / 4:  # in UTF-16, half of a Latin text is zeros
        return "; it looks like UTF-16"
    if data[at] == 0:
        return ", which no text holds: the file may be damaged"
    around = (before[-12:] + data[at : at + 12]).decode("cp1252", "replace").splitlines()[0].strip()
    return "" if "\ufffd" in around else f"; in Windows-1252 it would read {around!r}"


# Words for messages -------------------------------------------------------------------------------


def format_lines(numbers: Sequence[int]) -> str:
    """The numbers of lines in words.

    >>> format_lines([3]), format_lines([3, 5])
    ('line 3', 'lines 3, 5')
    """
    return f"line{'' if len(numbers) == 1 else 's'} {join_first(numbers, 5)}"


def join_first(things: Sequence[object], most: int = 3) -> str:
    """The first few, and how many more.

    >>> join_first("abcdef", 3)
    'a, b, c and 3 more'
    """
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return ", ".join(map(str, things[:most])) + more


def quote(text: str, most: int = 40) -> str:
    """A text on one line, in quotation marks, cut to `most` characters."""
    text = " ".join(text[: 4 * most].split())  # cut first, because a cell may be very long
    return repr(text if len(text) <= most else text[: most - 3] + "...")


def fold_text(text: str) -> str:
    """A text without what does not count in comparing names: case, spaces, forms of a letter, and
    characters that cannot be seen."""
    if not (text.isascii() and text.isprintable()):  # else there is nothing to take out
        text = text.translate(invisible_characters())
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def clean_label(label: str) -> str:
    """A label in NFC, where é is one character, and without characters that cannot be seen.

    >>> clean_label("\\ufeffgood\\u200b ") == "good"
    True
    """
    return unicodedata.normalize("NFC", label.translate(invisible_characters(JOINERS))).strip()


@cache  # goes through all of Unicode
def invisible_characters(kept: str = "") -> dict[int, None]:
    """What `str.translate` deletes: formatting and control characters that are no spaces, and
    variation selectors; all but those in `kept`."""
    codes = [
        code
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in ("Cf", "Cc") and not chr(code).isspace()
    ]
    return {code: None for code in [*codes, *range(0xFE00, 0xFE10)] if chr(code) not in kept}


def suggest(wanted: str, known: Sequence[str]) -> str:
    """The nearest known name, in brackets; nothing where none is near."""
    folded = [fold_text(name) for name in known]
    near = get_close_matches(fold_text(wanted), folded, 1, 0.5)
    return f" (did you mean {known[folded.index(near[0])]!r}?)" if near else ""


def read_column(path: Path, names: Sequence[str]) -> list[str]:
    """The cells of the first of these columns that a table has, stripped; empty ones left out.

    A file whose first line names none of them is a list, one item a line, unless it holds a
    separator. Case does not count.

    Raises: ValueError if it is not UTF-8, or a table without such a column.
    """
    content, named = take_separator_line(read_utf8(path))
    first = next((line for line in split_lines(content) if line.strip()), "")
    separator = named or max(SEPARATORS, key=first.count)
    columns = [name.strip().strip('"').casefold() for name in first.split(separator)]
    column = next((name for name in names if name in columns), None)
    if column is not None:
        rows = [row for _, row in parse_rows_of_any_size(content, separator, path.name)]
        position = columns.index(column)
        cells = [row[position] for row in rows[1:] if len(row) > position]
    elif separator in first:
        wanted = f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
        raise ValueError(f"{path}: its first line names no column {wanted}.")
    else:
        cells = split_lines(content)
    return [cell.strip() for cell in cells if cell.strip()]


def parse_rows_of_any_size(content: str, separator: str, name: str) -> list[tuple[int, list[str]]]:
    """The same as `parse_rows`; the library's own limit on a cell's length is lifted meanwhile."""
    before = csv.field_size_limit(max(len(content), 1))
    try:
        return parse_rows(content, separator, name)
    finally:
        csv.field_size_limit(before)
