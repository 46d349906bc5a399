"""What Spark says of jobs whose processes were killed, in the words of its own versions."""

# ruff: noqa: E501  # as Spark writes them

import pytest

from irisspark.startup.job_errors import Place, cause, is_crash, is_final, job_problem, overhead_mb

LOST = "Job aborted due to stage failure: Task 1 in stage 3.0 failed 4 times, most recent failure: "
STANDALONE = (
    f"{LOST}Lost task 1.3 in stage 3.0 (TID 9) (10.0.0.2 executor 5): ExecutorLostFailure (executor 5 "
    "exited caused by one of the running tasks) Reason: Command exited with code 137\nDriver stacktrace:"
)
YARN = (
    f"{LOST}Lost task 1.3 in stage 3.0 (TID 9) (node7 executor 2): ExecutorLostFailure (executor 2 "
    "exited caused by one of the running tasks) Reason: Container killed by YARN for exceeding "
    "physical memory limits. 2.1 GB of 2 GB physical memory used. Consider boosting "
    "spark.executor.memoryOverhead.\nDriver stacktrace:"
)
YARN_143 = (
    f"{LOST}ExecutorLostFailure (executor 2 exited caused by one of the running tasks) Reason: "
    "Container from a bad node: container_1 on host: node7. Exit status: 143. Diagnostics: Killed"
)
KUBERNETES = (
    f"{LOST}ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: "
    "The executor with id 1 exited with exit code 137(SIGKILL, possible container OOM)."
)
CRASHED = (
    "An error occurred while calling z:org.apache.spark.api.python.PythonRDD.collectAndServe.\n"
    ": org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 1.0 failed "
    "1 times, most recent failure: Lost task 0.0 in stage 1.0 (TID 2) (vm executor driver): "
    "org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)\n"
    "\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator$$anonfun$1.apply\n"
    "Caused by: java.io.EOFException\n\tat java.base/java.io.DataInputStream.readInt\n"
)
NOT_FOUND = (
    "An error occurred while calling z:org.apache.spark.api.python.PythonRDD.collectAndServe.\n"
    ": org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 0.0 failed 1 "
    "times, most recent failure: Lost task 0.0 in stage 0.0 (TID 0) (h executor driver): "
    "org.apache.spark.SparkException: \nError from python worker:\n  /usr/bin/python3: Error while "
    "finding module specification for 'irisspark.startup.worker_daemon' (ModuleNotFoundError: No "
    "module named 'irisspark')\nPYTHONPATH was:\n  /x.zip\norg.apache.spark.SparkException: No port "
    "number in irisspark.startup.worker_daemon's stdout\n\tat org.apache.spark.errors.X\n"
)
RAISED = (
    "An error occurred while calling X.\n: org.apache.spark.SparkException: Job aborted due to stage "
    "failure: Lost task 0.0 in stage 0.0 (TID 0) (h executor driver): "
    "org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n"
    '  File "x.py", line 1, in f\n    raise ValueError("seven")\nValueError: seven\n\n\tat org.apache\n'
)


class SparkError(Exception):
    """As py4j raises it."""

    @property
    def java_exception(self) -> "SparkError":
        return self

    def getMessage(self) -> str:  # noqa: N802
        return str(self)


SOMEWHERE = Place("yarn", 8, {})


def setting(**values: str) -> dict[str, str]:
    return {f"spark.executor.{name}": value for name, value in values.items()}


@pytest.mark.parametrize(
    ("text", "master", "settings", "said"),
    [
        (STANDALONE, "spark://m:7077", {"cores": "4"}, ["code 137", "spark.executor.cores=2"]),
        (YARN, "yarn", {"memoryOverhead": "3g", "cores": "2"},
         ["exceeding physical memory limits", "memoryOverhead=6144m", "cores=1"]),
        (YARN, "yarn", {"memoryOverhead": "100m"}, ["memoryOverhead=1408m"]),
        (YARN_143, "yarn", {}, ["status: 143", "memoryOverhead=2816m"]),
        (KUBERNETES, "k8s://https://c", {"memory": "20g"}, ["code 137", "memoryOverhead=6144m"]),
        (CRASHED, "local[8]", {}, ["too little memory", "--master local[4] in place of local[8]"]),
        (CRASHED, "spark://m:7077", {}, ["a worker's process died", "spark.executor.cores=1"]),
    ],
)  # fmt: skip
def test_killed_processes_are_a_line_with_a_setting_and_a_number(text, master, settings, said):
    line = job_problem(SparkError(text), Place(master, 8, setting(**settings)))
    assert line is not None
    assert "\n" not in line
    assert "memory" in line
    assert all(words in line for words in said), line


@pytest.mark.parametrize(
    "text",
    [
        "[PYTHON_VERSION_MISMATCH] Python in worker has different version: 3.12 than that in driver: "
        "3.11, PySpark cannot run with different minor versions.",
        "[PYTHON_VERSION_MISMATCH] Python in worker has different version (3, 12) than that in "
        "driver 3.11, PySpark cannot run with different minor versions.",
    ],
)
def test_another_python_is_a_line_that_names_both(text):
    line = job_problem(SparkError(f"Traceback (most recent call last):\n{text}\n"), SOMEWHERE)
    assert line is not None
    assert line.startswith("the workers run Python 3.12, and the driver Python 3.11: ")


def test_what_another_daemon_would_not_mend_is_final():
    assert is_final(SparkError(YARN))
    assert is_final(SparkError(STANDALONE))
    assert not is_final(SparkError(NOT_FOUND))
    assert not is_final(SparkError(CRASHED))
    assert not is_final(ConnectionResetError("executor 1 lost"))


def test_other_errors_are_not_explained_by_memory():
    assert job_problem(SparkError(RAISED), Place("yarn", 8, setting())) is None
    assert "memory" not in str(job_problem(SparkError(NOT_FOUND), Place("local[2]", 2, setting())))
    # The connection to the JVM itself: there is no Spark to run the job again.
    assert not is_crash(ConnectionResetError("Connection reset by peer"))
    assert is_crash(SparkError(CRASHED))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (NOT_FOUND, "(ModuleNotFoundError: No module named 'irisspark')"),
        (RAISED, "ValueError: seven"),
        (CRASHED, "Python worker exited unexpectedly (crashed)"),
        ("Something.\nElse.", "Something."),
    ],
)
def test_cause_is_the_line_that_says_why(text, line):
    assert cause(Exception(text)).endswith(line)
    assert "\n" not in cause(Exception(text))


@pytest.mark.parametrize(
    ("settings", "megabytes"),
    [({}, 384 + 1024), ({"cores": "4"}, 384 + 4096), ({"memory": "20g", "cores": "2"}, 2048 + 2048),
     ({"memory": "4096m"}, 409 + 1024), ({"memory": "nonsense"}, 384 + 1024)],
)  # fmt: skip
def test_overhead_holds_a_tensorflow_a_core(settings, megabytes):
    assert overhead_mb(setting(**settings)) == megabytes
