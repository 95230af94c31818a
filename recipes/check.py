"""Make every file again from the public packages and compare what it holds with what ships.

Run      python recipes/check.py [NAME ...]     Takes     about five minutes; Debian or Ubuntu
"""

import hashlib
import subprocess
import sys
import tempfile
import tomllib
from gzip import decompress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def is_same(recipe: str, file: str, contents_sha256: str) -> bool:
    """Does the recipe, run in an empty folder, make a file that holds what the manifest says?"""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, ROOT / recipe, folder], check=True)
        contents = decompress((Path(folder) / file).read_bytes())
    return hashlib.sha256(contents).hexdigest() == contents_sha256


def main(names: list[str]) -> int:
    manifest = tomllib.loads((ROOT / "data/manifest.toml").read_text(encoding="utf-8"))
    wrong = []
    for name in names or manifest:
        entry = manifest[name]
        equal = is_same(entry["recipe"], entry["file"], entry["contents_sha256"])
        print(f"{name:15}{entry['recipe']:26}{'equal' if equal else 'DIFFERS'}", flush=True)
        wrong += [] if equal else [name]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
