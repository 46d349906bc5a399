"""The first bytes of files of some formats, whatever their names say."""

from __future__ import annotations

GZIP = b"\x1f\x8b"
BZIP2 = b"BZh"
ZSTD = b"\x28\xb5\x2f\xfd"
XZ = b"\xfd7zXZ\x00"
SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c"
RAR = b"Rar!\x1a\x07"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
HDF5 = b"\x89HDF\r\n\x1a\n"
NUMPY = b"\x93NUMPY"
PARQUET = b"PAR1"
PDF = b"%PDF-"
GIT_LFS = b"version https://git-lfs"
TAR, TAR_OFFSET = b"ustar", 257
PICKLE_PROTOCOLS = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))


def is_tar(start: bytes) -> bool:
    """Tell whether a file is a tar archive, whose signature stands behind its first name."""
    return start[TAR_OFFSET : TAR_OFFSET + len(TAR)] == TAR
