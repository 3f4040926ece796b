"""Writing of frames of zstd with an index: the only module that knows the library zstandard, an optional one.

pyarrow, which reads them, writes no checksums of the contents; without one, most damage would go unnoticed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO

from lfmm2.errors import UsageError
from lfmm2.files.zstd_frames import index_text

#: Levels of compression of zstd that need no more memory to be unpacked.
LEVELS = range(1, 20)
# Frames for each thread that wait to be compressed or written. Fewer let threads wait for the disk; each takes memory.
_WAITING = 2


def load_zstandard() -> Any:
    """Return the module zstandard, or raise UsageError that says how to install it."""
    try:
        import zstandard
    except ImportError as error:
        fact = f"compressed genotypes are written by the library zstandard, which is not installed ({error})"
        raise UsageError(f"{fact}; pip install 'lfmm2[pack]'") from error
    return zstandard


def write_frames(parts: Iterable[Any], stream: BinaryIO, level: int, n_threads: int) -> int:
    """Compress each part as a frame with a checksum, and write the frames in order, and their index.

    Parameters
    ----------
    parts : iterable of bytes-like
        Contents of the frames, none of which is used again by the caller.
    stream : binary file
    level : int
        From 1 to 19, as of zstd.
    n_threads : int
        Threads that compress; the bytes do not depend on it.

    Returns
    -------
    int
        Number of bytes written.
    """
    library, of_thread = load_zstandard(), threading.local()
    sizes: list[tuple[int, int]] = []

    def compress(part: Any) -> tuple[bytes, int]:
        if not hasattr(of_thread, "compressor"):
            of_thread.compressor = library.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
        return of_thread.compressor.compress(part), memoryview(part).nbytes

    def write(made: Future[tuple[bytes, int]]) -> None:
        frame, n_unpacked = made.result()
        stream.write(frame)
        sizes.append((len(frame), n_unpacked))

    with ThreadPoolExecutor(n_threads, thread_name_prefix="lfmm2-pack") as pool:
        waiting: deque[Future[tuple[bytes, int]]] = deque()
        for part in parts:
            waiting.append(pool.submit(compress, part))
            if len(waiting) > _WAITING * n_threads:
                write(waiting.popleft())
        for made in waiting:
            write(made)
    index = index_text(sizes)
    stream.write(index)
    return sum(size for size, _ in sizes) + len(index)
