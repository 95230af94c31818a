"""What can go wrong in a set-up, and the sentence that says what to do about it."""

import platform
import re

NO_ANSWER = (
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|Read timed out"
    r"|IncompleteRead|ProxyError|Connection (reset|refused|aborted)"
    r"|Temporary failure in name resolution|Network is unreachable|getaddrinfo failed"
)
# A pattern in the output of pip or venv, and the sentence for it; the first that matches counts.
EXPLANATIONS = {
    r"No space left|Errno 28|not enough space": "The disk is full. Make room, then run this again.",
    r"CERTIFICATE_VERIFY_FAILED": "The package index shows a certificate that this Python does not "
    "trust, as behind a company's proxy: name that proxy's certificate with "
    "`pip config set global.cert FILE`, then run this again.",
    NO_ANSWER: "The package index does not answer: check the network and run this again.",
    r"No matching distribution found for (?P<name>[\w.-]+)": "pip finds no {name} for Python "
    "{python} on {machine}. README.md lists the systems that have one; Python 3.11 is the safest.",
    r"(?P<refused>.*(Permission denied|WinError (5|32)\b).*)": "A file may not be written: close "
    "what uses it, or make yourself its owner. ({refused})",
    r"DO NOT MATCH THE HASHES|BadZipFile|invalid wheel": "A package arrived damaged. "
    "Run this again.",
    r"ensurepip|No module named '?venv": "This Python cannot make environments. On Debian or "
    "Ubuntu: `sudo apt install python3-venv`; elsewhere run start.py with the Python from "
    "python.org.",
}


class StartError(Exception):
    """A problem that the reader can solve; the message is the sentence that says how."""


def explain(lines: list[str]) -> str:
    """The sentence for what pip or venv could not do, or else the last lines that speak of it.

    Args:
        lines: what the program printed.
    """
    output = "\n".join(lines)
    for pattern, sentence in EXPLANATIONS.items():
        found = re.search(pattern, output)
        if found:
            python, machine = platform.python_version(), f"{platform.system()} {platform.machine()}"
            return sentence.format(python=python, machine=machine, **found.groupdict())
    errors = [line for line in lines if "error" in line.lower()]
    shown = errors or [line for line in lines if line.strip()]
    reason = "\n".join(f"    {line.strip()}" for line in shown[-4:])
    return f"The set-up stopped; this was the reason given:\n{reason}"
