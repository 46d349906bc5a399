"""Lines dealt to splits, held against a single pass over the whole file."""

import bz2
import gzip
import io
import random
import re
import threading
import time
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from csv_oracle import data_file, open_local
from hypothesis import given, settings
from hypothesis import strategies as st

from irisspark.data.csv import blocks as csv_blocks
from irisspark.data.csv.blocks import count_lines, read_ahead, read_blocks
from irisspark.data.splits import Split, cut, deal
from irisspark.errors import DataError
from irisspark.storage import opening
from irisspark.storage.opening import DataFile


class Named(io.BytesIO):
    """A file that counts what is read of it."""

    num_read = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.num_read += len(data)
        return data


def lines_of(data: bytes, split_bytes: float, block_bytes: int) -> list[tuple[int, bytes]]:
    file = DataFile("data.csv", len(data))
    found = []
    for split in cut([file], split_bytes):
        for block in read_blocks(split, lambda *_: io.BytesIO(data), block_bytes):
            offset = block.offset
            assert block.data
            assert data[offset : offset + len(block.data)] == block.data
            for line in re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", block.data):
                found.append((offset, line))
                offset += len(line)
    return found


def whole_lines(data: bytes) -> list[tuple[int, bytes]]:
    pattern = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
    return [(match.start(), match.group()) for match in pattern.finditer(data)]


line_texts = st.lists(
    st.tuples(
        st.binary(max_size=9).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"")),
        st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"]),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(line_texts, st.binary(max_size=3), st.integers(1, 40), st.integers(1, 30))
def test_every_line_reaches_exactly_one_split(lines, last, split_bytes, block_bytes):
    data = b"".join(text + end for text, end in lines) + last.strip(b"\r\n")
    assert lines_of(data, split_bytes, block_bytes) == whole_lines(data)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_cut_of_a_file_gives_the_same_lines(end):
    data = end.join([b"1,2", b"", b"33333333333333333333", b"4", b"", b"5,6"])
    for text in (data, data + end):
        for split_bytes in range(1, len(text) + 2):
            for block_bytes in (1, 2, 3, 7, 1000):
                assert lines_of(text, split_bytes, block_bytes) == whole_lines(text)


def test_file_with_carriage_returns_alone_is_read_in_blocks():
    data = b"1,2,3\r" * 10_000
    file = DataFile("mac.csv", len(data))
    sizes = [
        len(block.data)
        for split in cut([file], 6000)
        for block in read_blocks(split, lambda *_: io.BytesIO(data), 1000)
    ]
    assert sum(sizes) == len(data)
    assert max(sizes) < 5000


def test_long_line_costs_a_few_passes_over_it():
    data = b"9" * 3_000_000 + b"\n1\n"
    stream = Named(data)
    blocks = list(read_blocks(Split(DataFile("a", len(data)), 0, 0, None), lambda *_: stream, 1000))
    assert b"".join(block.data for block in blocks) == data
    assert stream.num_read == len(data)


def test_a_split_reads_little_beyond_its_bytes():
    data = b"1,2,3\n" * 100_000
    stream = Named(data)
    split = Split(DataFile("a", len(data)), 0, 60_001, 120_001)
    blocks = list(read_blocks(split, lambda *_: stream, 1 << 20))
    assert [block.offset for block in blocks] == [60_006]
    assert sum(len(block.data) for block in blocks) == 60_000
    assert stream.num_read < 60_000 + 3 * (64 << 10)


