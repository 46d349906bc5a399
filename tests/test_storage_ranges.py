"""Ranges of a file that a function gives, as a network would; no network."""

import io
import random

import pytest

from irisspark.storage import ranges
from irisspark.storage.ranges import RangeStream

DATA = random.Random(7).randbytes(3_000_000)


class Source:
    """Gives ranges, fails as it is told to, and remembers what it was asked for."""

    def __init__(self, *faults: object) -> None:
        self.asked: list[tuple[int, int]] = []
        self.faults = list(faults)

    def __call__(self, offset: int, length: int) -> bytes:
        self.asked.append((offset, length))
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, OSError):
            raise fault
        data = DATA[offset : offset + length]
        return data[: len(data) // 2] if fault else data


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(ranges, "_FIRST_PAUSE_SECONDS", 0)


def test_any_reads_and_seeks_give_the_bytes_of_a_file():
    rng = random.Random(1)
    stream, plain = RangeStream(Source(), len(DATA), request_bytes=70_000), io.BytesIO(DATA)
    for _ in range(300):
        if rng.random() < 0.3:
            place = rng.randrange(len(DATA) + 10)
            assert stream.seek(place) == plain.seek(place)
        size = rng.choice([0, 1, 5_000, 70_000, 200_000])
        assert stream.read(size) == plain.read(size)
        assert stream.tell() == plain.tell()
    stream.seek(-5, io.SEEK_END)
    assert stream.read() == DATA[-5:] and stream.read(1) == b""
    stream.close()


def test_a_split_asks_for_its_own_ranges_each_once():
    source = Source()
    stream = RangeStream(source, len(DATA), end=1_000_000, request_bytes=300_000)
    stream.seek(100_000)
    got = b""
    while len(got) < 900_000:
        got += stream.read(min(64_000, 900_000 - len(got)))
    stream.close()
    assert DATA[100_000:].startswith(got)
    assert [offset for offset, _ in source.asked] == [100_000, 400_000, 700_000]
    assert sum(length for _, length in source.asked) <= 900_000 + (64 << 10)


def test_who_looks_at_the_beginning_asks_for_little():
    source = Source()
    stream = RangeStream(source, len(DATA))
    assert stream.read(64 << 10) == DATA[: 64 << 10]
    stream.close()
    assert source.asked == [(0, 256 << 10)]


def test_faults_are_asked_again_and_leave_no_gap():
    source = Source(OSError("reset"), "half", OSError("slow down"), None, "half")
    stream = RangeStream(source, len(DATA), end=len(DATA), request_bytes=500_000)
    assert stream.read() == DATA
    stream.close()
    assert len(source.asked) == 6 + 4


def test_what_lasts_is_told_and_what_is_missing_is_not_asked_again():
    source = Source(*[OSError("down")] * 9)
    with pytest.raises(OSError, match="down"):
        RangeStream(source, len(DATA)).read(1)
    assert len(source.asked) == 6
    source = Source(FileNotFoundError("gone"))
    with pytest.raises(FileNotFoundError):
        RangeStream(source, len(DATA)).read(1)
    assert len(source.asked) == 1
