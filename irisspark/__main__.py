"""The door: of the archive, of ``python -m irisspark`` and of spark-submit's ``--py-files``."""

import atexit
import gc
import os
import sys

from irisspark.imports import prefer_unpacked_spark

_OUTPUT_LOST = 120  # what Python itself ends with where its last output cannot be written


def _end(code: int) -> None:
    """End the process without taking TensorFlow's modules apart first, which takes a second."""
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or _OUTPUT_LOST
    os._exit(code)


if __name__ == "__main__":
    gc.disable()  # until everything is imported: there is nothing to collect in modules
    prefer_unpacked_spark()
    from irisspark.cli import main

    gc.enable()
    _end(main(sys.argv[1:]))