class Watched(io.BytesIO):
    """Counts the bytes that were read, and in which threads."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.num_read = 0
        self.threads: set[int] = set()

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.num_read += len(data)
        self.threads.add(threading.get_ident())
        return data


def test_a_block_is_read_while_the_caller_works_on_the_one_before():
    data = b"some line\n" * 1000
    stream = Watched(data)
    split = Split(DataFile("data.csv", len(data)), 0, 0, None)
    blocks = read_ahead(read_blocks(split, lambda *_: stream, 100))
    first = next(blocks)
    deadline = time.monotonic() + 10
    while stream.num_read < 2 * len(first.data) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert 2 * len(first.data) <= stream.num_read <= 3 * len(first.data)
    rest = b"".join(block.data for block in blocks)
    assert first.data + rest == data
    assert threading.get_ident() not in stream.threads


def test_reading_ahead_ends_where_the_caller_does():
    stream = Watched(b"some line\n" * 1000)
    split = Split(DataFile("data.csv", 10_000), 0, 0, None)
    blocks = read_ahead(read_blocks(split, lambda *_: stream, 100))
    next(blocks)
    blocks.close()
    assert stream.closed
    assert not [t for t in threading.enumerate() if t.name.startswith("read ahead")]


def test_error_of_reading_ahead_comes_behind_the_blocks_before_it(tmp_path):
    lines = [random.Random(number).randbytes(30).hex() for number in range(3000)]
    whole = gzip.compress("\n".join(lines).encode())
    path = tmp_path / "data.gz"
    path.write_bytes(whole[: len(whole) // 2])
    split = Split(DataFile(str(path), len(whole) // 2), 0, 0, None)
    opened = opening.opener(str)

    def read(blocks):
        found = []
        with pytest.raises(DataError) as error:
            for block in blocks:
                found.append(block.data)
        return found, str(error.value)

    plain = read(read_blocks(split, opened, 1000))
    assert len(plain[0]) > 10
    assert read(read_ahead(read_blocks(split, opened, 1000))) == plain


def test_line_longer_than_the_limit_is_an_error(monkeypatch):
    monkeypatch.setattr(csv_blocks, "MAX_LINE_BYTES", 1000)
    data = b"1\n" + b"9" * 5000
    with pytest.raises(DataError, match=r"a\.csv: the line that starts at byte 2 is longer"):
        whole = Split(DataFile("a.csv", len(data)), 0, 0, None)
        list(read_blocks(whole, lambda *_: io.BytesIO(data), 100))


def test_empty_files_give_no_splits():
    files = [DataFile("a", 0), DataFile("b", 5), DataFile("c", 0)]
    assert [(s.file.path, s.file_index, s.start, s.end) for s in cut(files, 10)] == [("b", 1, 0, 5)]


@given(st.integers(1, 500), st.floats(0.5, 600))
def test_splits_tile_the_file(size, split_bytes):
    parts = cut([DataFile("a", size)], split_bytes)
    assert parts[0].start == 0
    assert parts[-1].end == size
    assert all(one.end == other.start for one, other in pairwise(parts))


def test_compressed_and_whole_files_are_one_split():
    names = ["a.gz", "a.BZ2", "a.zst"]
    assert [(s.start, s.end) for n in names for s in cut([DataFile(n, 999)], 1)] == [(0, None)] * 3
    assert len(cut([DataFile("a.csv", 999)], 1, whole_files=True)) == 1


@given(st.lists(st.integers(1, 1000), max_size=60), st.integers(1, 12))
def test_tasks_keep_the_order_and_are_about_equal(sizes, num_tasks):
    files = [DataFile(str(i), size) for i, size in enumerate(sizes)]
    parts = cut(files, 100)
    tasks = deal(parts, num_tasks)
    assert len(tasks) == num_tasks
    assert [split for members in tasks for split in members] == parts
    if parts:
        loads = [sum((s.end or 0) - s.start for s in members) for members in tasks]
        largest = max((s.end or 0) - s.start for s in parts)
        assert max(loads) <= sum(sizes) / num_tasks + largest


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("num_members", [1, 3])
def test_compressed_files_are_read_whole(tmp_path, suffix, num_members):
    compress = {
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
    }[suffix]
    part = b"1,2\n3,4\n" * 1000
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"".join(compress(part) for _ in range(num_members)))
    (split,) = cut([DataFile(str(path), path.stat().st_size)], 1e9)
    blocks = list(read_blocks(split, open_local, 777))
    assert b"".join(block.data for block in blocks) == part * num_members
    assert [b.offset for b in blocks] == [
        sum(len(b.data) for b in blocks[:i]) for i in range(len(blocks))
    ]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_compressed_file_is_an_error_that_names_it(tmp_path, suffix, damage):
    compress = {
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
    }[suffix]
    data = compress(random.Random(1).randbytes(20_000).hex().encode())
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif suffix != ".zst":  # a zstd frame has a checksum only where its writer asks for one
        data = data[:9000] + bytes(255 - b for b in data[9000:9010]) + data[9010:]
    else:
        data = data[:5] + bytes(255 - b for b in data[5:30]) + data[30:]
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(data)
    said = f"broken{suffix}: it is damaged, or was cut off .*fetch it or write it again"
    with pytest.raises(DataError, match=said):
        list(read_blocks(Split(DataFile(str(path), len(data)), 0, 0, None), open_local))


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst", ".csv.GZ"])
@pytest.mark.parametrize("written", [bytes, gzip.compress, bz2.compress])
def test_what_is_in_a_file_named_as_compressed_decides(tmp_path, suffix, written):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(written(b"1,2\n" * 100))
    split = Split(DataFile(str(path), path.stat().st_size), 0, 0, None)
    assert b"".join(block.data for block in read_blocks(split, open_local)) == b"1,2\n" * 100


def test_missing_file_says_what_a_worker_needs():
    with pytest.raises(DataError, match=r"cannot open the data file /no/such\.csv .*--files"):
        list(read_blocks(Split(DataFile("/no/such.csv", 5), 0, 0, 5), open_local))


@settings(max_examples=100, deadline=None)
@given(line_texts, st.integers(1, 40))
def test_lines_are_counted_before_an_offset_by_any_splits(lines, split_bytes):
    data = b"".join(text + end for text, end in lines)
    offsets = [offset for offset, _ in whole_lines(data)]
    if not offsets:
        return
    parts = cut([DataFile("a", len(data))], split_bytes)
    counts = [count_lines(part, lambda *_: io.BytesIO(data), offsets) for part in parts]
    assert [sum(column) for column in zip(*counts, strict=True)] == list(range(len(offsets)))


def test_offsets_of_a_compressed_file_are_those_of_its_text(tmp_path: Path):
    file = data_file(tmp_path / "a.csv.gz", b"11\n22\n33\n")
    (split,) = cut([file], 1e9)
    assert count_lines(split, open_local, [6, 0, 3]) == [2, 0, 1]
