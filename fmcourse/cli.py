"""The command line, `python -m fmcourse VERB` or `fmcourse VERB`.

Exit codes: 0 it worked, 1 it did not and a line on stderr says why, 2 the arguments were not
understood, 130 Ctrl-C. torch is imported by the verbs that compute, so that `--help` is instant.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import os
import secrets
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmcourse import data, packages
from fmcourse.classroom.grade_command import grade_arguments, grade_verb
from fmcourse.data import tables
from fmcourse.files import read_json
from fmcourse.models.config import Config, gpt2, llama, modern

if TYPE_CHECKING:
    from fmcourse.models.transformer import Transformer
    from fmcourse.training import History
    from fmcourse.training.parallel import OneProcess

CHAT_MODEL = "smollm2-135m-instruct"
DEFAULTS = dict(
    shape="modern",
    steps=600,
    seconds=None,
    seed=0,
    vocab=None,
    depth=3,
    width=96,
    context=64,
    batch=12,
)
# The files in a folder made by `train`. Their names are ours, since nothing else opens them.
CONFIG, WEIGHTS = "fmcourse.json", "fmcourse.safetensors"
TOKENIZER, CHECKPOINT = "fmcourse_tokenizer.json", "checkpoint.safetensors"
# Shapes that others have published: weights and tokenizer are written as transformers opens them.
PUBLISHED = ("gpt2", "llama")
PUBLISHED_CONFIG, PUBLISHED_WEIGHTS = "config.json", "model.safetensors"
PUBLISHED_TOKENIZER = "tokenizer.json"
TOKENS = "tokens.bin"  # of the text, while a model is trained on it
HEAD_WIDTH = 32  # of the models that `train` makes
TEST_FRACTION = 10  # a tenth of a learner's own text is held out
MAX_SCORED_TOKENS = 20_000  # of the held-out text, so that scoring takes seconds


def program_name() -> str:
    """What the user typed: `fmcourse`, the console script, or `python -m fmcourse`."""
    return "fmcourse" if Path(sys.argv[0]).stem == "fmcourse" else "python -m fmcourse"


def command(*words: str | Path) -> str:
    """A command to copy: this program and these words, in quotes where the shell needs them."""
    return f"{program_name()} {shlex.join(map(str, words))}"


# -- the course itself ----------------------------------------------------------------------------


def doctor_verb(options: argparse.Namespace) -> int:
    from fmcourse import doctor

    return doctor.main()


def data_verb(options: argparse.Namespace) -> int:
    if options.action == "card":
        print(data.card(options.name))
        return 0
    if options.action == "list":
        print("\n".join(data.card(name).splitlines()[0] for name in data.names()))
        return 0
    rows = data.verify()
    print(data.verify_table(rows))
    return int(any(row.problem for row in rows))


def models_verb(options: argparse.Namespace) -> int:
    if options.action == "install":
        return int(packages.install(again=options.again) != 0)
    width = max(map(len, packages.PACKAGES))
    package_width = max(map(len, packages.PACKAGES.values()))
    for name, package in packages.PACKAGES.items():
        state = "installed" if packages.is_installed(name) else "not installed"
        print(f"{name:{width}}  {package:{package_width}}  {state}")
    return 0


def progress_verb(options: argparse.Namespace) -> int:
    from fmcourse.course.progress_record import progress

    progress()
    return 0


# -- training -------------------------------------------------------------------------------------


def train_verb(options: argparse.Namespace) -> int:
    """Train, save, and say what to do next. Under torchrun several processes train one model."""
    from fmcourse.training.parallel import connect

    processes = connect()
    with processes.one_fate():
        if processes.is_first:
            return train_and_report(options, processes)
        return train_along(options, processes)


def train_along(options: argparse.Namespace, processes: "OneProcess") -> int:
    """What the other processes do: nothing but to compute their part of each batch."""
    from fmcourse.tokenizers.token_file import map_tokens

    folder, settings = Path(options.out), train_settings(options)
    with processes.first_before_others():  # it writes what is read here
        tokenizer = load_tokenizer(folder)
        ids = map_tokens(folder / TOKENS, tokenizer.vocab_size)
    model = build_model(settings, tokenizer.vocab_size)
    return 130 if train_model(model, ids, folder, settings).interrupted else 0


def train_and_report(options: argparse.Namespace, processes: "OneProcess") -> int:
    """What the first process does: all that is read, shown and saved, and its part of the batch."""
    from fmcourse.models.transformer import count_parameters

    folder, settings = Path(options.out), train_settings(options)
    with processes.first_before_others():
        text, held_out = train_and_test_text(settings["data"])
        settings = identify_text(settings, text, held_out)
        print_note("Turning the text into tokens ...")
        tokenizer, ids = tokenize(settings, text, held_out, folder)
        model = build_model(settings, tokenizer.vocab_size)
        save_settings(folder, model, tokenizer, settings)
    print(
        f"{len(ids):,} tokens, vocabulary of {tokenizer.vocab_size:,}; "
        f"a model of {count_parameters(model):,} parameters.",
        flush=True,
    )
    del text  # the tokens are in a file: what is not needed takes no room
    try:
        history = train_model(model, ids, folder, settings)
    finally:
        del ids  # Windows deletes no file that is mapped
        with contextlib.suppress(OSError):
            (folder / TOKENS).unlink()

    def save(place: Path) -> None:
        if place != folder:  # there the settings are saved already
            save_settings(place, model, tokenizer, settings)
        save_weights(place, model, tokenizer, settings["shape"])

    place = save_or_rescue(folder, save)
    if settings["shape"] in PUBLISHED:
        print(f"transformers opens it, too: AutoModelForCausalLM.from_pretrained({str(place)!r})")
    code = report_training(history, place, score(model, tokenizer, held_out))
    return code if place == folder else 1


def train_model(
    model: "Transformer", ids: Any, folder: Path, settings: dict[str, Any]
) -> "History":
    from fmcourse.objectives import next_token
    from fmcourse.training import RandomCrops, fit

    limit = "seconds" if settings["seconds"] else "steps"
    return fit(
        model,
        next_token,
        RandomCrops(ids, settings["context"] + 1, settings["batch"], settings["seed"]),
        seed=settings["seed"],
        checkpoint=folder / CHECKPOINT,
        **{limit: settings[limit]},
    )


def train_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings given and the defaults, or with --resume those of the folder.

    Raises: ValueError if the two cannot be reconciled.
    """
    folder = Path(options.out)
    given = {name: getattr(options, name) for name in ["data", *DEFAULTS]}
    given = {name: value for name, value in given.items() if value is not None}
    if options.resume:
        # A text may have been moved since; `identify_text` proves that it is the same.
        moved = {"data": given.pop("data")} if "data" in given else {}
        if given:
            raise ValueError(
                "--resume goes on with the settings that the run was started with; "
                f"leave out --{next(iter(given))}."
            )
        if not (folder / CHECKPOINT).is_file() or not is_made_by_train(folder / CONFIG):
            raise ValueError(f"{folder} holds no unfinished training; start one without --resume.")
        return check_settings(folder, read_config(folder).get("training")) | moved
    if any((folder / name).exists() for name in (WEIGHTS, PUBLISHED_WEIGHTS, CHECKPOINT)):
        raise ValueError(
            f"{folder} already holds a model; name another folder with --out, "
            "or go on with --resume."
        )
    names = (CONFIG, TOKENIZER, PUBLISHED_CONFIG, PUBLISHED_TOKENIZER)
    for path in (folder / name for name in names):
        if path.exists() and not is_made_by_train(path):
            raise ValueError(
                f"{path} was not made by `train` and would be written over; "
                "name another folder with --out."
            )
    if "seconds" in given:
        given["steps"] = None
    return {"data": "shakespeare", **DEFAULTS, **given}


