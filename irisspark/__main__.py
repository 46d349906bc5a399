"""The door: of the archive, of ``python -m irisspark`` and of spark-submit's ``--py-files``."""

import sys

from irisspark.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
