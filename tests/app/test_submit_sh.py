"""submit.sh: what it hands to spark-submit (a stand-in that notes it), and whole real runs."""

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from running import ROOT, RUN_SECONDS, SPARK_HOME, Cluster, clean_environ, free_port

from irisspark.bundle import python_archive
from irisspark.bundle.tarball import write_tarball
from irisspark.submit.environment import MARKER

OUR_FLAGS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
JOB = ["-modelPath", "my_model.h5", "-dataPath", "iris.txt"]
PYTHON_DIR = str(Path(sys.executable).parent)

STAND_IN = f"""#!{sys.executable}
import json, os, sys
noted = {{"words": sys.argv[1:], "environ": dict(os.environ), "folder": os.getcwd()}}
with open(os.environ["NOTES"], "w") as notes:
    json.dump(noted, notes)
sys.exit(int(os.environ.get("STAND_IN_EXIT", "0")))
"""

JAVA = """#!/bin/sh
echo 'openjdk version "{}"' >&2
"""


@dataclass
class SubmitSh:
    """A checkout with submit.sh, a Spark whose spark-submit only takes notes, and a user's folder.

    Attributes:
        script: The script of the checkout.
        spark_home: The Spark, whose conf/ a test may fill.
        folder: Where the user stands.
        environ: What the user has exported.
    """

    script: Path
    spark_home: Path
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> dict[str, object]:
        return dict(json.loads((self.spark_home / "notes.json").read_text()))

    @property
    def words(self) -> list[str]:
        return list(self.notes["words"])

    @property
    def exported(self) -> dict[str, str]:
        return dict(self.notes["environ"])

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.script, *words],
            cwd=self.folder,
            start_new_session=True,
            env=clean_environ(
                SPARK_HOME=str(self.spark_home),
                NOTES=str(self.spark_home / "notes.json"),
                **self.environ,
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        stdout, stderr = process.communicate(timeout=RUN_SECONDS)
        return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)

    def run_well(self, *words: str) -> list[str]:
        """Run, and give the words that spark-submit got."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return self.words

    def configure(self, text: str, name: str = "spark-defaults.conf") -> None:
        conf = self.spark_home / "conf"
        conf.mkdir(exist_ok=True)
        (conf / name).write_text(text)


@pytest.fixture
def submit_sh(checkout: Path, archive: Path, tmp_path: Path) -> SubmitSh:
    for built in (archive, archive.with_suffix(".jar")):
        shutil.copy(built, checkout)
    spark_home = tmp_path / "a spark"
    (spark_home / "bin").mkdir(parents=True)
    (spark_home / "jars").symlink_to(SPARK_HOME / "jars")
    (spark_home / "bin" / "spark-submit").write_text(STAND_IN)
    (spark_home / "bin" / "spark-submit").chmod(0o755)
    folder = tmp_path / "user's folder"
    folder.mkdir()
    for name in ("my_model.h5", "iris.txt"):
        (folder / name).touch()
    return SubmitSh(checkout / "submit.sh", spark_home, folder)


def values(words: list[str], option: str) -> list[str]:
    return [value for word, value in itertools.pairwise(words) if word == option]


def flags(words: list[str]) -> str:
    (found,) = values(words, "--driver-java-options")
    return found


# What a plain job gets


def test_local_job_is_quiet_and_starts_fast(submit_sh: SubmitSh) -> None:
    words = submit_sh.run_well(*JOB)
    assert values(words, "--master") == ["local[*]"]
    assert values(words, "--conf") == ["spark.log.level=WARN", "spark.ui.enabled=false"]
    log4j = (submit_sh.script.parent / "conf" / "log4j2.properties").as_uri()
    assert flags(words) == f"{OUR_FLAGS} -Dlog4j2.configurationFile={log4j}"
    assert words[-5:] == [str(submit_sh.script.parent / "irisspark.zip"), *JOB]
    assert "--files" not in words


def test_job_runs_in_the_callers_folder(submit_sh: SubmitSh) -> None:
    submit_sh.run_well(*JOB)
    assert submit_sh.notes["folder"] == str(submit_sh.folder)


def test_symlink_to_the_script_finds_the_checkout(submit_sh: SubmitSh) -> None:
    link = submit_sh.folder / "link to submit"
    link.symlink_to(os.path.relpath(submit_sh.script, submit_sh.folder))
    archive = str(submit_sh.script.parent / "irisspark.zip")
    submit_sh.script = link
    assert archive in submit_sh.run_well(*JOB)


def test_exit_code_is_the_jobs(submit_sh: SubmitSh) -> None:
    submit_sh.environ["STAND_IN_EXIT"] = "3"
    assert submit_sh.run(*JOB).returncode == 3


def test_words_with_spaces_and_quotes_arrive_whole(submit_sh: SubmitSh) -> None:
    job = ["-modelPath", "no 'such' \"model\" $HOME *.h5", "-classNames", "a,b c"]
    assert submit_sh.run_well(*job)[-4:] == job


def test_verbose_job_keeps_sparks_log(submit_sh: SubmitSh) -> None:
    words = submit_sh.run_well(*JOB, "-verbose=True")
    assert values(words, "--conf") == ["spark.ui.enabled=false"]
    assert flags(words) == OUR_FLAGS


def test_no_arguments_run_the_demo(submit_sh: SubmitSh) -> None:
    checkout = submit_sh.script.parent
    (checkout / "my_model.h5").touch()
    words = submit_sh.run_well()
    assert values(words, "-modelPath") == [str(checkout / "my_model.h5")]
    assert values(words, "-dataPath") == [str(checkout / "irisspark/samples/iris.txt")]


# What the user and the administrators have configured


def test_users_master_wins_over_the_variable(submit_sh: SubmitSh) -> None:
    submit_sh.environ["MASTER"] = "local[7]"
    words = submit_sh.run_well("--master=local[2]", "--", *JOB)
    assert "--master" not in words
    assert words[0] == "--master=local[2]"


def test_master_variable_wins_over_defaults(submit_sh: SubmitSh) -> None:
    submit_sh.configure("spark.master local[3]\n")
    submit_sh.environ["MASTER"] = "local[2]"
    assert values(submit_sh.run_well(*JOB), "--master") == ["local[2]"]


def test_default_master_is_left_to_spark_and_ships_files(submit_sh: SubmitSh) -> None:
    submit_sh.configure("spark.master = spark://far:7077\n")
    words = submit_sh.run_well(*JOB)
    assert "--master" not in words
    assert len(values(words, "--files")) == 1


def test_administrators_defaults_stand(submit_sh: SubmitSh) -> None:
    submit_sh.configure(
        "# ours\nspark.ui.enabled: true\nspark.log.level\tERROR\n"
        "spark.driver.extraJavaOptions -Dsite=1 -XX:+UseG1GC\n"
    )
    words = submit_sh.run_well(*JOB)
    assert not values(words, "--conf")
    assert flags(words).startswith("-XX:TieredStopAtLevel=1 -Dlog4j2.")
    assert flags(words).endswith(" -Dsite=1 -XX:+UseG1GC")


def test_conf_dir_variable_names_the_active_defaults(submit_sh: SubmitSh) -> None:
    submit_sh.configure("spark.ui.enabled true\n")
    (submit_sh.folder / "site").mkdir()
    (submit_sh.folder / "site" / "spark-defaults.conf").write_text("spark.log.level INFO\n")
    submit_sh.environ["SPARK_CONF_DIR"] = str(submit_sh.folder / "site")
    assert values(submit_sh.run_well(*JOB), "--conf") == ["spark.ui.enabled=false"]
    assert submit_sh.exported["SPARK_CONF_DIR"] == str(submit_sh.folder / "site")


def test_users_conf_stands(submit_sh: SubmitSh) -> None:
    spark = ["--conf", "spark.ui.enabled=true", "-c", "spark.log.level=INFO"]
    words = submit_sh.run_well(*spark, "--driver-java-options", "-Dmine=1", "--", *JOB)
    assert values(words, "--conf") == ["spark.ui.enabled=true"]
    assert values(words, "--driver-java-options")[-1].endswith(" -Dmine=1")


def test_users_properties_file_stands_in_for_the_defaults(submit_sh: SubmitSh) -> None:
    submit_sh.configure("spark.log.level ERROR\n")
    (submit_sh.folder / "my.conf").write_text("spark.ui.enabled true\nspark.master local[2]\n")
    words = submit_sh.run_well("--properties-file", "my.conf", "--", *JOB)
    assert values(words, "--conf") == ["spark.log.level=WARN"]
    assert "--master" not in words


def test_nothing_hides_the_clusters_configuration(submit_sh: SubmitSh) -> None:
    words = submit_sh.run_well(*JOB)
    assert "--properties-file" not in words
    assert "SPARK_CONF_DIR" not in submit_sh.exported


@pytest.mark.parametrize("variable", ["SPARK_SUBMIT_OPTS", "JDK_JAVA_OPTIONS"])
def test_users_collector_is_the_only_one(submit_sh: SubmitSh, variable: str) -> None:
    submit_sh.environ[variable] = "-XX:+UseParallelGC"
    assert "UseSerialGC" not in flags(submit_sh.run_well(*JOB))


def test_log4j_file_of_the_cluster_stands(submit_sh: SubmitSh) -> None:
    submit_sh.configure("rootLogger.level = info\n", "log4j2.properties")
    assert flags(submit_sh.run_well(*JOB)) == OUR_FLAGS


def test_log4j_template_is_no_configuration(submit_sh: SubmitSh) -> None:
    submit_sh.configure("rootLogger.level = info\n", "log4j2.properties.template")
    assert "log4j2.configurationFile" in flags(submit_sh.run_well(*JOB))


def test_stray_word_among_sparks_options_is_a_usage_error(submit_sh: SubmitSh) -> None:
    done = submit_sh.run("--conf", "a=b", "app.jar", "--", *JOB)
    assert (done.returncode, done.stderr) == (
        2,
        "irisspark: app.jar: stray word among Spark's options, before --\n",
    )


def test_empty_value_of_sparks_options_is_one(submit_sh: SubmitSh) -> None:
    words = submit_sh.run_well("--jars", "", "--conf", "a=", "--", *JOB)
    assert words[:4] == ["--jars", "", "--conf", "a="]


# Python for driver and workers


def test_driver_and_workers_get_the_venvs_python(submit_sh: SubmitSh) -> None:
    submit_sh.run_well(*JOB)
    python = str(submit_sh.script.parent / ".venv" / "bin" / "python")
    assert submit_sh.exported["PYSPARK_PYTHON"] == python
    assert submit_sh.exported["PYSPARK_DRIVER_PYTHON"] == python
    assert "PYTHONPATH" not in submit_sh.exported


def test_users_python_stands(submit_sh: SubmitSh) -> None:
    submit_sh.environ["PYSPARK_PYTHON"] = "/opt/python"
    submit_sh.run_well(*JOB)
    assert submit_sh.exported["PYSPARK_PYTHON"] == "/opt/python"
    assert "PYSPARK_DRIVER_PYTHON" not in submit_sh.exported


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("spark-defaults.conf", "spark.pyspark.python /opt/python\n"),
        ("spark-env.sh", "PYSPARK_PYTHON=${PYSPARK_PYTHON:-/opt/python}\n"),
    ],
)
def test_administrators_python_stands(submit_sh: SubmitSh, name: str, text: str) -> None:
    submit_sh.configure(text, name)
    submit_sh.run_well(*JOB)
    assert "PYSPARK_PYTHON" not in submit_sh.exported


def test_workers_elsewhere_are_told_of(submit_sh: SubmitSh) -> None:
    done = submit_sh.run("--master", "spark://far:7077", "--", *JOB)
    assert "set PYSPARK_PYTHON" in done.stderr


# Shipping


@pytest.mark.parametrize(
    "job",
    [
        ["-modelPath", "{}/my_model.h5", "-dataPath", "iris.txt"],
        ["-modelFileName", "my_model.h5", "-dataFileName", "{}/iris.txt"],
        ["--modelPath=./my_model.h5", "-dataPath=iris.txt"],
    ],
)
def test_local_files_are_shipped_by_base_name(submit_sh: SubmitSh, job: list[str]) -> None:
    folder = str(submit_sh.folder)
    words = submit_sh.run_well(
        "--master", "spark://far:7077", "--", *[word.format(folder) for word in job]
    )
    assert values(words, "--files") == [f"{folder}/my_model.h5,{folder}/iris.txt"]
    end = words[words.index(str(submit_sh.script.parent / "irisspark.zip")) + 1 :]
    shown = [word.replace("{}/", "").replace("./", "") for word in job]
    assert end == shown
    assert flags(words).startswith("-Dlog4j2.")
    assert values(words, "--conf") == ["spark.log.level=WARN"]


def test_default_names_are_shipped_where_they_are(submit_sh: SubmitSh) -> None:
    (submit_sh.folder / "data.csv").touch()
    words = submit_sh.run_well("--master", "yarn", "--", "-modelPath", "hdfs:///m.h5")
    assert values(words, "--files") == [f"{submit_sh.folder}/data.csv"]


def test_uris_folders_and_globs_are_not_shipped(submit_sh: SubmitSh) -> None:
    (submit_sh.folder / "days").mkdir()
    job = ["-modelPath", "s3a://b/m.h5", "-dataPath", "days,*.txt,file:///shared/x.csv"]
    words = submit_sh.run_well("--master", "yarn", "--", *job)
    assert "--files" not in words
    assert words[-4:] == job


def test_users_own_files_are_shipped_too(submit_sh: SubmitSh) -> None:
    spark = ["--master", "yarn", "--files", "iris.txt,/etc/hosts#h"]
    words = submit_sh.run_well(*spark, "--", *JOB)
    assert values(words, "--files")[-1] == f"iris.txt,/etc/hosts#h,{submit_sh.folder}/my_model.h5"


def test_files_of_the_defaults_are_shipped_too(submit_sh: SubmitSh) -> None:
    submit_sh.configure("spark.files /etc/hosts\n")
    words = submit_sh.run_well("--master", "yarn", "--", *JOB)
    assert values(words, "--files")[0].startswith("/etc/hosts,")


def test_two_files_of_one_name_are_an_error(submit_sh: SubmitSh) -> None:
    (submit_sh.folder / "old").mkdir()
    (submit_sh.folder / "old" / "iris.txt").touch()
    job = ["-dataPath", "iris.txt,old/iris.txt"]
    done = submit_sh.run("--master", "yarn", "--", *job)
    assert done.returncode == 2
    assert "-dataPath old/iris.txt: --files ships" in done.stderr
    assert "under the same name" in done.stderr


def test_name_that_files_would_split_is_an_error(submit_sh: SubmitSh) -> None:
    (submit_sh.folder / "a,b.csv").touch()
    done = submit_sh.run("--master", "yarn", "--", "-dataPath", "a,b.csv")
    assert done.returncode == 2
    assert "--files cannot ship" in done.stderr


def test_cluster_mode_submits_the_jar_without_flags_of_this_machine(submit_sh: SubmitSh) -> None:
    words = submit_sh.run_well("--master", "spark://far:7077", "--deploy-mode=cluster", "--", *JOB)
    assert str(submit_sh.script.parent / "irisspark.jar") in words
    assert "--driver-java-options" not in words


def test_results_that_cluster_mode_would_lose_are_told_before_the_work(submit_sh: SubmitSh) -> None:
    on_driver = "the machine that the cluster chooses"
    for more, told in (
        ((), f"the report is printed on {on_driver}"),
        (("-outputPath", "out"), f"-outputPath out is a folder on {on_driver}"),
        (("-outputPath=/shared/out",), f"-outputPath /shared/out is a folder on {on_driver}"),
        (("-outputPath", "file:///shared/out"), None),
        (("-outputPath", "hdfs:///out"), None),
    ):
        words = ("--master", "spark://far:7077", "--deploy-mode", "cluster", "--", *JOB, *more)
        done = submit_sh.run(*words)
        assert done.returncode == 0, done.stderr
        said = [line for line in done.stderr.splitlines() if "PYSPARK_PYTHON" not in line]
        assert len(said) == bool(told) and (told or "") in "".join(said)


# What has to be there first


def test_stale_archive_is_built_anew(submit_sh: SubmitSh) -> None:
    archive = submit_sh.script.parent / "irisspark.zip"
    before = archive.read_bytes()
    with (submit_sh.script.parent / "irisspark" / "errors.py").open("a") as module:
        module.write("# changed\n")
    submit_sh.run_well(*JOB)
    assert archive.read_bytes() != before
    assert archive.read_bytes() == archive.with_suffix(".jar").read_bytes()


def test_classes_that_could_not_be_shared_are_tried_again_a_day_later(submit_sh: SubmitSh) -> None:
    first = submit_sh.run(*JOB)
    assert "preparing Spark's classes" in first.stderr
    second = submit_sh.run(*JOB)
    assert "classes" not in second.stderr
    assert "SharedArchiveFile" not in flags(submit_sh.words)
    told = submit_sh.run(*JOB, "-verbose", "true")
    assert "irisspark: Spark starts without shared classes: " in told.stderr
    (failed,) = submit_sh.script.parent.glob(".venv/spark-classes-*")
    assert str(failed) in told.stderr
    a_day_ago = time.time() - 25 * 3600
    os.utime(failed, (a_day_ago, a_day_ago))
    assert "preparing Spark's classes" in submit_sh.run(*JOB).stderr


def test_spark_env_that_hangs_is_one_line(submit_sh: SubmitSh) -> None:
    environment = submit_sh.script.parent / "irisspark" / "submit" / "environment.py"
    short = environment.read_text().replace("ANSWER_SECONDS = 60.0", "ANSWER_SECONDS = 5.0")
    environment.write_text(short)
    submit_sh.configure("exec sleep 1000\n", "spark-env.sh")
    done = submit_sh.run(*JOB)
    assert done.returncode == 1
    assert "spark-env.sh has not ended within 5 s" in done.stderr
    assert "Traceback" not in done.stderr


def assert_one_line(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 1
    assert done.stderr.startswith("irisspark: ") and done.stderr.count("\n") == 1, done.stderr
    assert all(part in done.stderr for part in parts), done.stderr


@pytest.mark.parametrize("code", [0, 3])
def test_spark_env_that_ends_the_shell_is_one_line(submit_sh: SubmitSh, code: int) -> None:
    submit_sh.configure(f"exit {code}\n", "spark-env.sh")
    assert_one_line(submit_sh.run(*JOB), "spark-env.sh ends the shell", "take the exit out")


def test_what_cannot_be_run_or_written_is_one_line(submit_sh: SubmitSh) -> None:
    checkout, spark_submit = submit_sh.script.parent, submit_sh.spark_home / "bin" / "spark-submit"
    (checkout / ".cache").touch()  # no folder can be made of it
    assert "SharedArchiveFile" not in flags(submit_sh.run_well(*JOB))
    spark_submit.chmod(0o644)
    assert_one_line(submit_sh.run(*JOB), "Permission denied", str(spark_submit))
    (checkout / ".venv" / MARKER).unlink()
    assert_one_line(submit_sh.run(*JOB), str(checkout / ".cache"), "a folder that you may write")


def test_demo_that_is_not_trained_is_one_line(submit_sh: SubmitSh) -> None:
    sample = submit_sh.script.parent / "irisspark" / "samples" / "train_model.py"
    sample.write_text("raise OSError('no room')\n")
    done = submit_sh.run()
    assert done.returncode == 1
    assert done.stderr.endswith("my_model.h5 was not trained: OSError: no room\n")
    assert "Traceback" not in done.stderr


def test_another_that_prepares_the_classes_is_not_waited_for_without_end(
    submit_sh: SubmitSh,
) -> None:
    """It holds the lock, as one does that is stopped."""
    checkout = submit_sh.script.parent
    sharing = checkout / "irisspark" / "submit" / "sharing.py"
    sharing.write_text(sharing.read_text().replace("_LOCK_SECONDS = 180.0", "_LOCK_SECONDS = 3.0"))
    (checkout / ".cache").mkdir(exist_ok=True)
    with (checkout / ".cache" / "classes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = submit_sh.run(*JOB)
    assert done.returncode == 0, done.stderr
    assert "irisspark: waiting for another process, which holds " in done.stderr
    assert "SharedArchiveFile" not in flags(submit_sh.words)


def test_two_at_once_make_venv_and_archive_once(submit_sh: SubmitSh) -> None:
    checkout = submit_sh.script.parent
    shutil.rmtree(checkout / ".venv")
    (checkout / "irisspark.zip").unlink()
    (checkout / "setup.py").write_text("REQUIREMENTS = []\n")
    submit_sh.environ["PATH"] = f"{PYTHON_DIR}{os.pathsep}{os.environ['PATH']}"
    both = [submit_sh.start(*JOB) for _ in range(2)]
    errors = [process.communicate(timeout=RUN_SECONDS)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert sum("installing" in text for text in errors) == 1
    assert (checkout / ".venv" / MARKER).read_text() == "REQUIREMENTS = []\n"
    assert not list(checkout.glob(".irisspark.*"))


def test_venv_whose_making_was_killed_is_made_anew(submit_sh: SubmitSh) -> None:
    checkout = submit_sh.script.parent
    shutil.rmtree(checkout / ".venv")
    (checkout / "setup.py").write_text("REQUIREMENTS = []\n")
    submit_sh.environ["PATH"] = f"{PYTHON_DIR}{os.pathsep}{os.environ['PATH']}"
    venv = checkout / ".venv" / "lib"
    killed = submit_sh.start(*JOB)
    while not list(venv.glob("*/site-packages/pip/_internal/cli")):
        assert killed.poll() is None
        time.sleep(0.001)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=RUN_SECONDS)
    assert not list(venv.glob("*/site-packages/pip-*.dist-info/INSTALLER"))
    submit_sh.run_well(*JOB)
    assert list(venv.glob("*/site-packages/pip-*.dist-info/INSTALLER"))


def test_changed_requirements_are_installed(submit_sh: SubmitSh) -> None:
    checkout = submit_sh.script.parent
    shutil.rmtree(checkout / ".venv")
    setup = checkout / "setup.py"
    setup.write_text("REQUIREMENTS = []\n")
    submit_sh.environ |= {"PATH": f"{PYTHON_DIR}{os.pathsep}{os.environ['PATH']}"}
    submit_sh.run_well(*JOB)
    setup.write_text("REQUIREMENTS = ['no-such-package']\n")
    submit_sh.environ |= {"PIP_NO_INDEX": "1"}
    done = submit_sh.run(*JOB)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("irisspark: the requirements could not")
    setup.write_text("REQUIREMENTS = []\n")
    submit_sh.run_well(*JOB)


def test_missing_python_is_one_line(submit_sh: SubmitSh, tmp_path: Path) -> None:
    shutil.rmtree(submit_sh.script.parent / ".venv")
    (tmp_path / "bin").mkdir()
    for tool in ("bash", "cmp", "dirname", "env", "readlink"):
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    submit_sh.environ["PATH"] = str(tmp_path / "bin")
    done = submit_sh.run(*JOB)
    assert done.returncode == 1
    assert done.stderr.startswith("irisspark: no Python 3.11 or 3.12 found: install one")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.2", "25.0.1"])
def test_java_that_does_not_fit_is_one_line(submit_sh: SubmitSh, version: str) -> None:
    java = submit_sh.folder / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(JAVA.format(version))
    java.chmod(0o755)
    submit_sh.environ["JAVA_HOME"] = str(java.parents[1])
    done = submit_sh.run(*JOB)
    assert done.returncode == 1
    assert "does not run Spark 4.0: install Java 17 (openjdk-17-jre-headless)" in done.stderr
    assert done.stderr.count("\n") == 1


def test_missing_java_is_one_line(submit_sh: SubmitSh) -> None:
    submit_sh.environ["JAVA_HOME"] = "/nowhere"
    done = submit_sh.run(*JOB)
    assert done.returncode == 1
    assert done.stderr.startswith("irisspark: no Java in JAVA_HOME=/nowhere: ")
    assert done.stderr.count("\n") == 1


def test_folder_that_is_no_spark_is_one_line(submit_sh: SubmitSh) -> None:
    submit_sh.spark_home = submit_sh.folder
    done = submit_sh.run(*JOB)
    assert done.returncode == 1
    assert done.stderr.startswith("irisspark: no Spark in SPARK_HOME=")


# Whole runs


def run_for_real(
    checkout: Path, folder: Path, *words: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "submit.sh", *words],
        cwd=folder,
        env=clean_environ(**environ),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )


def test_demo_trains_the_model_and_prints_only_the_block(checkout: Path, tmp_path: Path) -> None:
    done = run_for_real(checkout, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("\nExamples labeled as 0 classified by model as 0: 50 times\n")
    assert done.stdout.endswith("=" * 72 + "\n")
    assert " INFO " not in done.stdout + done.stderr
    assert (checkout / "my_model.h5").is_file()
    assert not list(tmp_path.glob("*.h5"))


def test_job_on_a_cluster_ships_files_with_spaces(
    checkout: Path, job_folder: Path, cluster: Cluster
) -> None:
    (job_folder / "iris.txt").rename(job_folder / "my iris.txt")
    job = ["-modelPath", "my_model.h5", "-dataPath", str(job_folder / "my iris.txt")]
    done = run_for_real(checkout, job_folder, *job, MASTER=cluster.master)
    assert done.returncode == 0, done.stderr
    assert " Accuracy:        0.9733\n" in done.stdout
    assert " INFO " not in done.stdout + done.stderr


def test_failure_of_a_real_job_comes_through(checkout: Path, job_folder: Path) -> None:
    done = run_for_real(checkout, job_folder, "-modelPath", "missing.h5")
    assert done.returncode == 1
    assert "missing.h5" in done.stderr + done.stdout


def test_real_jvm_takes_the_users_collector(checkout: Path, job_folder: Path) -> None:
    spark = ["--driver-java-options", "-XX:+UseParallelGC", "--"]
    done = run_for_real(checkout, job_folder, *spark, "-version")
    assert done.returncode == 0, done.stderr


def test_classes_are_shared_with_later_runs_and_a_damaged_file_harms_nothing(
    checkout: Path, job_folder: Path
) -> None:
    first = run_for_real(checkout, job_folder, "-version")
    assert "preparing Spark's classes" in first.stderr
    (classes,) = checkout.glob(".venv/spark-classes-*.jsa")
    assert classes.stat().st_size > 1 << 20
    # With this flag a JVM that cannot map the file does not start.
    spark = ["--driver-java-options", "-Xshare:on", "--"]
    second = run_for_real(checkout, job_folder, *spark, *JOB)
    assert second.returncode == 0, second.stderr
    assert "preparing" not in second.stderr
    classes.chmod(0o644)
    classes.write_bytes(b"damaged" * 1000)
    third = run_for_real(checkout, job_folder, *JOB)
    assert (third.returncode, third.stdout) == (0, second.stdout), third.stderr


def test_event_log_and_ui_work_where_they_are_turned_on(
    checkout: Path, job_folder: Path, tmp_path: Path
) -> None:
    events = tmp_path / "events"
    events.mkdir()
    port = free_port()
    settings = {"eventLog.enabled": "true", "eventLog.dir": events.as_uri()}
    settings |= {"eventLog.compress": "false"}
    settings |= {"ui.enabled": "true", "ui.port": str(port)}
    spark = [word for key, value in settings.items() for word in ("--conf", f"spark.{key}={value}")]
    process = subprocess.Popen(
        [checkout / "submit.sh", *spark, "--", *JOB],
        cwd=job_folder,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    shown = None
    while process.poll() is None:
        with contextlib.suppress(OSError, json.JSONDecodeError):  # it is not up yet
            address = f"http://127.0.0.1:{port}/api/v1/applications"
            shown = json.loads(urllib.request.urlopen(address).read())
        time.sleep(0.01)
    assert process.wait() == 0, process.communicate()[1]
    process.communicate()
    assert shown is not None
    assert [application["name"] for application in shown] == ["irisspark.zip"]
    assert not list(events.rglob("*.inprogress"))
    (log,) = events.rglob("events_1_*")
    told = [json.loads(line)["Event"] for line in log.read_text().splitlines()]
    assert told[-1] == "SparkListenerApplicationEnd"
    assert told.count("SparkListenerJobEnd") >= 2


def test_checkout_tracks_no_built_archive() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "*.zip", "*.jar", "*.class"], cwd=ROOT, capture_output=True, text=True
    )
    assert listed.stdout == ""


# Where the user stands, and what the environment says


def test_files_of_the_folder_are_no_modules(submit_sh: SubmitSh) -> None:
    for name in (*sys.stdlib_module_names, "pip", "irisspark", "sitecustomize"):
        (submit_sh.folder / f"{name}.py").write_text("raise SystemExit('the folder has its say')")
    submit_sh.configure("export FROM_SPARK_ENV=1\n", "spark-env.sh")
    assert submit_sh.run_well("--master", "local[3]", "--", *JOB)[-4:] == JOB


@pytest.mark.parametrize(
    ("environ", "locale"),
    [
        ({"LC_ALL": "C"}, "C.UTF-8"),
        ({"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}, "C.UTF-8"),
        ({"LC_ALL": "", "LC_CTYPE": "", "LANG": "de_DE.utf8"}, ""),
    ],
)
def test_names_that_are_not_ascii_arrive_whatever_the_locale(
    submit_sh: SubmitSh, environ: dict[str, str], locale: str
) -> None:
    submit_sh.environ |= environ
    job = ["-modelPath", "m\u00f6del.h5", "-dataPath", "donn\u00e9es.csv"]
    assert submit_sh.run_well(*job)[-4:] == job
    assert submit_sh.exported["LC_ALL"] == locale


@pytest.mark.parametrize("server", ["jupyter", "/opt/bin/jupyter-lab", "ipython3"])
def test_a_notebooks_server_is_no_python(submit_sh: SubmitSh, server: str) -> None:
    submit_sh.environ["PYSPARK_DRIVER_PYTHON"] = server
    submit_sh.environ["PYSPARK_DRIVER_PYTHON_OPTS"] = "notebook"
    submit_sh.run_well(*JOB)
    python = str(submit_sh.script.parent / ".venv" / "bin" / "python")
    assert submit_sh.exported["PYSPARK_DRIVER_PYTHON"] == python


@pytest.mark.parametrize("master", ["foo", "local[0]", "local[x]", "http://h:8080"])
def test_what_is_no_master_is_told_before_spark_starts(submit_sh: SubmitSh, master: str) -> None:
    submit_sh.environ["MASTER"] = master
    done = submit_sh.run(*JOB)
    assert done.returncode == 2
    assert done.stderr.startswith(f"irisspark: --master {master}: no Spark master")
    assert len(done.stderr.splitlines()) == 1


def test_an_option_and_its_value_in_one_word_are_shipped(submit_sh: SubmitSh) -> None:
    words = submit_sh.run_well(
        "--master", "spark://h:7077", "--", "-modelPath my_model.h5 -dataPath iris.txt"
    )
    assert words[-4:] == JOB
    shipped = [str(submit_sh.folder / name) for name in ("my_model.h5", "iris.txt")]
    assert values(words, "--files") == [",".join(shipped)]


# The packages that go along


@pytest.fixture
def packed(submit_sh: SubmitSh) -> SubmitSh:
    """A checkout whose packages are packed, by what the archive says of itself."""
    contents = next(python_archive.list_members(python_archive.find_distributions()))
    with (submit_sh.script.parent / "irisspark-python.tar.gz").open("wb") as file:
        write_tarball(file, [contents])
    return submit_sh


def test_packages_go_along_beside_the_users_own_archives(packed: SubmitSh) -> None:
    packed.environ |= {"MASTER": "spark://far:7077", "PYSPARK_PYTHON": "/opt/python3.11"}
    words = packed.run_well("--ship-python", "--archives", "data.zip#data", "--", *JOB)
    ours = (packed.script.parent / "irisspark-python.tar.gz").as_uri()
    assert values(words, "--archives")[-1] == f"data.zip#data,{ours}#irisspark-python"
    conf = dict(value.split("=", 1) for value in values(words, "--conf"))
    assert conf["spark.pyspark.python"] == "./irisspark-python/bin/python"
    assert conf["spark.executorEnv.IRISSPARK_PYTHON"] == "/opt/python3.11"
    here = str(packed.script.parent / ".venv" / "bin" / "python")
    assert conf["spark.pyspark.driver.python"] == here
    assert "--ship-python" not in words


def test_driver_on_yarn_gets_the_packages_too(packed: SubmitSh) -> None:
    packed.environ |= {"MASTER": "yarn", "PYSPARK_PYTHON": "/opt/python3.11"}
    words = packed.run_well("--deploy-mode", "cluster", "--ship-python", "--", *JOB)
    conf = dict(value.split("=", 1) for value in values(words, "--conf"))
    assert conf["spark.pyspark.driver.python"] == "./irisspark-python/bin/python"
    assert conf["spark.yarn.appMasterEnv.IRISSPARK_PYTHON"] == "/opt/python3.11"
    assert conf["spark.yarn.isPython"] == "true"


def test_a_local_master_needs_no_packages(submit_sh: SubmitSh) -> None:
    words = submit_sh.run_well("--ship-python", "--", *JOB)
    assert "--archives" not in words
    assert "--ship-python" not in words


def test_the_switch_behind_the_dashes_is_a_usage_error(submit_sh: SubmitSh) -> None:
    done = submit_sh.run("--ship-python", *JOB)
    assert done.returncode == 2
    assert done.stderr == (
        "irisspark: --ship-python stands before --: ./submit.sh --ship-python -- -modelPath ...\n"
    )
