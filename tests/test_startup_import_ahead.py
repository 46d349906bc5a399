"""An import that hangs, as on a disk that does not answer, is told and ended."""

import subprocess
import sys
import threading
import time

import pytest

from irisspark.startup.import_ahead import wait_for_import

IN_PYTHON = "import time; time.sleep(60)"
IN_C_CODE = "import re; re.match('(a+)+$', 'a' * 60 + 'b')"  # which keeps Python's lock

PROGRAM = """
import sys
from irisspark.errors import IrissparkError
from irisspark.startup import import_ahead
from irisspark.startup.descriptors import silent_errors

def import_tensorflow():
    with silent_errors():
        exec(sys.argv[1])

import_ahead.SAY_SECONDS, import_ahead.GIVE_UP_SECONDS, import_ahead._GRACE_SECONDS = 0.3, 1.0, 0.5
import_ahead.import_tensorflow = import_tensorflow
importing = import_ahead.importing_ahead()
importing.start()
try:
    import_ahead.wait_for_import(importing)
except IrissparkError as error:
    sys.exit(f"irisspark: {error}")
"""


@pytest.mark.parametrize("work", [IN_PYTHON, IN_C_CODE])
def test_an_import_that_hangs_is_told_and_then_the_run_ends(work):
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, work], capture_output=True, text=True, timeout=50
    )
    assert time.monotonic() - started < 30
    assert done.returncode == 1
    where = f"from {sys.prefix}: its disk is very slow, or does not answer"
    assert done.stderr.splitlines() == [
        f"irisspark: TensorFlow is still being imported after 0 s, {where}; waiting on",
        f"irisspark: TensorFlow could not be imported within 1 s, {where}",
    ]


def test_an_import_that_ends_is_waited_for_in_silence(capfd):
    importing = threading.Thread(target=time.sleep, args=(0.3,))
    wait_for_import(None)
    wait_for_import(importing)  # it has not begun
    importing.start()
    wait_for_import(importing)
    assert not importing.is_alive()
    assert capfd.readouterr() == ("", "")
