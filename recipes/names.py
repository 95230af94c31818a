"""Make names.jsonl.gz: sentences with the names of persons, places and peoples marked, by rule and
not by hand.

Source    Debian sword-text-web 426.0-1 (text), sword-dict-strongs-hebrew 3.0-1 and -greek 3.0-3
          (dictionaries of 1890)
Licence   public domain
Run       python recipes/names.py OUT
Takes     about two minutes; Debian or Ubuntu

The text numbers most words after the dictionaries of James Strong, which say "a place in Palestine"
or "the name of five Israelites". A word with a capital is a name if its number's entry speaks of it
(one of the entry's own words begins alike), and the entry's own words say of what type. That gives
silver labels, not gold:

  1. a word that ends as the names of peoples do (Hittites, Egyptian), or is one of PEOPLES, is a
     GROUP;
  2. a word in BY_HAND has the type that is given there;
  3. an entry that speaks of one type only decides; a word without such an entry takes the type that
     it has nearly everywhere else;
  4. an entry that speaks of several (Judah: a man, his tribe, its land) leaves it to the words
     before: CUES; without a cue a name in PEOPLES_TOO is a GROUP (in OF_MEN a PERSON), one in
     LANDS_TOO a PLACE, any man of Genesis a PERSON;
  5. words of one type side by side are one name (Simon Peter); "Mount", "Beth" and the like belong
     to the place behind them.

A sentence with a capital inside that is still unexplained is left out. God's names and titles are
no names here. Of sentences without any name, one in NAMELESS is kept. Whole books are validation or
test, without the sentences that share a run of RUN words with training: elsewhere other names
occur, so that a list of names memorized does not do.
"""

import hashlib
import re
import struct
import sys
import tempfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from bible import MODULE, PACKAGE, READER, plain_text
from common import Record, pip_install, unpack_debian, write_records

DICTIONARIES = {
    "H": (
        "sword-dict-strongs-hebrew=3.0-1",
        "614e272f6a4153a48cc9893f67d342564de98be23d824e7f8bc7678ca4938cfa",
    ),
    "G": (
        "sword-dict-strongs-greek=3.0-3",
        "760a215591f77082aca38e804dc8b28a8ba1aac5a388dd103bfb333d85f80e97",
    ),
}
FILES = {"H": "strongshebrew", "G": "strongsgreek"}
VALIDATION = {"Judges", "Ezra", "Mark"}
TEST = {"Joshua", "Ruth", "Nehemiah", "Esther", "Acts", "Romans"}
LENGTH = range(5, 41)  # words of a sentence
NAMELESS = 6
RUN = 12

