"""A file that is read over a network: in large ranges, ahead of time, and again after a fault.

A request costs its latency, so a range is large, and the next one is on its way while the caller
works. A connection that breaks, stalls or is told to slow down costs a pause and another request
for the same range: what the caller sees has no gap and nothing twice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from irisspark.storage.arrow_handlers import SeekableInput

REQUEST_BYTES = 8 << 20
"""Of a range: its latency counts little beside its bytes, and memory holds three of them."""
_TAIL_BYTES = 64 << 10
"""Where a line crosses the end of what is meant to be read, its own end is most often this near."""
_HEAD_BYTES = 256 << 10
_ATTEMPTS = 6
_FIRST_PAUSE_SECONDS = 0.25
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError)

Fetch = Callable[[int, int], bytes]


class RangeStream(SeekableInput):
    """A stream of a file's bytes that asks for whole ranges, the next one ahead of time.

    Args:
        fetch: From an offset and a number of bytes, all of which the file has, to these bytes.
        size: Of the file.
        end: Behind what the caller means to read: no range ahead of time begins there or later.
        request_bytes: Of a range.
    """

    def __init__(
        self, fetch: Fetch, size: int, end: int | None = None, request_bytes: int = REQUEST_BYTES
    ) -> None:
        """Begin at the first byte; nothing is asked for before it is read."""
        super().__init__(size)
        self._fetch = fetch
        self._end = size if end is None else min(end, size)
        self._is_planned = end is not None
        self._request_bytes = request_bytes
        self._begin, self._held = 0, b""
        self._threads: ThreadPoolExecutor | None = None
        self._coming: tuple[int, Future[bytes]] | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        """Read so many bytes, fewer only at the end of the file.

        Raises:
            OSError: They could not be had, in several attempts.
        """
        left = self._num_to_read(size)
        pieces = []
        while left > 0:
            piece = self._piece(left)
            pieces.append(piece)
            self._place += len(piece)
            left -= len(piece)
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]

    def close(self) -> None:
        """Let go of what is held, once no request is under way."""
        if self._coming is not None:
            wait([self._coming[1]])
        if self._threads is not None:
            self._threads.shutdown()
        self._held, self._coming = b"", None
        super().close()

    def _piece(self, at_most: int) -> bytes:
        """Give the next bytes of the range that holds the place."""
        if not self._begin <= self._place < self._begin + len(self._held):
            self._begin, self._held = self._place, self._range_at(self._place, at_most)
            self._look_ahead(self._begin + len(self._held))
        start = self._place - self._begin
        return self._held[start : start + at_most]

    def _range_at(self, offset: int, wanted: int) -> bytes:
        coming, self._coming = self._coming, None
        if coming is not None:
            data = coming[1].result()  # also where it is not wanted: one request at a time
            if coming[0] == offset:
                return data
        return self._ask(offset, self._length_at(offset, wanted))

    def _length_at(self, offset: int, wanted: int = 0) -> int:
        """A whole range, but no more than what is meant to be read, with the end of its last line.

        Of a file whose end is not named the beginning may be all that somebody looks at.
        """
        rest = max(self._end + _TAIL_BYTES - offset, wanted)
        most = self._request_bytes if self._is_planned or offset else max(_HEAD_BYTES, wanted)
        return min(most, rest, self._size - offset)

    def _look_ahead(self, offset: int) -> None:
        if offset >= self._end or not (self._is_planned or self._begin):
            return
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, "read ahead")
        self._coming = offset, self._threads.submit(self._ask, offset, self._length_at(offset))

    def _ask(self, offset: int, length: int) -> bytes:
        for attempt in range(_ATTEMPTS):
            try:
                data = self._fetch(offset, length)
                if len(data) == length:
                    return data
                problem: OSError = OSError(f"{len(data)} of {length} bytes at {offset} arrived")
            except _LASTING:
                raise
            except OSError as error:
                problem = error
            if attempt + 1 < _ATTEMPTS:
                time.sleep(_FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1))
        raise problem
