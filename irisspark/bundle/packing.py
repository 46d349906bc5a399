"""Build ``irisspark.zip``: a JAR for spark-submit, a zipapp and a py-file in one.

The same source gives the same bytes on every machine: entries are sorted and stored without
compression (zlib's output differs between versions), with one timestamp and one mode. Beside each
module lies its bytecode for the Python that builds, which saves every process its compiling; other
Pythons read the source.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from irisspark.errors import IrissparkError, OptionsError
from irisspark.temporary import temporary_folder

PACKAGE = Path(__file__).resolve().parents[1]
MANIFEST_NAME = "META-INF/MANIFEST.MF"
MANIFEST = b"Manifest-Version: 1.0\r\nMain-Class: KerasImportCSVSparkRunner\r\n\r\n"
PACKED_SUFFIXES = frozenset({".py", ".txt", ".java", ".html", ".css", ".js"})

# Janino's command line takes javac's options. It stands in Spark's jars/, so a JRE is enough.
JANINO = "org.codehaus.commons.compiler.samples.CompilerDemo"
JANINO_JARS = ("janino-*.jar", "commons-compiler-*.jar")
SPARK_CORE_JAR = "spark-core_*.jar"

_COMPILE = """
import sys
from py_compile import PycInvalidationMode, compile
for name in sys.argv[1:]:
    compile(name, name + "c", doraise=True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
"""


def find_spark_home() -> Path:
    """Give the folder of ``$SPARK_HOME``, else of the installed pyspark.

    Raises:
        IrissparkError: Neither is there.
    """
    if home := os.environ.get("SPARK_HOME"):
        return Path(home)
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise IrissparkError("no Spark found: set SPARK_HOME, or run: pip install pyspark")
    return Path(spec.origin).parent


def find_java(environ: Mapping[str, str]) -> str:
    """Give the Java that spark-submit would run: of ``$JAVA_HOME``, else of ``$PATH``.

    Raises:
        IrissparkError: There is none.
    """
    if home := environ.get("JAVA_HOME"):
        java = Path(home, "bin", "java")
        if java.is_file():
            return str(java)
        raise IrissparkError(f"no Java in JAVA_HOME={home}: set it to a Java 17, or unset it")
    java_on_path = shutil.which("java", path=environ.get("PATH"))
    if java_on_path is None:
        raise IrissparkError("no Java found: install Java 17, for example openjdk-17-jre-headless")
    return java_on_path


def compile_launcher(launcher: Path, spark_home: Path) -> dict[str, bytes]:
    """Compile the Java sources below a folder with Spark's own Janino.

    Args:
        launcher: Root of the sources, laid out by package.
        spark_home: A Spark with its ``jars/``.

    Returns:
        Name in the archive -> class file.

    Raises:
        IrissparkError: A JAR or Java is missing, or the source does not compile.
    """
    sources = sorted(str(path) for path in launcher.rglob("*.java"))
    janino = os.pathsep.join(_find_jar(spark_home, pattern) for pattern in JANINO_JARS)
    with temporary_folder() as folder:
        command = [find_java(os.environ), "-cp", janino, JANINO, "-d", folder, "-encoding", "UTF-8"]
        command += ["-classpath", _find_jar(spark_home, SPARK_CORE_JAR), *sources]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise IrissparkError(f"the Java launcher did not compile: {done.stderr.strip()}")
        classes = Path(folder).rglob("*.class")
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in classes}


def _find_jar(spark_home: Path, pattern: str) -> str:
    found = sorted(spark_home.glob(f"jars/{pattern}"))
    if not found:
        raise IrissparkError(f"no {pattern} in {spark_home / 'jars'}: is that a whole Spark?")
    return str(found[-1])


def pack(files: Mapping[str, bytes]) -> bytes:
    """Give the archive of some files by name: the manifest first, the others sorted."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in [(MANIFEST_NAME, MANIFEST), *sorted(files.items())]:
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, whatever machine this is
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def read_package(package: Path) -> dict[str, bytes]:
    """Give what the archive holds of the package, by name; ``__main__.py`` at its root too."""
    paths = [path for path in package.rglob("*") if path.suffix in PACKED_SUFFIXES]
    files = {
        f"{package.name}/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in paths
    }
    return files | {"__main__.py": (package / "__main__.py").read_bytes()}


def compile_modules(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Compile the modules among some files to bytecode that is valid whatever their timestamps.

    In a process of its own: marshal writes down which constants the compiling process shares.

    Returns:
        Name in the archive -> bytecode.

    Raises:
        IrissparkError: A module does not compile.
    """
    modules = {name: content for name, content in files.items() if name.endswith(".py")}
    with temporary_folder() as folder:
        for name, content in modules.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        command = [sys.executable, "-s", "-S", "-c", _COMPILE, *sorted(modules)]
        environ = {"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
        if done.returncode != 0:
            raise IrissparkError(f"the package does not compile: {done.stderr.strip()}")
        return {f"{name}c": Path(folder, f"{name}c").read_bytes() for name in modules}


def is_current(out: Path, package: Path = PACKAGE) -> bool:
    """Tell whether both archives are there and hold the package as it is now, for this Python.

    The sources are in the archive, so class files and bytecode need no comparing.
    """
    try:
        content = out.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            held = {name: archive.read(name) for name in archive.namelist()}
        same_jar = out.with_suffix(".jar").read_bytes() == content
    except (OSError, zipfile.BadZipFile):
        return False
    expected = read_package(package) | {MANIFEST_NAME: MANIFEST}
    sources = {name: held[name] for name in held if not name.endswith((".class", ".pyc"))}
    for_this_python = held.get("__main__.pyc", b"").startswith(importlib.util.MAGIC_NUMBER)
    return same_jar and for_this_python and sources == expected


def build(out: Path, package: Path = PACKAGE) -> tuple[Path, Path]:
    """Write the archive as ``out`` and, the same bytes, under the same name ending in ``.jar``.

    Standalone clusters take only a ``.jar`` in ``--deploy-mode cluster``.

    Returns:
        The two paths.

    Raises:
        OptionsError: ``out`` does not end in ``.zip``.
        IrissparkError: Spark, Java or the sources are missing, or a file cannot be written.
    """
    if out.suffix != ".zip":
        raise OptionsError(f"the archive's name must end in .zip, not {out.name!r}")
    if not (package / "__main__.py").is_file():
        raise IrissparkError(f"no sources in {package}: build from a checkout or an install")
    classes = compile_launcher(package / "bundle" / "launcher", find_spark_home())
    files = read_package(package)
    content = pack(files | classes | compile_modules(files))
    paths = (out, out.with_suffix(".jar"))
    for path in paths:
        _write_whole(path, content)
    return paths


def _write_whole(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise IrissparkError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Build the archive named on the command line, and give the exit code."""
    parser = argparse.ArgumentParser(
        prog="irisspark-bundle", description="Build irisspark.zip, and irisspark.jar beside it."
    )
    parser.add_argument("out", nargs="?", default="irisspark.zip", help="default: %(default)s")
    try:
        for path in build(Path(parser.parse_args(argv).out)):
            print(path)
    except IrissparkError as error:
        print(f"irisspark-bundle: {error}", file=sys.stderr)
        return error.exit_code
    return 0