ENTITY_TYPES = {  # how an entry speaks of each
    "GROUP": (
        r"patrial|patronymic\w*|inhabitants?|people|tribes?|aborigin\w+|sect\b"
        r"|sectar\w+|nations?|descendants|posterity"
    ),
    "PLACE": r"places?|regions?|countr\w+|cit(?:y|ies)|towns?|villages?|rivers?|mountains?"
    r"|hills?|valleys?|islands?|province"
    r"|springs?|wilderness|deserts?|lakes?|stream|brook|wells?|pools?|capital|territory|district"
    r"|fords?|peak|spots?|port"
    r"|plains?|Palestine|range|locality|colony|eminence|fortress|pass|ravine|tract|land|empire"
    r"|kingdom|building",
    "PERSON": r"kings?|prophet\w*|priests?|sons?|(?:fore)?father|(?:twin-)?brothers?|wife"
    r"|wives|daughters?|mother|sisters?"
    r"|m[ae]n|wom[ae]n|persons?|patriarchs?|apostles?|Christians?|disciples?|officers?|eunuch"
    r"|emperors?|queens?|leaders?|judge"
    r"|(?:ante|post)diluvian|courtiers?|servants?|general|chief|governor|concubine|midwife"
    r"|companion|conspirator|sheik"
    r"|(?!Palestine)[A-Z]\w+(?:ites?|itess|itesses|itish|ians?|ines?)|Jew|Jewess|Roman|Hebrew"
    r"|ancestors?|lawgiver",
}
GODS = r"\b(deity|deities|idols?|goddess|demon)\b"  # of such an entry nothing is made
PEOPLES = (
    r"Jews?|Jewish|Hebrews?|Greeks?|Philistines?|Romans?|Gentiles|Pharisees?"
    r"|Sadducees?|Samaritans?|Medes?|Nazarene|Cretans"
)
PEOPLES += (
    r"|Rephaim|Anakim|Nephilim|Emim|Cherethites|Barbarian|Nethinim|\w{3,}(?:ites?"
    r"|itess|ians?|eans?)"
)
BY_HAND = {
    "PERSON": "Solomon Pharaoh Jesus Christ Caesar Esther Lot Nebuchadnezzar Iscariot "
    "Magdalene Satan Peter Balaam Abraham Abram"
    " Ahab Elisha Jehoshaphat Laban Jephthah Adam Eve Noah Job Messiah Rehoboam Jeroboam Joseph "
    "Esau Judas Darius Cyrus Artaxerxes Ahasuerus",
    "PLACE": "Egypt Babylon Assyria Persia Macedonia Asia Ethiopia Canaan Chaldea Jordan "
    "Arabah Negev Lebanon Nazareth Galilee"
    " Hebron Bethel Gath Antioch Euphrates Sheol Seir Jabesh Zion Jerusalem Shinar Goshen Sidon "
    "Cyrene Greece Media Mesopotamia",
}
PEOPLES_TOO = (
    "Israel Judah Reuben Simeon Levi Dan Naphtali Gad Asher Issachar Zebulun "
    "Benjamin Ephraim Manasseh Amalek"
)
PEOPLES_TOO += " Midian Kedar Heth"
# Books where a name of PEOPLES_TOO without a cue is a man's.
OF_MEN = {"Genesis", "II Kings", "Matthew", "Luke"}
LANDS_TOO = "Edom Moab Ammon Gilead Syria Aram Cush Elam Sheba Tarshish Teman Dedan Ophir Jezreel"
# They begin names of places.
TWO_WORDS = "Beth Kiriath En Ezion Kadesh Beer Hazar Kir Ramoth Abel Baal Jabesh Perez"
LANDS = (
    r"land|kings?|queen|king’s|city|cities|country|borders?|mountains?|hill|wilderness"
    r"|plains?|fields?|valley|forest|towns?"
)
LANDS += (
    r"|villages|heights|waters?|river|way|inhabitants|coast|gates?|kingdom|vineyards"
    r"|governor|high|districts?"
)
CUES = (  # what stands before a name that could be of several types
    (
        "GROUP",
        (
            r"(?:children|tribes?|house|men|man|people|families|army|armies|elders|princes|sons"
            r"|congregation|God|all|against) (?:of )?"
        ),
    ),
    (
        "PLACE",
        rf"(?:{LANDS}) (?:\w+ )?of (?:the )?|(?:in|into|from|through|toward|at|throughout"
        rf"|near|beyond|by way of) "
        r"|(?:went|go|came|come|return|returned|brought|fled|sent|up|down|over|back) to ",
    ),
    (
        "PERSON",
        (
            r"(?:son|father|mother|wife|brother|daughter|sister|servant|and his sons?|named|name"
            r"|called|bore|begat) (?:of )?"
        ),
    ),
)
NO_NAMES = (
    "God Yahweh Yah Lord Almighty Spirit Holy Father Son Man King Most High One I O Sabbath "
    "Sabbaths Passover Armies God’s Meeting"
    " Good News Psalm Song Ascents Chief Musician Redeemer Teacher Rock Maker Preacher "
    "Testimony Jubilee Year Name Sir Ah Alas Aha"
    " I’m I’ll I’ve I’d Red Salt South Valley House City River Tent Covenant Law Scripture Amen "
    "Hallelujah Selah Urim Thummim Nazirite Kingdom Heaven Rabbi Word Savior Asherah Asherahs"
    " Asherim Baal Baals Purim Pentecost Scriptures Counselor Lamb Branch Feast Yahweh’s "
    "Hosanna Nisan Adar"
)

Token = tuple[str, str]  # a word, and its number in a dictionary or ""


def entries(root: Path, language: str) -> Iterator[tuple[str, str]]:
    """Number and text of each entry: an index points into a list of (block, place), and a block is
    many entries, packed.
    """
    path = root / "usr/share/sword/modules/lexdict/zld" / FILES[language] / "dict"
    index, keys, blocks, texts = (
        path.with_suffix(f".{end}").read_bytes() for end in ("idx", "dat", "zdx", "zdt")
    )
    for start, length in struct.iter_unpack("<II", index):
        number, _, place = keys[start : start + length].partition(b"\n")
        block, row = struct.unpack("<II", place[:8])
        begin, size = struct.unpack_from("<II", blocks, 8 * block)
        unpacked = zlib.decompress(texts[begin : begin + size])
        begin, size = struct.unpack_from("<II", unpacked, 4 + 8 * row)
        yield (
            f"{language}{int(number):04}",
            unpacked[begin : begin + size].decode("utf-8", "replace"),
        )