def check_settings(folder: Path, saved: Any) -> dict[str, Any]:
    """The settings of a run to be resumed. Raises: ValueError if the folder does not hold all."""
    if not isinstance(saved, dict) or (missing := sorted({"data", *DEFAULTS} - set(saved))):
        lacks = "the settings" if not isinstance(saved, dict) else missing[0]
        raise ValueError(f"{folder / CONFIG} is damaged: it lacks {lacks}; begin anew.")
    return saved


def is_made_by_train(path: Path) -> bool:
    """Whether it holds settings or a tokenizer as `train` writes them."""
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    field = "kind" if path.name == TOKENIZER else "training"
    return isinstance(facts, dict) and field in facts


def identify_text(settings: dict[str, Any], *texts: str) -> dict[str, Any]:
    """The settings with the texts' digest and, of a file, a path that holds in every folder.

    Raises: ValueError if a training that is resumed began with another text: what it was trained on
        would be mixed, and what is held out from it now, it may have seen.
    """
    name, hashed = settings["data"], sha256()
    for text in texts:  # not joined first: a large text would take its room once more
        hashed.update(text.encode())
    digest = hashed.hexdigest()
    if settings.get("text_sha256", digest) != digest:  # a new training has none yet
        raise ValueError(
            f"--data {name}: this is not the text that the training began with. Restore it, or say "
            "with --data where it is, or start another training in another folder."
        )
    path = name if name in data.names() else str(Path(name).absolute())
    return settings | {"data": path, "text_sha256": digest}


