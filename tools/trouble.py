"""What can go wrong in a set-up, and the sentence that says how to mend it."""

import platform
import re

NO_ANSWER = (
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|Read timed out|IncompleteRead|ProxyError"
    r"|Connection (reset|refused|aborted)|Temporary failure in name resolution|Network is unreachable|getaddrinfo failed"
)
EXPLANATIONS = {
    r"No space left|Errno 28|not enough space": "The disk is full. Make room, then run this again.",
    r"CERTIFICATE_VERIFY_FAILED": "The package index shows a certificate that this Python does not trust, as behind a "
    "company's proxy: name that proxy's certificate with `pip config set global.cert FILE`, then run this again.",
    NO_ANSWER: "The package index does not answer: check the network and run this again.",
    r"No matching distribution found for (?P<name>[\w.-]+)": "pip finds no {name} for Python {python} on {machine}. "
    "Python 3.11 on Linux, Windows or a Mac with an Apple chip is the surest.",
    r"(?P<refused>.*(Permission denied|WinError (5|32)\b).*)": "A file may not be written: close what uses it, or take it "
    "into your hands. ({refused})",
    r"DO NOT MATCH THE HASHES|BadZipFile|invalid wheel": "A package arrived damaged. Run this again.",
    r"ensurepip|No module named '?venv": "This Python cannot make environments. On Debian or Ubuntu: `sudo apt install "
    "python3-venv`; elsewhere run start.py with the Python from python.org.",
}


class StartError(Exception):
    """Something that the reader can mend; the message is the sentence that says how."""


def explain(lines: list[str]) -> str:
    """The sentence for what pip or venv could not do, or else the lines that matter."""
    said = "\n".join(lines)
    for pattern, sentence in EXPLANATIONS.items():
        found = re.search(pattern, said)
        if found:
            machine = f"{platform.system()} {platform.machine()}"
            return sentence.format(
                python=platform.python_version(), machine=machine, **found.groupdict()
            )
    errors = [line for line in lines if "error" in line.lower()] or [
        line for line in lines if line.strip()
    ]
    return "The set-up stopped; this was the reason given:\n" + "\n".join(
        f"    {line.strip()}" for line in errors[-4:]
    )
