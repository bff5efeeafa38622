"Fetches the parent of benchmarks and slow tests into the user's cache, and prints where it lies: `make parent`."

import sys

from lts_nb.shaping.real_parent import fetch_real_parent

if __name__ == "__main__":
    try:
        print(fetch_real_parent())
    except (OSError, ValueError) as error:
        sys.exit(str(error))
