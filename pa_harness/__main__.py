"""``python -m pa_harness`` is ``pa-harness``."""

import sys

from pa_harness.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