def train_and_test_text(name: str) -> tuple[str, str]:
    """The text to train on and the held-out one: another work of the corpus, or a file's end.

    Raises: ValueError if the name is neither a corpus nor a file, or the file is not in UTF-8.
    """
    if name in data.names():
        corpus = data.load(name)
        if not isinstance(corpus, data.Corpus):
            raise ValueError(
                f"--data {name}: this collection is no text to continue; "
                "take shakespeare, for example."
            )
        return corpus.train, corpus.validation
    if not Path(name).is_file():
        raise ValueError(
            f"--data {name}: there is no such file, and the collections are "
            f"{', '.join(data.names())}."
        )
    text = tables.unify_line_ends(tables.read_utf8(Path(name)))
    cut = len(text) - len(text) // TEST_FRACTION
    return text[:cut], text[cut:]


def tokenize(settings: dict[str, Any], text: str, held_out: str, folder: Path) -> tuple[Any, Any]:
    """The tokenizer, newly trained or as it was saved, and the text's tokens, mapped from a file.

    A list of them would take several times the room of a large text.
    """
    from fmcourse.tokenizers import BPETokenizer, CharTokenizer
    from fmcourse.tokenizers.token_file import write_tokens

    if (folder / CHECKPOINT).is_file():
        tokenizer = load_tokenizer(folder)
    elif settings["vocab"] is None:
        # The held-out text is needed here alone: a character outside the vocabulary is an error.
        tokenizer = CharTokenizer.train("".join(set(text) | set(held_out)))
    else:
        tokenizer = BPETokenizer.train(text, vocab_size=settings["vocab"], progress=True)
    return tokenizer, write_tokens(tokenizer, text, folder / TOKENS)


