"""`python -m fmcourse`: see `fmcourse.cli`."""

import sys

from fmcourse.cli import main

if __name__ == "__main__":
    sys.exit(main())