def entry_types(entry: str) -> tuple[set[str], set[str]]:
    """The types an entry speaks of, and the first three letters of each word with a capital in it.

    >>> definition = "From H1; house of bread;<lb/> Beth-Lechem a place in Palestine: - Beth-lehem."
    >>> kinds, starts = entry_types(f"<def>{definition}</def>")
    >>> kinds, "Bet" in starts
    ({'PLACE'}, True)
    """
    text = " ".join(
        re.findall(
            r"<def>(.*?)</def>", re.sub(r"<orig>.*?</orig>", "", entry, flags=re.S), flags=re.S
        )
    )
    text = re.sub(r"<[^>]*>|[{}]", "", text.rpartition("<lb/>")[2] if ":--" not in text else text)
    body = re.split(r":?\s*--?\s", text)[0].split(":--")[0]
    kinds = {kind for kind, words in ENTITY_TYPES.items() if re.search(rf"\b(?:{words})\b", body)}
    kinds = set() if re.search(GODS, body) else kinds
    return kinds, {word[:3] for word in re.findall(r"[A-Z]\w{2,}", text)}


def tokens(osis: str) -> list[Token]:
    """Words and marks of some verses, each word with its number; 's stands alone.

    >>> tokens('<w lemma="strong:H1732">David’s</w> house')
    [('David', 'H1732'), ('’s', ''), ('house', '')]
    """

    def marked(found: re.Match) -> str:
        return " ".join(f"{word}\\{found[1]}\\" for word in found[2].split())

    text = plain_text(re.sub(r'<w lemma="strong:(\w+)[^>]*>(.*?)</w>', marked, osis, flags=re.S))
    found = []
    for word, number in re.findall(r"(\w+(?:[-’]\w+)*|[^\w\s\\])(?:\\(\w+)\\)?", text):
        name, end = (word[:-2], word[-2:]) if word.endswith("’s") else (word, "")
        found += [(name, number)] + ([(end, "")] if end else [])
    return found


def sentences(found: list[Token]) -> Iterator[list[Token]]:
    """Cut behind a full stop, a question or an exclamation, and the quotation marks that follow."""
    sentence: list[Token] = []
    for token, (after, _) in zip(found, [*found[1:], ("", "")], strict=True):
        sentence.append(token)
        if (
            any(word in ".?!" for word, _ in sentence[-3:] if word)
            and token[0] in ".?!”’"
            and after not in "”’.?!"
        ):
            yield sentence
            sentence = []


def chapters(root: Path, reader: Path) -> Iterator[tuple[str, list[Token]]]:
    """Book and words of each chapter."""
    sys.path.insert(0, str(reader))
    from pysword.modules import SwordModules

    modules = SwordModules(str(root / "usr/share/sword"))
    modules.parse_modules()
    bible = modules.get_bible_from_module(MODULE)
    for book in [book for part in bible.get_structure().get_books().values() for book in part]:
        for number, length in enumerate(book.chapter_lengths, 1):
            verses = [
                bible.get([book.name], [number], [verse], clean=False)
                for verse in range(1, length + 1)
            ]
            yield book.name, tokens(" ".join(verses))


