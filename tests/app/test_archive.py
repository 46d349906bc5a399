"""The archive: what is in it, and that it runs in each of its three ways."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from running import ROOT, RUN_SECONDS, SPARK_HOME, Cluster, Run, clean_environ

from irisspark.bundle import packing
from irisspark.errors import IrissparkError, OptionsError

COURSE = ["-batchSizePerWorker", "15", "-train", "false", "-indexLabel", "4", "-numClasses", "3"]
COURSE += ["-modelFileName", "my_model.h5", "-dataFileName", "iris.txt"]
PLAIN = ["-train", "false", "-labelIndex", "4", "-numClasses", "3"]
PLAIN += ["-modelPath", "my_model.h5", "-dataPath", "iris.txt"]
FILES = ["--files", "iris.txt,my_model.h5"]
RULE = "=" * 72


def assert_block(stdout: str) -> None:
    assert " # of classes:    3\n Accuracy:        0.9733\n" in stdout
    assert stdout.endswith(f"{RULE}\n")


def assert_one_message(done: subprocess.CompletedProcess[str], exit_code: int, part: str) -> None:
    output = done.stdout + done.stderr
    assert done.returncode == exit_code, output
    assert part in output
    assert "Traceback" not in output
    assert "\tat " not in output


def test_manifest_is_first_and_names_the_launcher(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
        manifest = opened.read(names[0]).decode()
    assert names[0] == "META-INF/MANIFEST.MF"
    assert names[1:] == sorted(names[1:])
    assert "Main-Class: KerasImportCSVSparkRunner\r\n" in manifest


def test_archive_holds_the_package_and_nothing_else(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        held = {name: opened.read(name) for name in opened.namelist()}
    modules = {
        f"irisspark/{path.relative_to(ROOT / 'irisspark').as_posix()}": path.read_bytes()
        for path in (ROOT / "irisspark").rglob("*.py")
    }
    iris = (ROOT / "irisspark" / "samples" / "iris.txt").read_bytes()
    assert modules.items() <= held.items()
    assert held["irisspark/samples/iris.txt"] == iris
    assert held["__main__.py"] == held["irisspark/__main__.py"]
    bytecode = {f"{name}c" for name in [*modules, "__main__.py"]}
    assert bytecode <= held.keys()
    rest = held.keys() - modules.keys() - bytecode
    rest = {name for name in rest if not name.endswith(".java")}
    assert rest == {
        "META-INF/MANIFEST.MF",
        "KerasImportCSVSparkRunner.class",
        "skymind/dsx/KerasImportCSVSparkRunner.class",
        "__main__.py",
        "irisspark/samples/iris.txt",
        *(f"irisspark/report/page.{suffix}" for suffix in ("css", "html", "js")),
    }


def test_jar_is_the_same_bytes(archive: Path) -> None:
    assert archive.with_suffix(".jar").read_bytes() == archive.read_bytes()


def test_same_source_gives_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    package = tmp_path / "elsewhere" / "irisspark"
    shutil.copytree(ROOT / "irisspark", package)
    for path in package.rglob("*"):
        path.chmod(0o755)
        os.utime(path, (1, 1))
    again = packing.build(tmp_path / "again.zip", package)[0]
    assert again.read_bytes() == archive.read_bytes()


def test_changed_module_makes_the_archive_stale(tmp_path: Path) -> None:
    package = tmp_path / "irisspark"
    shutil.copytree(ROOT / "irisspark", package)
    out = tmp_path / "irisspark.zip"
    assert not packing.is_current(out, package)
    packing.build(out, package)
    assert packing.is_current(out, package)
    with (package / "__init__.py").open("a") as module:
        module.write("# changed\n")
    assert not packing.is_current(out, package)


def test_modules_are_not_compiled_again_when_the_archive_is_imported(archive: Path) -> None:
    script = """
import builtins, sys, zipimport
def refuse(*_):
    raise AssertionError("a module was compiled")
zipimport._compile_source = refuse
import irisspark.cli
print(irisspark.cli.__file__)
"""
    environ = clean_environ(PYTHONPATH=str(archive))
    done = subprocess.run([sys.executable, "-Pc", script], env=environ, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().strip() == f"{archive}/irisspark/cli.pyc"


START = """
import sys
from irisspark.startup.import_ahead import importing_ahead
from irisspark.startup.session import open_session
with open_session(use_local=True, importing=importing_ahead()):
    pass
