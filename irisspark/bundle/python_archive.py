"""Pack the packages that irisspark imports, for machines that have a Python and nothing else.

``irisspark-python.tar.gz`` is for ``spark-submit --archives``. Spark's own packages are not in it,
as the cluster's Spark brings them, nor is what serves no run on a CPU, which is more than half. The
same packages give the same bytes, and the first member says which they are.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import os
import sys
import sysconfig
import tarfile
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from irisspark.bundle.tarball import Member, write_tarball
from irisspark.errors import IrissparkError, OptionsError

NAME = "irisspark-python"
PYTHON = f"./{NAME}/bin/python"
PYTHON_VARIABLE = "IRISSPARK_PYTHON"

REQUIRED = (
    *("elephas", "h5py", "jinja2", "keras", "matplotlib", "numpy", "pandas", "pyarrow"),
    *("tensorflow", "tqdm"),
)
OPTIONAL = ("hdfs-native",)
# Spark's own, what builds packages, and the server of TensorBoard.
LEFT_OUT = frozenset({"pyspark", "py4j", "cython", "libclang", "tensorboard-data-server", "wheel"})

_SUFFIX = ".tar.gz"
_CONTENTS = "contents.txt"
_PACKAGES = "site-packages"
_FOLDERS_LEFT_OUT = frozenset({"include", "tests", "__pycache__"})
_ENDS_LEFT_OUT = ("_test.py", ".a", ".h", ".hpp", ".lib", ".pxd", ".pyi", ".pyx")
_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
_PYC_HEADER_BYTES = 16
_UNCHECKED_HASH = (1).to_bytes(4, "little")

_SCRIPT = f"""\
#!/bin/sh
# Runs this machine's Python {_VERSION} on the packages that lie beside this folder.
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
fits='import sys; sys.exit("%d.%d" % sys.version_info[:2] != "{_VERSION}")'
for python in "${{{PYTHON_VARIABLE}:-python{_VERSION}}}" /usr/bin/python{_VERSION} python3; do
    if "$python" -I -S -c "$fits" 2>/dev/null; then
        # There is no code for a GPU among them.
        export CUDA_VISIBLE_DEVICES=-1 PYTHONNOUSERSITE=1
        export PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}$here/{_PACKAGES}"
        exec "$python" "$@"
    fi
done
echo "irisspark: no Python {_VERSION} on $(uname -n), for which the packages came along" >&2
exit 1
"""


def build(out: Path) -> Path:
    """Write the archive of the running Python's packages as ``out``, whole or not at all.

    Raises:
        OptionsError: ``out`` does not end in ``.tar.gz``.
        IrissparkError: A package is missing, or the file cannot be written.
    """
    if not out.name.endswith(_SUFFIX):
        raise OptionsError(f"the archive's name must end in {_SUFFIX}, not {out.name!r}")
    distributions = find_distributions()
    part = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            write_tarball(file, list_members(distributions))
        os.replace(part, out)
    except OSError as error:
        raise IrissparkError(f"cannot write {out}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return out


def is_current(out: Path) -> bool:
    """Tell whether the archive is there and was made of the packages as they are now.

    Raises:
        IrissparkError: A package is missing.
    """
    expected = _describe(find_distributions())
    with contextlib.suppress(OSError, tarfile.TarError), tarfile.open(out) as tar:
        first = tar.next()
        held = tar.extractfile(first) if first is not None else None
        return held is not None and held.read(len(expected) + 1) == expected
    return False


def find_distributions() -> dict[str, Distribution]:
    """Find what irisspark requires and what that requires in its turn, by name.

    Raises:
        IrissparkError: Something that irisspark requires is not installed.
    """
    found: dict[str, Distribution] = {}
    names = [*REQUIRED, *OPTIONAL]
    while names:
        name = _canonical(names.pop())
        if name in found or name in LEFT_OUT:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            if name in REQUIRED:
                raise IrissparkError(
                    f"{sys.executable} has no {name}, which irisspark needs: pip install it first"
                ) from None
            continue  # asked for elsewhere, or on another platform
        names += _list_requirements(found[name])
    return dict(sorted(found.items()))


def _list_requirements(found: Distribution) -> list[str]:
    from packaging.requirements import Requirement  # Keras requires it

    requirements = map(Requirement, found.requires or [])
    return [r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def list_members(distributions: dict[str, Distribution]) -> Iterator[Member]:
    """List what the archive holds, what it was made of first."""
    yield Member(_CONTENTS, _describe(distributions))
    yield Member("bin/python", _SCRIPT.encode(), is_executable=True)
    files = {name: path for each in distributions.values() for name, path in _list_files(each)}
    for name, path in sorted(files.items()):
        yield Member(name, path, is_executable=os.access(path, os.X_OK))
        if path.suffix == ".py" and (bytecode := _read_bytecode(path)) is not None:
            folder, _, module = name.rpartition("/")
            yield Member(f"{folder}/__pycache__/{_cached_name(module)}", bytecode)


def _describe(distributions: dict[str, Distribution]) -> bytes:
    lines = [f"Python {_VERSION}, {sysconfig.get_platform()}", f"packed by {_own_digest()}"]
    for name, each in distributions.items():
        record = each.read_text("RECORD") or ""
        lines.append(f"{name} {each.version} {hashlib.sha256(record.encode()).hexdigest()}")
    return ("\n".join(lines) + "\n").encode()


def _own_digest() -> str:
    folder = Path(__file__).parent
    sources = [folder / f"{name}.py" for name in ("python_archive", "tarball", "device_code")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _list_files(found: Distribution) -> Iterator[tuple[str, Path]]:
    """Yield the files of a distribution that are of use, and their names in the archive."""
    for file in found.files or ():
        is_outside = file.is_absolute() or file.parts[0] == ".."  # commands, pages for man
        if is_outside or _FOLDERS_LEFT_OUT.intersection(file.parts[:-1]):
            continue
        path = Path(str(found.locate_file(file)))
        if not file.name.endswith(_ENDS_LEFT_OUT) and path.is_file():
            yield f"{_PACKAGES}/{file.as_posix()}", path


def _cached_name(module: str) -> str:
    return os.path.basename(importlib.util.cache_from_source(module))


def _read_bytecode(source: Path) -> bytes | None:
    """Give a module's bytecode so that no time of a file matters to it, None: there is none.

    Each executor would compile TensorFlow for a quarter of a minute without.
    """
    path = Path(importlib.util.cache_from_source(str(source)))
    try:
        content, status = path.read_bytes(), source.stat()
    except OSError:
        return None
    written = int(status.st_mtime) & 0xFFFFFFFF
    stamp = written.to_bytes(4, "little") + (status.st_size & 0xFFFFFFFF).to_bytes(4, "little")
    if content[:_PYC_HEADER_BYTES] != importlib.util.MAGIC_NUMBER + bytes(4) + stamp:
        return None
    digest = importlib.util.source_hash(source.read_bytes())
    header = importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + digest
    return header + content[_PYC_HEADER_BYTES:]


def main(argv: Sequence[str] | None = None) -> int:
    """Pack the archive named on the command line, and give the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m irisspark.bundle.python_archive",
        description="Pack the packages that irisspark imports, for spark-submit's --archives.",
    )
    parser.add_argument("out", nargs="?", default=f"{NAME}{_SUFFIX}", help="default: %(default)s")
    try:
        print(build(Path(parser.parse_args(argv).out)))
    except IrissparkError as error:
        print(f"irisspark: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
