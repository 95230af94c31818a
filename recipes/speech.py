"""Make speech.gz: short spoken prompts, the same in three languages, with what is said in them.

Source    Debian asterisk-core-sounds-{en,es,fr}-wav 1.6.1-1, with their transcripts in
          asterisk-core-sounds-{en,es,fr} 1.6.1-1
Licence   CC BY-SA 3.0, (c) Allison Smith (en, es) and June Wallack (fr)
Run       python recipes/speech.py OUT
Takes     half a minute; Debian or Ubuntu

The prompts are those that a telephone exchange plays: numbers, days, months, words and short
phrases. KEYS lists those taken: said in all three languages, at most LONGEST seconds, and written
as they are spoken (not so ten, which is missing from the Spanish transcripts). A key is in one
split in all its languages. The file is one line of JSON (rate, and for each prompt its split,
language, text and number of samples), then the samples: each as its distance from the one before,
16 bits that wrap, all low bytes before all high bytes, which packs to about half.
"""

import gzip
import hashlib
import json
import sys
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import compress, unpack_debian

from fmcourse.files import write_atomically

PACKAGES = [
    (
        "asterisk-core-sounds-en=1.6.1-1",
        "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50",
    ),
    (
        "asterisk-core-sounds-es=1.6.1-1",
        "9afdab7f559f036649fb406e625899306ca1004df8ebe39c30bfbd5912d66f74",
    ),
    (
        "asterisk-core-sounds-fr=1.6.1-1",
        "04c82c78c570c43a7136cbc5e2488d0c470b775468dff9fbce4a131b18cf1056",
    ),
    (
        "asterisk-core-sounds-en-wav=1.6.1-1",
        "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d",
    ),
    (
        "asterisk-core-sounds-es-wav=1.6.1-1",
        "9283a09a6d56fccdcc2bcfe86c48f0f844289cfbd46a3184d8785a6f7f569903",
    ),
    (
        "asterisk-core-sounds-fr-wav=1.6.1-1",
        "8d4e1bc32ed5ba7fbda40841ca1825ed20cc6232724a473c90f8bb0e53e6073e",
    ),
]
VOICES = {"en": "en_US_f_Allison", "es": "es_MX_f_Allison", "fr": "fr_CA_f_June"}
RATE = 8000
LONGEST = 2.5  # seconds
KEYS = [
    f"digits/{number}"
    for number in [
        *range(1, 10),
        *range(11, 21),
        *range(30, 100, 10),
        "hundred",
        "thousand",
        "million",
    ]
]
KEYS += [f"digits/day-{day}" for day in range(7)] + [f"digits/mon-{month}" for month in range(12)]
WORDS = (
    "digits/today digits/tomorrow digits/yesterday hello-world please-try-again "
    "vm-message vm-password vm-goodbye vm-saved"
)
WORDS += " vm-received vm-deleted vm-nomore auth-thankyou conf-errormenu vm-Friends"
KEYS += WORDS.split()


def transcripts(root: Path, language: str) -> dict[str, str]:
    """What is said under each key."""
    name = f"core-sounds-{language}.txt.gz"
    lines = gzip.decompress(
        (root / f"usr/share/doc/asterisk-core-sounds-{language}" / name).read_bytes()
    ).decode()
    pairs = (
        line.split(":", 1)
        for line in lines.splitlines()
        if ":" in line and not line.startswith(";")
    )
    return {key.strip(): text.strip() for key, text in pairs}


def samples(path: Path) -> np.ndarray:
    """The sound of one prompt, int16.

    Raises: ValueError if it is not one channel of 16 bits at RATE, or too long.
    """
    with wave.open(str(path)) as file:
        form = file.getnchannels(), file.getsampwidth(), file.getframerate()
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    if form != (1, 2, RATE) or len(sound) > LONGEST * RATE:
        raise ValueError(f"{path.name}: {form}, {len(sound)} samples")
    return sound


def split_of(key: str) -> str:
    """Seven of ten keys train, one and a half validation and test each."""
    place = int(hashlib.sha256(key.encode()).hexdigest(), 16) % 20
    return "train" if place < 14 else "validation" if place < 17 else "test"


def prompts(root: Path) -> Iterator[tuple[str, str, str, np.ndarray]]:
    """Split, language, text and sound of each prompt, key by key."""
    texts = {language: transcripts(root, language) for language in VOICES}
    for key in KEYS:
        for language, voice in VOICES.items():
            sound = samples(root / "usr/share/asterisk/sounds" / voice / f"{key}.wav")
            yield split_of(key), language, texts[language][key], sound


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for package in PACKAGES:
            unpack_debian(*package, Path(folder))
        found = list(prompts(Path(folder)))
    listed = [[split, language, text, len(sound)] for split, language, text, sound in found]
    head = json.dumps({"rate": RATE, "prompts": listed}, ensure_ascii=False).encode()
    steps = np.diff(np.concatenate([sound for *_, sound in found]), prepend=np.int16(0)).astype(
        "<i2"
    )  # wraps
    body = steps.view(np.uint8).reshape(-1, 2).T.tobytes()
    write_atomically(
        out / "speech.gz", lambda temporary: temporary.write_bytes(compress(head + b"\n" + body))
    )
    print(f"{out / 'speech.gz'}: {len(found)} prompts")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