archives = [i for p, i in sys.path_importer_cache.items() if p.startswith(sys.argv[1])]
print("pandas" in sys.modules, len(archives) > 1, {type(i).__name__ for i in archives})
"""


def test_a_start_imports_no_pandas_and_reads_the_archives_table_once(archive: Path) -> None:
    environ = clean_environ(PYTHONPATH=str(archive))
    command = [sys.executable, "-Pc", START, str(archive)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=RUN_SECONDS)
    assert done.stdout == "False True {'KeptArchive'}\n", done.stderr


def test_other_pythons_read_the_source(archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(archive) as held, zipfile.ZipFile(other, "w") as written:
        for name in held.namelist():
            content = held.read(name)
            written.writestr(name, b"1234" + content[4:] if name.endswith(".pyc") else content)
    assert not packing.is_current(other)
    environ = clean_environ(PYTHONPATH=str(other))
    script = "import irisspark.cli; print(irisspark.cli.__file__)"
    done = subprocess.run([sys.executable, "-Pc", script], env=environ, capture_output=True)
    assert done.stdout.decode().strip() == f"{other}/irisspark/cli.py", done.stderr.decode()


def test_lost_jar_makes_the_archive_stale(tmp_path: Path) -> None:
    out = tmp_path / "irisspark.zip"
    packing.build(out)
    out.with_suffix(".jar").unlink()
    assert not packing.is_current(out)


def test_name_without_zip_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"must end in \.zip, not 'irisspark\.tar'"):
        packing.build(tmp_path / "irisspark.tar")


def test_source_that_does_not_compile_leaves_no_archive(tmp_path: Path) -> None:
    package = tmp_path / "irisspark"
    shutil.copytree(ROOT / "irisspark", package)
    (package / "bundle" / "launcher" / "KerasImportCSVSparkRunner.java").write_text("class {")
    with pytest.raises(IrissparkError, match="did not compile"):
        packing.build(tmp_path / "irisspark.zip", package)
    assert not list(tmp_path.glob("*irisspark.*"))


def test_missing_folder_is_one_message(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert packing.main([str(tmp_path / "nowhere" / "irisspark.zip")]) == 1
    assert capfd.readouterr().err.startswith("irisspark-bundle: cannot write ")


def test_missing_java_is_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(IrissparkError, match="no Java in JAVA_HOME"):
        packing.build(tmp_path / "irisspark.zip")


def test_course_command_prints_the_block(archive: Path, spark_submit: Run) -> None:
    words = ["--class", "KerasImportCSVSparkRunner", *FILES, "--master", "local[2]", archive]
    done = spark_submit(*words, *COURSE)
    assert done.returncode == 0, done.stderr
    assert_block(done.stdout)


def test_published_class_name_works(archive: Path, spark_submit: Run) -> None:
    done = spark_submit("--class", "skymind.dsx.KerasImportCSVSparkRunner", archive, "-version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("irisspark ")


def test_archive_runs_as_py_file(archive: Path, spark_submit: Run) -> None:
    script = ROOT / "irisspark" / "__main__.py"
    words = ["--master", "local[2]", "--py-files", archive, *FILES, script]
    done = spark_submit(*words, *PLAIN)
    assert done.returncode == 0, done.stderr
    assert_block(done.stdout)


def test_archive_runs_as_zipapp(archive: Path, job_folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, archive, "-useSparkLocal", "true", *PLAIN],
        cwd=job_folder,
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert_block(done.stdout)


def test_usage_error_comes_through_without_a_java_trace(archive: Path, spark_submit: Run) -> None:
    done = spark_submit("--master", "local[1]", archive, "-numClases", "3")
    assert_one_message(done, 2, "-numClases")


def test_unmet_requirement_comes_through(archive: Path, spark_submit: Run) -> None:
    done = spark_submit("--master", "local[1]", archive, *PLAIN, "-require", "accuracy:0.99")
    assert_one_message(done, 3, "accuracy")


def test_plain_command_on_a_cluster(archive: Path, spark_submit: Run, cluster: Cluster) -> None:
    done = spark_submit("--master", cluster.master, *FILES, archive, *PLAIN)
    assert done.returncode == 0, done.stderr
    assert_block(done.stdout)


def test_course_command_on_a_cluster(archive: Path, spark_submit: Run, cluster: Cluster) -> None:
    words = ["--class", "KerasImportCSVSparkRunner", *FILES, "--master", cluster.master, archive]
    done = spark_submit(*words, *COURSE)
    assert done.returncode == 0, done.stderr
    assert_block(done.stdout)


def test_failure_on_a_cluster_comes_through(
    archive: Path, spark_submit: Run, cluster: Cluster
) -> None:
    words = ["--master", cluster.master, *FILES, archive, *PLAIN]
    done = spark_submit(*words[:-1], "missing.txt")
    assert_one_message(done, 1, "missing.txt")


def test_jar_runs_in_cluster_mode(archive: Path, spark_submit: Run, cluster: Cluster) -> None:
    words = ["--master", cluster.master, "--deploy-mode", "cluster", *FILES]
    words += ["--conf", "spark.standalone.submit.waitAppCompletion=true"]
    done = spark_submit(*words, archive.with_suffix(".jar"), *PLAIN)
    assert done.returncode == 0, done.stderr
    outputs = [file for folder in cluster.work_dirs for file in folder.glob("driver-*/stdout")]
    assert len(outputs) == 1, done.stderr
    assert_block(outputs[0].read_text())


def test_wheel_in_an_environment_of_its_own_builds_the_same_archive_and_runs_it(
    archive: Path, tmp_path: Path, job_folder: Path
) -> None:
    """The packages that it requires are shared with the Python that runs the tests."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.py", "README.md"):
        shutil.copy(ROOT / name, source)
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "irisspark", source / "irisspark", ignore=hidden)
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("irisspark-*.whl")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)

    environ = clean_environ(PYSPARK_PYTHON=str(python))
    options = {"cwd": job_folder, "env": environ, "check": True, "capture_output": True}
    subprocess.run([python, "-P", "-m", "irisspark.bundle"], **options)
    assert (job_folder / "irisspark.zip").read_bytes() == archive.read_bytes()
    spark_submit = SPARK_HOME / "bin" / "spark-submit"
    words = [spark_submit, "--master", "local[2]", *FILES, "irisspark.zip", *PLAIN]
    done = subprocess.run(words, text=True, timeout=RUN_SECONDS, **options)
    assert_block(done.stdout)