class EntityTagger:
    """The type of a word: PERSON, PLACE, GROUP, "" for none, None where it cannot be decided."""

    def __init__(self, dictionary: dict[str, str], text: list[list[Token]]) -> None:
        self.entry_types = {number: entry_types(entry) for number, entry in dictionary.items()}
        self.no_names = set(NO_NAMES.split())
        self.by_hand = {word: kind for kind, words in BY_HAND.items() for word in words.split()}
        self.small = Counter(word for sentence in text for word, _ in sentence if word.islower())
        votes: dict[str, Counter] = defaultdict(Counter)
        for word, number in (
            token for sentence in text for token in sentence if token[0][:1].isupper()
        ):
            kinds = self.word_types(word, number)
            votes[word][min(kinds) if len(kinds) == 1 else "several" if kinds else ""] += 1
        self.usual = {}
        for word, count in votes.items():
            kind, n = max(count.items(), key=lambda item: (item[0] != "", item[1]))
            sure = n >= 0.9 * (count.total() - count[""]) and n >= 0.2 * count.total()
            self.usual[word] = kind if sure and kind in ENTITY_TYPES else None

    def word_types(self, word: str, number: str) -> set[str]:
        kinds, starts = self.entry_types.get(number, (set(), set()))
        return kinds if word[:3] in starts else set()

    def __call__(self, book: str, before: str, word: str, number: str, first: bool) -> str | None:
        if not word[:1].isupper() or word in self.no_names:
            return ""
        if first and self.small[word.lower()] > 2:
            return ""
        if re.fullmatch(PEOPLES, word):
            return "GROUP"
        if word in self.by_hand:
            return self.by_hand[word]
        kinds = self.word_types(word, number)
        people, land = word in PEOPLES_TOO.split(), word in LANDS_TOO.split()
        kinds = set(ENTITY_TYPES) if people else kinds | {"GROUP", "PLACE"} if land else kinds
        if len(kinds) == 1:
            return min(kinds)
        for kind, cue in CUES:
            if kind in kinds and re.search(rf"\b(?:{cue})$", before):
                return kind
        if people:
            one = book == "Genesis" or book in OF_MEN and word not in ("Israel", "Judah")
            return "PERSON" if one else "GROUP"
        return (
            "PLACE"
            if land
            else "PERSON"
            if book == "Genesis" and "PERSON" in kinds
            else self.usual.get(word)
        )


def tag_sentence(
    tagger: EntityTagger, book: str, sentence: list[Token]
) -> tuple[list[str], list[str]] | None:
    """Words and tags of a sentence, or nothing if a capital in it cannot be explained."""
    words, kinds = [word for word, _ in sentence], []
    for row, (word, number) in enumerate(sentence):
        first = row == 0 or words[row - 1] in "“‘.?!:—”"
        kind = tagger(book, " ".join(words[max(0, row - 4) : row]) + " ", word, number, first)
        if word[:1].isupper() and row and words[row - 1] in TWO_WORDS.split():
            kind = kinds[-1] = "PLACE"
        if word in ("Mount", "Sea"):
            kind = ""
        if kind is None and word not in TWO_WORDS.split():
            return None
        kinds.append(kind)
    for row, word in enumerate(words[:-1]):
        if word == "Mount" and kinds[row + 1] in ("PLACE", "PERSON"):
            kinds[row : row + 2] = ["PLACE"] * 2
        if words[row + 1] == "Sea" and word in ("Red", "Salt"):
            kinds[row : row + 2] = ["PLACE"] * 2
    if None in kinds:
        return None
    tags = [
        f"{'I' if row and kinds[row - 1] == kind else 'B'}-{kind}" if kind else "O"
        for row, kind in enumerate(kinds)
    ]
    return words, tags


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, name) for name in ("text", "H", "G", "reader")]
        for place in places:
            place.mkdir()
        pip_install(READER, places[3])
        dictionary = {}
        for language, package in DICTIONARIES.items():
            dictionary |= entries(unpack_debian(*package, Path(folder, language)), language)
        text = list(chapters(unpack_debian(*PACKAGE, places[0]), places[3]))
    write_records(out / "names.jsonl.gz", works(dictionary, text))


def works(dictionary: dict[str, str], text: list[tuple[str, list[Token]]]) -> list[Record]:
    """The sentences that are kept, in the order of the text."""
    numbered = [
        (book, chapter)
        for book, chapter in text
        if sum(bool(n) for _, n in chapter) > len(chapter) / 2
    ]
    every = [(book, sentence) for book, chapter in numbered for sentence in sentences(chapter)]
    tagger, found, known = EntityTagger(dictionary, [sentence for _, sentence in every]), [], set()
    for book, sentence in every:
        if len(sentence) in LENGTH and (both := tag_sentence(tagger, book, sentence)):
            words, tags = (" ".join(part) for part in both)
            named = (
                "-" in tags or int(hashlib.sha256(words.encode()).hexdigest(), 16) % NAMELESS == 0
            )
            split = "validation" if book in VALIDATION else "test" if book in TEST else "train"
            if named:
                found.append({"split": split, "words": words, "tags": tags})
            if named and split == "train":
                known |= word_runs(words)
    return [
        work for work in found if work["split"] == "train" or not word_runs(work["words"]) & known
    ]


def word_runs(words: str) -> set[tuple[str, ...]]:
    """Every run of RUN words."""
    found = re.findall(r"\w+", words.lower())
    return {tuple(found[row : row + RUN]) for row in range(len(found) - RUN + 1)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
