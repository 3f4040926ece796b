"""Bugs put into a copy of the kernels, each of which the kernel tests must bring a sanitizer to report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SeededBug:
    """`old` in `file` becomes `new`; the report of the sanitizer must match `report`."""

    name: str
    file: str
    old: str
    new: str
    report: str

    def apply(self, sources: Path) -> None:
        """Change the file below `sources`; fail where the text is not there exactly once."""
        path = sources / self.file
        text = path.read_text(encoding="utf-8")
        found = text.count(self.old)
        assert found == 1, f"seeded bug {self.name!r}: its text occurs {found} times in {self.file}; adapt it"
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


# A write that begins inside of an array and ends outside, as wide registers make it, has no name of its own.
OVERFLOW = "AddressSanitizer: (heap-buffer-overflow|unknown-crash)"

ADDRESS = (
    SeededBug(
        "a SNP decoded one byte beyond its samples",
        "_core.pyx",
        "n_whole = n_samples // 4",
        "n_whole = (n_samples + 3) // 4",
        OVERFLOW,
    ),
    SeededBug(
        "a workspace without room for its alignment",
        "_core.pyx",
        "return tile_snps * (chunk_samples + l + CODES) + CACHE_LINE",
        "return tile_snps * (chunk_samples + l + CODES)",
        OVERFLOW,
    ),
    SeededBug(
        "a last tile that is not cut to the block",
        "_core.pyx",
        "n_bytes, min(tile_snps, n_snps - first)",
        "n_bytes, tile_snps",
        OVERFLOW,
    ),
    SeededBug(
        "a last square that is not cut to the samples, inside BLAS",
        "_core.pyx",
        "m = <blas_int> min(edge, n_samples - i)",
        "m = <blas_int> edge",
        OVERFLOW,
    ),
    SeededBug(
        "an array of three values for four codes",
        "_core.pyx",
        "cdef double values[CODES]",
        "cdef double values[3]",
        "AddressSanitizer: stack-buffer-overflow",
    ),
)

UNDEFINED = (
    SeededBug(
        "a tail of a whole word, shifted by its width",
        "_core.pyx",
        "n_words = n_samples // 32",
        "n_words = (n_samples - 1) // 32",
        "runtime error: shift exponent 64 is too large",
    ),
    SeededBug(
        "a word read at any byte without memcpy",
        "_core.pyx",
        "memcpy(&word, snp + 8 * i, 8)",
        "word = (<const uint64_t*> (snp + 8 * i))[0]",
        "runtime error: load of misaligned address",
    ),
    SeededBug(
        "byte sums in signed arithmetic",
        "_core.pyx",
        "return (pairs * 0x0101010101010101ULL) >> 56",
        "return <uint64_t> ((<int64_t> pairs * <int64_t> 0x0101010101010101) >> 56)",
        "runtime error: signed integer overflow",
    ),
    SeededBug(
        "a table of pairs one row too short",
        "kernels/_decode.h",
        "double pairs[32];",
        "double pairs[30];",
        "runtime error: index 30 out of bounds",
    ),
)

THREAD = (
    SeededBug(
        "one workspace for all threads",
        "_core.pyx",
        "&accumulators[0, 0, g], &work[threadid(), 0]",
        "&accumulators[0, 0, g], &work[0, 0]",
        "ThreadSanitizer: data race",
    ),
    SeededBug(
        "one accumulator for two groups, written by BLAS",
        "_core.pyx",
        "&accumulators[0, 0, g], ",
        "&accumulators[0, 0, g // 2], ",
        "ThreadSanitizer: data race",
    ),
    SeededBug(
        "rows that overlap where the share of a thread ends",
        "_core.pyx",
        "count_snp(&packed[s, 0], n_samples, &counts_out[s, 0])",
        "count_snp(&packed[s, 0], n_samples, &counts_out[s & ~1, 0])",
        "ThreadSanitizer: data race",
    ),
    SeededBug(
        "a sum shared by threads without order",
        "_core.pyx",
        """\
            for column in prange(l, num_threads=n_threads, schedule="static", use_threads_if=n_samples * l > 100_000):
                for slot in range(n_wave):
""",
        """\
            for slot in prange(n_wave, num_threads=n_threads, use_threads_if=n_samples * l > 100_000):
                for column in range(l):
""",
        "ThreadSanitizer: data race",
    ),
    SeededBug(
        "no barrier between decoding a panel and its use",
        "_core.pyx",
        """\
            for s in prange(b, num_threads=n_threads, schedule="static"):
                decode_whole_snp(&packed[first + s, 0], n_samples, coding, &panel[s, 0])
            for q in prange(n_squares, num_threads=n_threads, schedule="dynamic", chunksize=1):
                update_square(&panel[0, 0], b, n_samples, edge, n_edges, q, &C_out[0, 0])
""",
        """\
            for q in prange(b + n_squares, num_threads=n_threads, schedule="dynamic", chunksize=1):
                if q < b:
                    decode_whole_snp(&packed[first + q, 0], n_samples, coding, &panel[q, 0])
                else:
                    update_square(&panel[0, 0], b, n_samples, edge, n_edges, q - b, &C_out[0, 0])
""",
        "ThreadSanitizer: data race",
    ),
)
