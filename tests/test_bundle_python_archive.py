"""The archive of packages: what is in it, and that it is the same each time."""

import gzip
import importlib.util
import io
import itertools
import os
import random
import re
import runpy
import struct
import subprocess
import sys
import tarfile
from importlib.metadata import distribution
from pathlib import Path

import numpy
import pytest

from irisspark.bundle import python_archive
from irisspark.bundle.device_code import WithoutDeviceCode
from irisspark.bundle.tarball import Member, write_tarball

ROOT = Path(__file__).resolve().parents[1]
SMALL = {name: distribution(name) for name in ("numpy", "packaging", "six")}


def pack(members: list[Member]) -> bytes:
    out = io.BytesIO()
    write_tarball(out, members)
    return out.getvalue()


def read(packed: bytes) -> dict[str, tuple[int, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        return {info.name: (info.mode, tar.extractfile(info).read()) for info in tar}


def test_members_come_back_and_their_times_and_modes_do_not_matter(tmp_path: Path) -> None:
    large = random.Random(1).randbytes(9 << 20)  # of several pieces
    (path := tmp_path / "large").write_bytes(large)
    members = [Member("first", b"text"), Member("bin/run", b"#!", is_executable=True)]
    members.append(Member("a folder/large", path))
    packed = pack(members)
    assert read(packed) == {
        "first": (0o644, b"text"),
        "bin/run": (0o755, b"#!"),
        "a folder/large": (0o644, large),
    }
    os.utime(path, (1, 1))
    path.chmod(0o600)
    assert pack(members) == packed
    assert len(gzip.decompress(packed)) % 10240 == 0  # a whole tar, and nothing behind it


def elf(sections: dict[bytes, bytes]) -> tuple[bytes, dict[bytes, int]]:
    """A shared object of some sections by the ELF-64 specification, and where each begins."""
    names = b"\0" + b"\0".join([*sections, b".shstrtab"]) + b"\0"
    body, headers, places = bytearray(64), [bytes(64)], {}
    for name, content in [*sections.items(), (b".shstrtab", names)]:
        places[name] = len(body)
        where = (names.index(b"\0" + name + b"\0") + 1, 1, 0, 0, len(body), len(content))
        headers.append(struct.pack("<IIQQQQIIQQ", *where, 0, 0, 1, 0))
        body += content
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    rest = (3, 62, 1, 0, 0, len(body), 0, 64, 0, 0, 64, len(headers), len(headers) - 1)
    body[:64] = ident + struct.pack("<HHIQQQIHHHHHH", *rest)
    return bytes(body) + b"".join(headers), places


def test_only_the_code_for_gpus_becomes_zeros() -> None:
    code = {b".text": b"t" * 5000, b".nv_fatbin": b"g" * 7000, b"__nv_relfatbin": b"r" * 300}
    whole, places = elf(code | {b".data": b"d" * 100})
    expected = bytearray(whole)
    for name in (b".nv_fatbin", b"__nv_relfatbin"):
        expected[places[name] : places[name] + len(code[name])] = bytes(len(code[name]))
    for size in (len(whole), 1000, 7):
        file = WithoutDeviceCode(io.BytesIO(whole))
        assert b"".join(iter(lambda read=file.read, n=size: read(n), b"")) == expected


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"text" * 100, Path(numpy.__file__)])
def test_other_files_stay_as_they_are(content: bytes | Path) -> None:
    content = content.read_bytes() if isinstance(content, Path) else content
    assert WithoutDeviceCode(io.BytesIO(content)).read(1 << 20) == content


def test_required_is_what_the_setup_requires_but_spark() -> None:
    requirements = runpy.run_path(str(ROOT / "setup.py"))["REQUIREMENTS"]
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in requirements}
    assert set(python_archive.REQUIRED) == names - {"pyspark"}


def test_constraints_are_those_of_the_setup() -> None:
    requirements = runpy.run_path(str(ROOT / "setup.py"))["REQUIREMENTS"]
    lines = set((ROOT / "constraints.txt").read_text().splitlines())
    bounded = {r for r in requirements if re.search("[<=>]", r) and not r.startswith("pyspark")}
    assert bounded <= lines
    more = {line for line in lines - bounded if not line.startswith("#")}
    assert more <= set(distribution("elephas").requires)


def test_what_is_packed_is_imported_without_being_compiled_and_without_headers() -> None:
    held = read(pack(list(python_archive.list_members(SMALL))))
    (first, script), cached = list(held)[:2], importlib.util.cache_from_source("x/six.py")
    assert (first, script) == ("contents.txt", "bin/python")
    six = held["site-packages/six.py"][1]
    bytecode = held[f"site-packages/__pycache__/{Path(cached).name}"][1]
    unchecked = (1).to_bytes(4, "little")
    assert bytecode[:16] == importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(
        six
    )
    assert held["bin/python"][0] == 0o755
    assert not [name for name in held if name.endswith(".h") or "/tests/" in name]
    assert any(name.endswith(".so") for name in held)


def test_changed_packages_make_the_archive_stale(tmp_path: Path) -> None:
    out = tmp_path / "irisspark-python.tar.gz"
    assert not python_archive.is_current(out)
    members = python_archive.list_members(python_archive.find_distributions())
    (contents,) = itertools.islice(members, 1)
    out.write_bytes(pack([contents]))
    assert python_archive.is_current(out)
    out.write_bytes(pack([Member(contents.name, contents.content + b"more 1.0\n")]))
    assert not python_archive.is_current(out)
    out.write_bytes(b"no archive")
    assert not python_archive.is_current(out)


def unpack_script(folder: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(pack(list(python_archive.list_members({}))))) as tar:
        tar.extractall(folder, filter="data")
    return folder / "bin" / "python"


def test_script_runs_the_named_python_on_the_packages(tmp_path: Path) -> None:
    script = unpack_script(tmp_path / "a b")
    environ = {
        "IRISSPARK_PYTHON": sys.executable,
        "PYTHONPATH": "/first",
        "PATH": os.environ["PATH"],
    }
    show = "import os, sys; print(sys.path[:2], os.environ['CUDA_VISIBLE_DEVICES'])"
    done = subprocess.run([script, "-Pc", show], env=environ, capture_output=True, text=True)
    assert done.stdout == f"['/first', '{tmp_path / 'a b' / 'site-packages'}'] -1\n", done.stderr


def test_machine_without_such_a_python_is_one_line(tmp_path: Path) -> None:
    script = unpack_script(tmp_path)
    text = script.read_text()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    script.write_text(text.replace(version, "3.99"))
    done = subprocess.run([script, "-c", "print(1)"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"irisspark: no Python 3\.99 on \S+, for which .*\n", done.stderr)


def test_wrong_name_and_missing_folder_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert python_archive.main([str(tmp_path / "x.zip")]) == 2
    assert "must end in .tar.gz, not 'x.zip'" in capsys.readouterr().err
    assert python_archive.main([str(tmp_path / "no" / "x.tar.gz")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
