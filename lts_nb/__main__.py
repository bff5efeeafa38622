"""`python -m lts_nb` is `lts`."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
