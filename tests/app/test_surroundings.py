"""Where a job runs: what lies in its folder, how it was shipped, what its environment says."""

import json
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from running import ROOT, RUN_SECONDS, SPARK_HOME, Cluster, Run, clean_environ, free_port

from irisspark.startup.masters import master_problem

JOB = ["-labelIndex", "4", "-modelPath", "my_model.h5"]
MODULES = (*sys.stdlib_module_names, "keras", "tensorflow", "sitecustomize")
WAIT = "40"  # seconds, in which Spark itself has started on a slow machine
NO_TRACE = ("Traceback", "\tat ", "Exception ignored", "unexpected")


def assert_done(done: subprocess.CompletedProcess[str]) -> None:
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "Accuracy:        0.9733" in done.stdout
    assert [word for word in NO_TRACE if word in output] == [], output


def assert_told(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    output = done.stdout + done.stderr
    assert done.returncode != 0, output
    assert [part for part in parts if part not in output] == [], output
    assert [word for word in NO_TRACE if word in output] == [], output


@pytest.fixture
def full_folder(job_folder: Path) -> Path:
    """A folder whose files bear the names of modules, with an older irisspark among them."""
    for name in MODULES:
        (job_folder / f"{name}.py").write_text(
            f"raise SystemExit('the folder has its say: {name}')"
        )
    for name in ("numpy", "pyarrow", "pandas", "pyspark"):
        (job_folder / name).mkdir()
        (job_folder / name / "__init__.py").write_text("raise SystemExit('the folder has its say')")
    shutil.copytree(ROOT / "irisspark", job_folder / "irisspark")
    for module in (job_folder / "irisspark").rglob("*.py"):
        module.write_text("raise SystemExit('an older one')")
    return job_folder


@pytest.fixture
def shipping(tmp_path: Path) -> tuple[list[str], str]:
    """What ships data in several ways, and the ``-dataPath`` that names it."""
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    iris = ROOT / "irisspark" / "samples" / "iris.txt"
    shutil.copy(iris, elsewhere / "my iris.txt")
    shutil.copy(iris, elsewhere / "plain.txt")
    with zipfile.ZipFile(elsewhere / "data.zip", "w") as archive:
        archive.write(iris, "in/iris.csv")
    files = f"{elsewhere}/my iris.txt,{elsewhere}/plain.txt#alias.csv"
    words = ["--files", files, "--archives", f"{elsewhere}/data.zip#data"]
    return words, "my iris.txt,alias.csv,plain.txt,data/in/iris.csv,data/{in,out}/*.csv"


def test_files_of_the_folder_are_no_modules_and_what_is_shipped_is_found(
    spark_submit: Run, full_folder: Path, archive: Path, shipping: tuple[list[str], str]
) -> None:
    words, data = shipping
    done = spark_submit(
        *("--master", "local[2]", *words, archive, *JOB, f"-dataPath {data}"),
        PYTHONWARNINGS="error",
        PYSPARK_DRIVER_PYTHON="jupyter",
        PYSPARK_DRIVER_PYTHON_OPTS="notebook",
        PYTHONPATH=str(full_folder / "nowhere"),
    )
    assert_done(done)
    assert done.stdout.count("50 times") == 2 or "250 times" in done.stdout  # five times iris


def test_files_of_the_folder_are_no_modules_to_sparks_own_workers(
    spark_submit: Run, full_folder: Path, archive: Path
) -> None:
    words = [
        "--master",
        "local[2]",
        archive,
        *JOB,
        "-dataPath",
        "iris.txt",
        "-fastWorkers",
        "false",
    ]
    assert_done(spark_submit(*words, PYTHONPATH=str(full_folder.parent), PYTHONWARNINGS="error"))


def test_shipped_files_are_found_on_a_cluster_whose_workers_run_the_archive(
    spark_submit: Run,
    full_folder: Path,
    archive: Path,
    shipping: tuple[list[str], str],
    cluster: Cluster,
) -> None:
    words, data = shipping
    words[1] += ",my_model.h5"
    job = [archive, *JOB, "-dataPath", data, "-fastWorkers", "false"]
    assert_done(spark_submit("--master", cluster.master, *words, *job))


def test_workers_with_other_code_end_the_run(
    spark_submit: Run, job_folder: Path, archive: Path, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "irisspark", tmp_path / "old" / "irisspark")
    counting = tmp_path / "old" / "irisspark" / "evaluation" / "worker" / "counting.py"
    counting.write_text(counting.read_text() + "\n# an older one\n")
    (tmp_path / "wrong").mkdir()
    # What a worker's start-up puts first on its path.
    (tmp_path / "wrong" / "sitecustomize.py").write_text(
        "import os, sys\nif 'daemon' in ' '.join(sys.orig_argv):\n"
        f"    sys.path.insert(0, {str(tmp_path / 'old')!r})\n    import irisspark\n"
    )
    words = [
        "--master",
        "local[2]",
        archive,
        *JOB,
        "-dataPath",
        "iris.txt",
        "-fastWorkers",
        "false",
    ]
    done = spark_submit(*words, PYTHONPATH=str(tmp_path / "wrong"))
    assert_told(done, "the workers run another irisspark", str(tmp_path / "old"))


def test_workers_on_other_packages_are_told(
    spark_submit: Run, archive: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "keras-3.0.1.dist-info").mkdir(parents=True)
    about = "Metadata-Version: 2.1\nName: keras\nVersion: 3.0.1\n"
    (theirs / "keras-3.0.1.dist-info" / "METADATA").write_text(about)
    words = ["--master", "local[2]", "--conf", f"spark.executorEnv.PYTHONPATH={theirs}", archive]
    done = spark_submit(*words, *JOB, "-dataPath", "iris.txt", "-fastWorkers", "false")
    assert_done(done)
    told = re.findall("irisspark: the workers run (.*)", done.stdout)
    assert len(told) == 1
    assert told[0].startswith("keras 3.0.1 (")
    assert f"the driver keras {metadata.version('keras')}: numbers may differ" in told[0]


def test_a_locale_that_is_not_utf8_is_named(spark_submit: Run, archive: Path) -> None:
    words = ["--master", "local[2]", archive, *JOB, "-dataPath", "donn\u00e9es.csv"]
    assert_told(spark_submit(*words, LC_ALL="C"), "set LC_ALL=C.UTF-8", "-dataPath donn??es.csv")


def run_command(folder: Path, words: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=folder,
        env=clean_environ(**environ),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )


@pytest.fixture(scope="module")
def nameless() -> list[str]:
    """What runs a command as a user id that has no name, nor a home folder."""
    words = ["unshare", "-U", "--map-user=4711", "--map-group=4711", "env", "-u", "HOME"]
    if subprocess.run([*words, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody take another user id")
    return words


def test_submit_sh_runs_for_a_user_without_a_name_whom_spark_submit_refuses(
    checkout: Path, job_folder: Path, nameless: list[str]
) -> None:
    job = [*nameless, str(checkout / "submit.sh"), *JOB, "-dataPath"]
    assert_done(run_command(job_folder, [*job, "iris.txt"], MASTER="local[2]"))
    missing = run_command(job_folder, [*job, "none.txt"], MASTER="local[2]")
    assert_told(missing, "-dataPath none.txt: there is no such file")


def test_a_user_without_a_name_a_dead_notebook_and_a_folder_that_may_not_be_written(
    archive: Path, job_folder: Path, nameless: list[str]
) -> None:
    job = [sys.executable, str(archive), *JOB, "-dataPath", "iris.txt"]
    (job_folder / "n\u00e4me.csv").write_bytes((job_folder / "iris.txt").read_bytes())
    job[-1] = "n\u00e4me.csv"
    job_folder.chmod(0o555)
    environ = {"PYSPARK_GATEWAY_PORT": str(free_port()), "PYSPARK_GATEWAY_SECRET": "dead"}
    environ |= {"PYSPARK_SUBMIT_ARGS": "--master local[2]", "LC_ALL": "C"}
    assert_done(run_command(job_folder, [*nameless, *job], **environ))


NOTEBOOK = """
import json, os, subprocess, sys
from pyspark import SparkConf, SparkContext

context = SparkContext(conf=SparkConf().setMaster("local[1]").set("spark.ui.enabled", "false"))
given = context._gateway.gateway_parameters
secret = given.auth_token
environ = dict(os.environ, PYSPARK_GATEWAY_PORT=str(given.port), PYSPARK_GATEWAY_SECRET=secret)
done = subprocess.run(sys.argv[1:], env=environ, capture_output=True, text=True)
alive = context.parallelize([1, 2], 2).sum() == 3
print(json.dumps({"code": done.returncode, "out": done.stdout, "err": done.stderr, "alive": alive}))
"""


def test_a_notebooks_own_spark_is_left_alone(archive: Path, job_folder: Path) -> None:
    job = [sys.executable, str(archive), *JOB, "-dataPath", "iris.txt", "-useSparkLocal", "true"]
    notebook = run_command(job_folder, [sys.executable, "-c", NOTEBOOK, *job])
    told = json.loads(notebook.stdout.splitlines()[-1])
    assert told["alive"]
    assert_done(subprocess.CompletedProcess(job, told["code"], told["out"], told["err"]))


@pytest.fixture
def lonely_master(tmp_path: Path) -> Iterator[str]:
    """The URL of a master that has no workers."""
    port = free_port()
    command = [SPARK_HOME / "bin" / "spark-class", "org.apache.spark.deploy.master.Master"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--webui-port", str(free_port())]
    log = tmp_path / "master.log"
    with log.open("w") as output:
        environ = clean_environ(SPARK_HOME=str(SPARK_HOME))
        master = subprocess.Popen(command, env=environ, stdout=output, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + RUN_SECONDS
    while "New state: ALIVE" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    yield f"spark://127.0.0.1:{port}"
    master.terminate()
    master.wait()


def test_a_cluster_without_executors_is_told_and_waited_for_as_long_as_is_said(
    spark_submit: Run, archive: Path, lonely_master: str
) -> None:
    words = ["--master", lonely_master, "--executor-memory", "2g", "--total-executor-cores", "4"]
    files = ["--files", "iris.txt,my_model.h5"]
    done = spark_submit(*words, *files, archive, *JOB, "-dataPath", "iris.txt", "-waitFor", WAIT)
    assert_told(
        done,
        "no executor after",
        "2g of memory",
        "4 cores in all",
        "has no workers",
        f"-waitFor {WAIT}",
    )


def test_a_cluster_too_small_says_what_it_has(
    spark_submit: Run, archive: Path, cluster: Cluster
) -> None:
    words = [
        "--master",
        cluster.master,
        "--executor-memory",
        "64g",
        "--files",
        "iris.txt,my_model.h5",
    ]
    done = spark_submit(*words, archive, *JOB, "-dataPath", "iris.txt", "-waitFor", WAIT)
    assert_told(
        done, "no executor after", "64g of memory", "2 workers", "3072 of 3072 MiB and 2 of 2 cores"
    )


def test_what_spark_cannot_start_with_is_told_in_a_line(spark_submit: Run, archive: Path) -> None:
    job = [archive, *JOB, "-dataPath", "iris.txt"]
    assert_told(
        spark_submit("--master", "local[two]", *job), "--master local[two]: no Spark master"
    )
    done = spark_submit("--master", "local[2]", "--files", "/no/such.csv", *job)
    assert_told(done, "Spark did not start: File file:/no/such.csv does not exist")


@pytest.mark.parametrize(
    ("master", "is_one"),
    [
        *(
            (m, True)
            for m in ("local", "local[*]", "local[4]", "local[2, 3]", "local[*,2]", "yarn")
        ),
        *((m, True) for m in ("spark://h:7077", "spark://a:1,b:2", "k8s://https://h:6443")),
        *((m, True) for m in ("local-cluster[2, 1, 1024]",)),
        *(
            (m, False)
            for m in ("", "foo", "local[0]", "local[-1]", "local[x]", "local [2]", "locals")
        ),
        *(
            (m, False)
            for m in ("spark://", "spark:/h:7077", "http://h:8080", "yarn-client", "h:7077")
        ),
    ],
)
def test_what_a_master_may_be_called(master: str, is_one: bool) -> None:
    assert (master_problem(master) is None) == is_one
