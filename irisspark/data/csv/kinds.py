"""What a file is that is no CSV, told by its first bytes, and what to do with it."""
# One line an entry, as a table is read.
# ruff: noqa: E501

from __future__ import annotations

import re

from irisspark.errors import DataError
from irisspark.storage import signatures
from irisspark.storage.opening import COMPRESSED_SUFFIXES

_SAMPLED_BYTES = 4096
_COMPRESSED = "decompress it first"
_TO_CSV = "export it as CSV"
_ENDING = "compressed with {0}: give it a name that ends in {1}"

# fmt: off
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (signatures.GZIP, _ENDING.format("gzip", ".gz")),
    (signatures.ZSTD, _ENDING.format("zstd", ".zst")),
    (signatures.XZ, f"compressed with xz: {_COMPRESSED} (xz -d), or compress it with gzip"),
    (b"\x5d\x00\x00", f"compressed with lzma: {_COMPRESSED} (xz -d --format=lzma)"),
    (b"LZIP", f"compressed with lzip: {_COMPRESSED} (lzip -d)"),
    (b"\x04\x22\x4d\x18", f"compressed with lz4: {_COMPRESSED} (lz4 -d)"),
    (b"\x1f\x9d", f"compressed with compress: {_COMPRESSED} (uncompress)"),
    (b"\xff\x06\x00\x00sNaPpY", f"compressed with snappy: {_COMPRESSED}"),
    (signatures.SEVEN_ZIP, "a 7z archive: unpack it (7z x)"),
    (signatures.RAR, "a RAR archive: unpack it (unrar x)"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"an old Office file, such as an .xls workbook: {_TO_CSV}"),
    (signatures.PARQUET, "a Parquet file: the files of one -dataPath are all Parquet, or all CSV"),
    (b"PARE", "an encrypted Parquet file: export it as CSV"),
    (b"Obj\x01", f"an Avro file: {_TO_CSV}"),
    (b"ORC", f"an ORC file: {_TO_CSV} (pandas.read_orc, then to_csv)"),
    (b"ARROW1", f"an Arrow or Feather file: {_TO_CSV} (pandas.read_feather, then to_csv)"),
    (b"FEA1", f"a Feather file: {_TO_CSV} (pandas.read_feather, then to_csv)"),
    (b"\xff\xff\xff\xff", f"an Arrow stream: {_TO_CSV}"),
    (b"SEQ", f"a Hadoop sequence file: {_TO_CSV}"),
    (signatures.HDF5, f"an HDF5 file: if it is the model pass it as -modelPath, else {_TO_CSV}"),
    (signatures.NUMPY, f"a numpy array (.npy): {_TO_CSV} (numpy.savetxt with delimiter=',')"),
    (b"SQLite format 3\x00", f"an SQLite database: {_TO_CSV}"),
    (b"MATLAB 5.0 MAT-file", f"a MATLAB file: {_TO_CSV} (writematrix)"),
    (b"RDX", f"an R data file: {_TO_CSV} (write.csv)"),
    (b"RDA", f"an R data file: {_TO_CSV} (write.csv)"),
    (b"X\n\x00\x00", f"an R data file: {_TO_CSV} (write.csv)"),
    (b"<stata_dta>", f"a Stata file: {_TO_CSV}"),
    (b"$FL2", f"an SPSS file: {_TO_CSV}"),
    (signatures.PDF, f"a PDF: {_TO_CSV}"),
    (b"{\\rtf", "a rich text document: save it as plain text"),
    (b"\x89PNG\r\n\x1a\n", "an image: irisspark reads numbers, a row of pixels an image"),
    (b"\xff\xd8\xff", "an image: irisspark reads numbers, a row of pixels an image"),
    (b"GIF8", "an image: irisspark reads numbers, a row of pixels an image"),
    (b"\x00\x05\x16\x07", "what a Mac keeps beside a file (AppleDouble): take the file without ._ in its name"),
    (signatures.GIT_LFS, "a Git LFS pointer, which stands for the data: fetch it with git lfs pull"),
    (b"/annex/objects/", "a git-annex pointer, which stands for the data: fetch it with git annex get"),
    (b"outs:\n- md5:", "a DVC pointer, which stands for the data: fetch it with dvc pull"),
)
# fmt: on
_IN_ZIP = (
    (b"xl/", f"an Excel workbook (.xlsx): {_TO_CSV}"),
    (b"[Content_Types].xml", f"an Office file, such as an .xlsx workbook: {_TO_CSV}"),
    (b"application/vnd.oasis", f"an OpenDocument file, such as an .ods workbook: {_TO_CSV}"),
    (b"model.weights.h5", "a Keras model: pass it as -modelPath"),
    (b".npy", f"numpy arrays (.npz): {_TO_CSV} (numpy.savetxt with delimiter=',')"),
)
_ZIP = "a zip archive: unpack it (unzip), or compress its file with gzip"
_MARKUP = re.compile(rb"<(!doctype|html|head|body|table|div|script|\?xml|!--|error)", re.I)
_XML = re.compile(rb"<\?xml", re.I)
_JSON = re.compile(rb'(\{\s*("|\}))|(\[\s*[\[{"])')
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95}\]c(K\x8c]")
_ARFF = re.compile(rb"(%[^\n]*\n\s*)*@relation\b", re.I)
_LIBSVM = re.compile(rb"[-+]?[0-9.]+( [0-9]+:[-+0-9.eE]+){2,} ?\r?\n")
_UTF_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_BZ2 = re.compile(signatures.BZIP2 + rb"[1-9]1AY&SY")


