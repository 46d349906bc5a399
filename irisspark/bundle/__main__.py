"""``python -m irisspark.bundle``: build the archive."""

import sys

from irisspark.bundle.packing import main

if __name__ == "__main__":
    sys.exit(main())