def build_model(settings: dict[str, Any], vocab_size: int) -> "Transformer":
    import torch

    from fmcourse.models.transformer import Transformer

    torch.manual_seed(settings["seed"])
    return Transformer(
        SHAPES[settings["shape"]](
            vocab_size=vocab_size,
            context=settings["context"],
            width=settings["width"],
            depth=settings["depth"],
            heads=max(1, settings["width"] // HEAD_WIDTH),
        )
    )


def small_llama(*, width: int, **sizes: int) -> Config:
    """Llama for a short context: the usual rotation, and a key for each of the few heads."""
    # 8/3 of the width: three matrices then hold as much as two of four times the width.
    return llama(width=width, hidden=8 * width // 3, kv_heads=None, rope_base=10_000.0, **sizes)


SHAPES = {"modern": modern, "gpt2": gpt2, "llama": small_llama}


def score(model: "Transformer", tokenizer: Any, text: str) -> float | None:
    """Bits per byte on the beginning of the held-out text; None if there is none."""
    from fmcourse.evaluation import bits_per_byte, token_nats

    # A token has at most a few characters: no need to encode all of a long text.
    ids = tokenizer.encode(text[: 4 * MAX_SCORED_TOKENS])[:MAX_SCORED_TOKENS]
    return bits_per_byte(token_nats(model, ids), tokenizer.decode(ids)) if ids else None


def report_training(history: "History", folder: Path, bits: float | None) -> int:
    """Say how it went and what to do next; returns the exit code."""
    print(
        f"{history.steps} steps in {history.seconds[-1]:.0f} s, "
        f"loss {history.losses[-1]:.3f} nats per token."
    )
    if bits is not None:
        print(f"On held-out text: {bits:.2f} bits per byte (8 is random guessing).")
    print(f'Let it write: {command("generate", "--model", folder)} --prompt "..."')
    if history.interrupted:
        # Without a checkpoint, where the model was saved elsewhere, nothing can be resumed.
        if (folder / CHECKPOINT).is_file():
            print(f"Go on with it: {command('train', '--out', folder, '--resume')}")
        return 130
    (folder / CHECKPOINT).unlink(missing_ok=True)  # a finished run needs it no more
    return 0


# -- a folder with a model ------------------------------------------------------------------------


def save_settings(
    folder: Path, model: "Transformer", tokenizer: Any, settings: dict[str, Any]
) -> None:
    """What is known before training: the shape, the settings and the tokenizer."""
    from fmcourse.files import write_text

    if (folder / CHECKPOINT).is_file():  # resumed: saved already
        return
    published = settings["shape"] in PUBLISHED
    facts = {
        "opens_with": ["fmcourse", "transformers"] if published else ["fmcourse"],
        "model": dataclasses.asdict(model.config),
        "tokenizer": type(tokenizer).__name__,
        "training": settings,
    }
    if is_published(facts):
        from fmcourse.pretrained.tokenizer_export import tokenizer_files

        for name, content in tokenizer_files(tokenizer, model.config).items():
            write_text(folder / name, content)
    else:
        tokenizer.save(folder / TOKENIZER)
    write_text(folder / CONFIG, json.dumps(facts, indent=1) + "\n")


def save_weights(folder: Path, model: "Transformer", tokenizer: Any, shape: str) -> None:
    """The trained weights: for a published shape a folder that transformers opens."""
    from safetensors.torch import save_file

    from fmcourse import pretrained
    from fmcourse.files import write_atomically

    if shape in PUBLISHED:
        pretrained.to_hf(model, folder, tokenizer)
        return
    weights = {name: weight.detach().contiguous() for name, weight in model.named_parameters()}
    write_atomically(folder / WEIGHTS, lambda temporary: save_file(weights, temporary))


def save_or_rescue(folder: Path, save: Callable[[Path], object]) -> Path:
    """Save a trained model in its folder or, where that fails, in a new one elsewhere.

    Hours of training must not be lost to a full disk: if every place fails, a reader at a terminal
    may make room and try again.

    Args:
        save: called with the folder.
    Returns: where it was saved; another place than `folder` is said on stderr.
    Raises: ValueError naming all places that were tried.
    """
    from safetensors import SafetensorError

    name = f"{folder.name}-{secrets.token_hex(3)}"
    places = [Path(base) / name for base in (os.path.expanduser("~"), tempfile.gettempdir())]
    while True:
        failures = []
        for place in (folder, *places):
            try:
                save(place)
            except (OSError, SafetensorError, ValueError) as error:
                failures.append(f"{place} ({one_line(error)})")
                if place != folder:
                    shutil.rmtree(place, ignore_errors=True)  # half a model
                continue
            if failures:
                print(f"Not saved in {'; '.join(failures)}. It is in {place}.", file=sys.stderr)
            return place
        tried = f"the trained model could not be saved in {'; '.join(failures)}"
        if not sys.stdin.isatty():
            raise ValueError(f"{tried}.")
        print(f"{tried}. It is still in memory.", file=sys.stderr)
        try:
            input("Make room and press Enter to try again, Ctrl-C to give it up: ")
        except EOFError:
            raise ValueError(f"{tried}.") from None


def read_config(folder: Path) -> dict[str, Any]:
    """What the folder says about its model: ours, or else what transformers wrote.

    Raises: ValueError if there is nothing or it is damaged.
    """
    for path in (folder / CONFIG, folder / PUBLISHED_CONFIG):
        if path.is_file():
            return read_json(path)
    raise ValueError(
        f"{folder} holds no model (no {CONFIG}, no {PUBLISHED_CONFIG}); "
        f"`{command('train', '--out', folder)}` makes one."
    )


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder made by `train`. Raises: ValueError if its files are damaged."""
    from fmcourse import pretrained, tokenizers

    facts = read_config(folder)
    if is_published(facts):
        return pretrained.read_tokenizer(folder)
    kind = facts.get("tokenizer")
    if kind not in tokenizers.__all__:
        raise ValueError(f"{folder / CONFIG} is damaged: it names no tokenizer, but {kind!r}.")
    return getattr(tokenizers, kind).load(folder / TOKENIZER)


def is_published(facts: dict[str, Any]) -> bool:
    """Whether the folder with this config holds weights and tokenizer as transformers has them."""
    opens_with = facts.get("opens_with")
    return "training" not in facts or (
        isinstance(opens_with, list) and "transformers" in opens_with
    )


def load_model(name: str, weights: str = "fp32") -> tuple["Transformer", Any]:
    """A model and its tokenizer.

    Args:
        name: a model of the course, or a folder made by `train` or by transformers.
        weights: "fp32" or "int4", for models of the course.
    Raises: ValueError if there is no model, or its files are damaged.
    """
    from fmcourse import pretrained

    if name in packages.PACKAGES:
        print_note(f"Loading {name} (the first time it is unpacked, for some seconds) ...")
        return pretrained.load(name, weights=weights)
    folder = Path(name)
    facts = read_config(folder)
    if "training" in facts:
        check_trained(folder, facts)
    if is_published(facts):
        return pretrained.from_hf(name)
    model, tokenizer = load_trained(folder, facts), load_tokenizer(folder)
    if tokenizer.vocab_size != model.config.vocab_size:
        raise ValueError(
            f"{folder / TOKENIZER} has {tokenizer.vocab_size} tokens and the model "
            f"{model.config.vocab_size}; are both of one training?"
        )
    return model, tokenizer


def check_trained(folder: Path, facts: dict[str, Any]) -> None:
    """Raises: ValueError if the training in a folder was stopped before there were weights."""
    weights = folder / (PUBLISHED_WEIGHTS if is_published(facts) else WEIGHTS)
    if not weights.is_file():
        raise ValueError(
            f"the training in {folder} was cut short; go on with it: "
            f"`{command('train', '--out', folder, '--resume')}`."
        )


def load_trained(folder: Path, facts: dict[str, Any]) -> "Transformer":
    from fmcourse.pretrained.families import assign_weights, empty_model
    from fmcourse.pretrained.weight_files import load_weights

    try:
        config = Config(**facts["model"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / CONFIG} is damaged: {error!r}.") from None
    path = folder / WEIGHTS
    weights = load_weights(path)
    try:
        return assign_weights(empty_model(config), weights)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None


# -- generating and chatting ----------------------------------------------------------------------


def generate_verb(options: argparse.Namespace) -> int:
    """Print the prompt and its continuation, piece by piece."""
    from fmcourse.generation import stream

    model, tokenizer = load_model(options.model, options.weights)
    if not model.config.causal:
        raise ValueError(
            f"--model {options.model}: not a model that generates text, since it looks both ways; "
            "give a causal one."
        )
    if tokenizer is None:
        raise ValueError(
            f"--model {options.model}: there is no tokenizer in this folder; save the model's own "
            "there too, as tokenizer.json."
        )
    pieces = stream(
        model,
        tokenizer,
        options.prompt,
        max_new_tokens=options.max_new_tokens,
        stop=end_texts(options.model, tokenizer),
        **sampling_options(options),
    )
    print_pieces(iter([options.prompt]))
    print_pieces(pieces)
    print()
    return 0


def end_texts(name: str, tokenizer: Any) -> list[str]:
    """The special tokens with which this model ends a text: those of the course's chat model, and
    those that a folder of transformers names. None for a model made by `train`."""
    from fmcourse.generation.chat_template import STOP

    special = {i: text for text, i in getattr(tokenizer, "special_tokens", {}).items()}
    named = []
    for file in (Path(name) / CONFIG, Path(name) / "generation_config.json"):
        if file.is_file():
            ends = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
            named += ends if isinstance(ends, list) else [ends]
    return [text for i, text in special.items() if text in STOP or i in named]


def chat_verb(options: argparse.Namespace) -> int:
    """Answer one message, or chat until the end of the input or Ctrl-C."""
    from fmcourse.generation import chat_stream

    model, tokenizer = load_model(CHAT_MODEL, options.weights)
    messages = [{"role": "system", "content": options.system}] if options.system else []
    if sys.stdin.isatty() and options.message is None:
        print("SmolLM2 is small: it is fluent, and often wrong. Ctrl-D or Ctrl-C ends the chat.")
    for message in user_messages(options.message):
        messages.append({"role": "user", "content": message})
        answer = chat_stream(
            model,
            tokenizer,
            messages,
            max_new_tokens=options.max_new_tokens,
            **sampling_options(options),
        )
        messages.append({"role": "assistant", "content": print_pieces(answer)})
        print()
    return 0


def user_messages(message: str | None) -> Iterator[str]:
    """The one message given, or else the lines that are typed, without empty ones."""
    if message is not None:
        yield message
        return
    while True:
        try:
            line = input("\nyou: " if sys.stdin.isatty() else "")
        except EOFError:
            return
        if line.strip():
            yield line


def sampling_options(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("temperature", "top_k", "top_p", "seed")}


def print_pieces(pieces: Iterator[str]) -> str:
    """Print pieces as they come; returns them joined."""
    printed = []
    for piece in pieces:
        print(piece, end="", flush=True)
        printed.append(piece)
    return "".join(printed)


# -- your own data --------------------------------------------------------------------------------


def finetune_verb(options: argparse.Namespace) -> int:
    """Check the data, train, evaluate, save, and say what to do next."""
    from fmcourse.apps import classifier as apps
    from fmcourse.apps.own_data import read_dataset
    from fmcourse.training.parallel import connect

    processes = connect()
    with processes.one_fate():
        folder = apps.check_output_folder(options.out)  # before anyone waits for the training
        dataset = read_dataset(options.data, options.text, options.label, seed=options.seed)
        if processes.is_first:
            print(dataset, flush=True)
        classifier = apps.train_classifier(
            dataset, options.way, options.steps, seed=options.seed, progress=processes.is_first
        )
        place = folder
        if processes.is_first:
            print(classifier.evaluate(dataset))
            place = save_or_rescue(folder, classifier.save)
            print(f'Use it: {command("classify", place)} "..."')
    interrupted = classifier.history is not None and classifier.history.interrupted
    return 130 if interrupted else int(place != folder)


def classify_verb(options: argparse.Namespace) -> int:
    """Print a line for each item: label, probability and item, separated by tabs.

    An empty line of a file has an empty label and no probability.
    """
    from fmcourse.apps.classifier import load_classifier

    items, blank = options.items, set()  # numbers of lines without an item
    if options.file:
        items = tables.split_lines(tables.read_utf8(Path(options.file)))
        blank = {line for line, item in enumerate(items, 1) if not item.strip()}
    classifier = load_classifier(options.folder)
    given = [item for line, item in enumerate(items, 1) if line not in blank]
    rows = iter(classifier.predict(given))
    for line, item in enumerate(items, 1):
        if line in blank:
            print("\t\t")  # so that line 7 of the output is about line 7 of the file
            continue
        row, one_line_item = next(rows), " ".join(item.splitlines())
        print(f"{classifier.labels[row.argmax()]}\t{row.max():.3f}\t{one_line_item}")
    if blank:
        places = tables.format_lines(sorted(blank))
        print(f"classify: {places}: empty, so there is no label.", file=sys.stderr)
    return 0


# -- a class --------------------------------------------------------------------------------------


def assign_verb(options: argparse.Namespace) -> int:
    """Make an assignment of the exercises given."""
    from fmcourse.classroom.assign import assign, read_students
    from fmcourse.data.tables import read_column

    file = options.students
    assign(
        options.exercises,
        options.name,
        options.out,
        key_file=options.variants,
        students=read_students(Path(file), read_column) if file else None,
        again=options.again,
    )
    return 0


# -- arguments ------------------------------------------------------------------------------------

VERBS = {  # in the order of --help: what runs it, and what it does
    "doctor": (doctor_verb, "say what this machine can do, and what is amiss"),
    "data": (data_verb, "the datasets that ship with the course"),
    "models": (models_verb, "the pretrained models: list them, or install them"),
    "progress": (progress_verb, "show which exercises are solved and which questions answered"),
    "train": (train_verb, "train a small GPT on a text"),
    "generate": (generate_verb, "let a model continue a prompt"),
    "chat": (chat_verb, "talk to SmolLM2-135M-Instruct, in this terminal"),
    "finetune": (finetune_verb, "train a classifier on your own labelled texts or images"),
    "classify": (classify_verb, "predict labels of texts or images with such a classifier"),
    "assign": (assign_verb, "hand out exercises as an assignment of an nbgrader course"),
    "grade": (grade_verb, "give points, with reasons, to what students handed in"),
}


def build_parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog=program_name(),
        description="Look after the course, train a small model, talk to a pretrained one, "
        "train a classifier on your own data.",
        epilog="Exit codes: 0 it worked, 1 it did not, 2 the arguments were not understood, "
        f"130 Ctrl-C. `{program_name()} VERB --help` says more of each verb.",
        allow_abbrev=False,
    )
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    add_arguments = {
        "data": data_arguments,
        "models": models_arguments,
        "train": train_arguments,
        "generate": generate_arguments,
        "chat": chat_arguments,
        "finetune": finetune_arguments,
        "classify": classify_arguments,
        "assign": assign_arguments,
        "grade": grade_arguments,
    }
    for name, (run, purpose) in VERBS.items():
        description = f"{purpose[0].upper()}{purpose[1:]}."
        parser = verbs.add_parser(name, help=purpose, description=description, allow_abbrev=False)
        parser.set_defaults(run=run)
        if name in add_arguments:
            add_arguments[name](parser)
    return top


def data_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("verify", help="compare every file with what was shipped")
    actions.add_parser("list", help="name the datasets")
    card = actions.add_parser("card", help="origin, licence, size, and what it is not good for")
    card.add_argument("name", metavar="NAME", help="a dataset, as `data list` names it")


def models_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="which are installed (also without an action)")
    install = actions.add_parser("install", help="install those that are missing")
    install.add_argument("--again", action="store_true", help="install all of them again")


def train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "The folder holds weights, a tokenizer, fmcourse.json, which says how they were made and "
        "what opens them, and, until training is finished, a checkpoint: a run that was stopped "
        "goes on with --resume. Several processes train one model together: "
        "torchrun --nproc-per-node 2 -m fmcourse train ..."
    )
    add = parser.add_argument
    add("--out", metavar="FOLDER", required=True, help="where the model goes")
    add("--resume", action="store_true", help="go on with the training in FOLDER")
    data_help = "a text of the course or a file (shakespeare); with --resume: where it is now"
    add("--data", metavar="NAME|FILE", help=data_help)
    limit = parser.add_mutually_exclusive_group()
    steps_help = f"train for N steps ({DEFAULTS['steps']})"
    limit.add_argument("--steps", type=positive_int, metavar="N", help=steps_help)
    seconds_help = "train for S seconds instead"
    limit.add_argument("--seconds", type=positive_float, metavar="S", help=seconds_help)
    vocab_help = "train a BPE tokenizer with N tokens (without it, a token is a character)"
    add("--vocab", type=positive_int, metavar="N", help=vocab_help)
    shape_help = (
        "modern learns fastest and opens in fmcourse alone; gpt2 and llama are written so that "
        "transformers opens them, too (modern)"
    )
    add("--shape", choices=SHAPES, help=shape_help)
    sizes = {
        "depth": "blocks",
        "width": "width of the model",
        "context": "tokens that it can attend to",
        "batch": "texts in a training step",
    }
    for name, meaning in sizes.items():
        size_help = f"{meaning} ({DEFAULTS[name]})"
        add(f"--{name}", type=positive_int, metavar="N", help=size_help)
    add("--seed", type=int, metavar="N", help="another seed, another model (0)")


def sampling_arguments(
    parser: argparse.ArgumentParser, temperature: float, max_new_tokens: int
) -> None:
    add = parser.add_argument
    temperature_help = f"of the sampling; 0 always takes the likeliest token ({temperature:g})"
    add("--temperature", type=float, default=temperature, metavar="T", help=temperature_help)
    add("--top-k", type=int, metavar="K", help="sample from the K likeliest tokens only")
    top_p_help = "sample from the likeliest tokens whose probabilities add up to P"
    add("--top-p", type=float, metavar="P", help=top_p_help)
    add("--seed", type=int, metavar="N", help="the same seed, the same text")
    most_help = f"write at most N tokens ({max_new_tokens})"
    add("--max-new-tokens", type=int, default=max_new_tokens, metavar="N", help=most_help)
    weights_help = f"precision of {CHAT_MODEL}'s weights (fp32)"
    add("--weights", choices=["fp32", "int4"], default="fp32", help=weights_help)


def generate_arguments(parser: argparse.ArgumentParser) -> None:
    model_help = f"a folder made by train or by transformers, or {CHAT_MODEL}"
    parser.add_argument("--model", metavar="NAME|FOLDER", required=True, help=model_help)
    parser.add_argument("--prompt", metavar="TEXT", required=True, help="the text to continue")
    sampling_arguments(parser, temperature=0.8, max_new_tokens=200)


def chat_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--message", metavar="TEXT", help="send this one message and end")
    parser.add_argument("--system", metavar="TEXT", help="the system prompt")
    sampling_arguments(parser, temperature=0.0, max_new_tokens=200)


def finetune_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "DATA is a CSV or TSV file in UTF-8 whose first line names the columns; or a folder with a "
        "folder of images for each label; or a folder with train.csv and test.csv, or with such "
        "folders of images in train and test. A fifth is held out for the test if DATA is not "
        "split already."
    )
    add = parser.add_argument
    add("data", metavar="DATA", help="a table of texts, or a folder")
    add("--out", metavar="FOLDER", required=True, help="where the classifier goes")
    way_help = (
        "what is trained: a new head alone (default), the last blocks too, LoRA matrices in all "
        "blocks (texts only), or all blocks"
    )
    add("--way", choices=["head", "last", "lora", "full"], default="head", help=way_help)
    for column in ("text", "label"):
        column_help = f"the table's column of {column}s ({column})"
        add(f"--{column}", default=column, metavar="COLUMN", help=column_help)
    add("--steps", type=positive_int, metavar="N", help="train for N steps (not for a head)")
    seed_help = "another seed, another split and another model (0)"
    add("--seed", type=int, default=0, metavar="N", help=seed_help)


def classify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "One line for each item: the likeliest label, its probability, the item, separated by "
        "tabs; for an empty line of FILE, the tabs alone. What goes to a file is in UTF-8."
    )
    parser.add_argument("folder", metavar="FOLDER", help="a folder made by finetune")
    items = parser.add_mutually_exclusive_group(required=True)
    items_help = "texts; or, if it was trained on images, files"
    items.add_argument("items", nargs="*", default=[], metavar="ITEM", help=items_help)
    items.add_argument("--file", metavar="FILE", help="a text file with an item in each line")


def assign_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exercises are those of the lessons (06.1), which are practice, done or not and without "
        "points, and, with the instructor's folder, those for points (07.A1). DIR/release/NAME is "
        "what students get. "
        "The same command again makes the same notebook."
    )
    add = parser.add_argument
    add("exercises", nargs="+", metavar="ID", help="exercises, in the order of the assignment")
    add("--name", required=True, metavar="NAME", help="the assignment's name, such as week3")
    add("--out", required=True, metavar="DIR", help="the course's folder, new or to be added to")
    variants_help = (
        "give each student their own numbers, drawn with the key in this file, which is made if "
        "there is none"
    )
    add("--variants", metavar="KEY", help=variants_help)
    students_help = "an id in each line, or a table with a column id, student or username"
    add("--students", metavar="FILE", help=students_help)
    again_help = "replace an assignment of this name that has other exercises"
    add("--again", action="store_true", help=again_help)


def positive_int(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least 1")
    return int(text)


def positive_float(text: str) -> float:
    """A number above 0, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number above 0")
    return number


# -- running --------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; returns the exit code. A refusal of the course's own code is one line."""
    choose_output_encoding()
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print()
        return 0 if options.verb == "chat" else 130  # Ctrl-C is how one leaves a chat
    except BrokenPipeError:  # `| head` has read enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (Python still flushes it at the end)
        return 1
    except (ValueError, OSError, ModuleNotFoundError, ArithmeticError) as error:
        if not getattr(error, "first_prints_it", False):  # see `parallel`
            print(f"{options.verb}: {one_line(error)}", file=sys.stderr)
        return 1


def choose_output_encoding() -> None:
    """A terminal shows a question mark for what it cannot show; a file or a program gets UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file may be in a legacy code page, such as Windows', which holds few characters.
            encoding = None if stream.isatty() else "utf-8"  # None: as it is
            stream.reconfigure(encoding=encoding, errors="replace")


def print_note(text: str) -> None:
    """Say what is going on in a terminal, but not to a file or another program."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


def one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
