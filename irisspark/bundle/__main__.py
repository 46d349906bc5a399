"""``python -m irisspark.bundle``: build the archive."""

from __future__ import annotations

import sys

from irisspark.bundle.packing import main

if __name__ == "__main__":
    sys.exit(main())