def check_text(path: str, data: bytes) -> None:
    """Refuse a file that is no text in UTF-8.

    Args:
        path: Its name, for the message.
        data: Its first bytes, as they are decompressed.

    Raises:
        DataError: It is something else.
    """
    kind = kind_of(data)
    if kind is not None and path.lower().endswith(COMPRESSED_SUFFIXES):
        kind = f"what is in it is {kind}"
    if kind is not None:
        raise DataError(f"{path} is no CSV but {kind}")


def kind_of(data: bytes) -> str | None:
    """Say what a file is and what to do with it, by its first bytes; None for what may be CSV."""
    sample = data[:_SAMPLED_BYTES]
    if sample.startswith(signatures.ZIP):
        return next((kind for mark, kind in _IN_ZIP if mark in data[:65536]), _ZIP)
    if _BZ2.match(sample):
        return _ENDING.format("bzip2", ".bz2")
    if signatures.is_tar(sample):
        return "a tar archive: unpack it (tar xf)"
    for magic, kind in _MAGIC:
        if sample.startswith(magic) and _is_binary_where_said(magic, sample):
            return kind
    return _kind_of_text(sample)


def _is_binary_where_said(magic: bytes, sample: bytes) -> bool:
    """Tell ``ORC`` of an ORC file from a column of that name: binary files hold bytes of none."""
    return not magic.isalnum() or b"\x00" in sample


def _kind_of_text(sample: bytes) -> str | None:
    text = sample.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _PICKLE.match(sample):
        return f"a Python pickle: {_TO_CSV} (pandas.read_pickle, then to_csv)"
    if sample.startswith(_UTF_BOMS) or sample.count(0) * 4 > len(sample) > 1:
        return _kind_of_zeros(sample)
    if _MARKUP.match(text):
        if _XML.match(text) and b"<html" not in text.lower():
            return f"XML: if it is an error of a server, download the file again; else {_TO_CSV}"
        return "a web page (HTML): download the file itself, not the page that shows it"
    if _JSON.match(text):
        return f"JSON: {_TO_CSV} (pandas.read_json, then to_csv)"
    if _ARFF.match(text):
        return "an ARFF file of Weka: take out all lines up to and with @data"
    if _LIBSVM.match(text):
        return f"in LIBSVM's format (label index:value ...): {_TO_CSV}"
    return None


def _kind_of_zeros(sample: bytes) -> str:
    """Tell UTF-16 and UTF-32, in which other bytes of ASCII are 0, from what is no text."""
    halves = (sample[0::2], sample[1::2])
    zeros = [half.count(0) > 0.9 * len(half) for half in halves]
    if sample.startswith(_UTF_BOMS) or zeros.count(True) == 1:
        return "text in UTF-16 or UTF-32: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"
    return f"a binary file: {_TO_CSV}"
