"""`python -m fmcourse`: see `fmcourse.cli`."""

import sys

from fmcourse.cli import main

if __name__ == "__main__":
    for stream in (
        sys.stdout,
        sys.stderr,
    ):  # a terminal that lacks a sign gets a question mark, not an error
        stream.reconfigure(errors="replace")
    sys.exit(main())
