"""Files that are no CSV are told by what is in them, each made by the library that writes it."""

import bz2
import gzip
import io
import lzma
import pickle
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pytest
from csv_oracle import data_file, open_local

from irisspark.data.csv.csv_reader import CsvReader
from irisspark.data.csv.kinds import check_text, kind_of
from irisspark.errors import DataError
from irisspark.storage.opening import DataFile

TABLE = pd.DataFrame({"a": [1.5, 2.5], "b": [0, 1]})
TEXT = b"1.5,0\n2.5,1\n" * 50


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("a.csv")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT))
    return content.getvalue()


def written(write: Callable[[Path], object], folder: Path) -> bytes:
    path = folder / "file"
    write(path)
    return path.read_bytes()


def arrow_stream() -> bytes:
    content = io.BytesIO()
    table = pa.table({"a": [1.5, 2.5]})
    with pyarrow.ipc.new_stream(content, table.schema) as stream:
        stream.write_table(table)
    return content.getvalue()


def saved(path: Path, save: Callable[[io.BytesIO], object]) -> None:
    content = io.BytesIO()
    save(content)
    path.write_bytes(content.getvalue())


KINDS: dict[str, tuple[bytes | Callable[[Path], object], str]] = {
    "gzip": (gzip.compress(TEXT), "compressed with gzip: give it a name that ends in .gz"),
    "bzip2": (bz2.compress(TEXT), "bzip2: give it a name that ends in .bz2"),
    "zstd": (pa.compress(TEXT, codec="zstd", asbytes=True), "zstd: give it .* ends in .zst"),
    "xz": (lzma.compress(TEXT), "compressed with xz: decompress it first"),
    "lzma": (lzma.compress(TEXT, format=lzma.FORMAT_ALONE), "compressed with lzma"),
    "lz4": (b"\x04\x22\x4d\x18\x64\x40\xa7", "compressed with lz4"),
    "zip": (zipped("a.csv"), "a zip archive: unpack it"),
    "xlsx": (zipped("[Content_Types].xml", "xl/workbook.xml"), "Excel workbook .*export it"),
    "ods": (zipped("mimetype", "application/vnd.oasis.opendocument"), "OpenDocument"),
    "keras": (zipped("metadata.json", "model.weights.h5"), "Keras model: pass it as -modelPath"),
    "npz": (lambda path: saved(path, lambda f: np.savez(f, a=np.zeros(3))), "numpy arrays"),
    "npy": (lambda path: saved(path, lambda f: np.save(f, np.zeros(3))), "a numpy array"),
    "tar": (tarred(), "a tar archive: unpack it"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive"),
    "rar": (b"Rar!\x1a\x07\x01\x00", "a RAR archive"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an .xls workbook"),
    "parquet": (lambda path: TABLE.to_parquet(path), "a Parquet file: the files of one -dataPath"),
    "feather": (lambda path: TABLE.to_feather(path), "an Arrow or Feather file"),
    "arrow stream": (arrow_stream(), "an Arrow stream"),
    "orc": (lambda path: TABLE.to_orc(path), "an ORC file"),
    "avro": (b"Obj\x01\x04\x16avro.schema", "an Avro file"),
    "hdf5": (lambda path: h5py.File(path, "w").close(), "an HDF5 file"),
    "pickle of a table": (pickle.dumps(TABLE), "a Python pickle"),
    "pickle of a list": (pickle.dumps([[1.5, 0], [2.5, 1]], 2), "a Python pickle"),
    "sqlite": (
        lambda path: TABLE.to_sql("t", sqlite3.connect(path), index=False),
        "an SQLite database",
    ),
    "html": (b"\n<!DOCTYPE html>\n<html><body>Not found", "a web page"),
    "xml": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "XML"),
    "json": (TABLE.to_json(orient="records").encode(), "JSON: export it"),
    "json lines": (TABLE.to_json(orient="records", lines=True).encode(), "JSON"),
    "git lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "a Git LFS pointer.*git lfs pull",
    ),
    "dvc": (b"outs:\n- md5: 4d7a\n  path: data.csv\n", "a DVC pointer"),
    "arff": (b"% Iris\n@RELATION iris\n@ATTRIBUTE a REAL\n@DATA\n1.5,0\n", "an ARFF file"),
    "libsvm": (b"1 1:0.5 2:1.5 4:2\n0 1:0.1 3:1 4:1\n", "LIBSVM"),
    "png": (b"\x89PNG\r\n\x1a\n\x00\x00", "an image"),
    "pdf": (b"%PDF-1.7\n", "a PDF"),
    "utf-16": ("1.5,0\n".encode("utf-16"), "text in UTF-16"),
    "utf-16 without its mark": ("1.5,0\n".encode("utf-16-be"), "text in UTF-16"),
    "utf-32": ("1.5,0\n".encode("utf-32"), "text in UTF-16 or UTF-32"),
    "zeros": (bytes(1000), "a binary file"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_file_is_and_what_to_do_is_one_line(kind, tmp_path):
    content, said = KINDS[kind]
    data = content if isinstance(content, bytes) else written(content, tmp_path)
    path = tmp_path / "data.csv"
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"data\.csv is no CSV but .*{said}") as error:
        CsvReader().head([DataFile(str(path), len(data))], open_local)
    assert "\n" not in str(error.value)


def test_a_web_page_named_as_compressed_is_told(tmp_path):
    path = tmp_path / "data.csv.gz"
    path.write_bytes(b"<html><body>404</body></html>")
    with pytest.raises(DataError, match=r"data\.csv\.gz is no CSV but .*a web page"):
        CsvReader().head([DataFile(str(path), 29)], open_local)


def test_a_file_within_a_compressed_one_is_told_too(tmp_path):
    file = data_file(tmp_path / "data.csv.gz", tarred())
    with pytest.raises(DataError, match="what is in it is a tar archive"):
        CsvReader().head([file], open_local)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        *(b"1", b"caf\xe9,1\n", b"\xef\xbb\xbf1,2", b"1,\x002,3,4,5\n", b"<5,1\n", b"-1,2\n"),
        *(
            b"ORC,human\n1,2\n",
            b"PAR1,b\n",
            b"SEQ,LABEL\n",
            b"RDX2,b\n",
            b"BZh,a\n",
            b"MATLAB ,a\n",
        ),
        *(b"[0],1\n", b"{a},1\n", b"1 2:3,4\n", b"<a,b\n", b"@relation_of,b\n", b"ARROW1,b\n"),
        *(b"version,1\n", b"Obj,b\n", b"%,a\n", b"(1,2)\n", b"PK,b\n"),
    ],
)
def test_text_that_only_begins_like_something_else_may_be_csv(text):
    assert kind_of(text) is None
    check_text("a.csv", text)
