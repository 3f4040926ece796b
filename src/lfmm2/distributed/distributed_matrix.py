"""A genotype matrix whose passes are done by a crew: ranges of SNPs go out, and answers come back in order."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from lfmm2._typing import Floats, Ints
from lfmm2.distributed.crew import Crew
from lfmm2.distributed.sent_files import SentFile, send, take_back
from lfmm2.distributed.tasks import GramProductWork, MatrixRecipe, Task, Work
from lfmm2.distributed.terms import Terms
from lfmm2.errors import UsageError
from lfmm2.genotypes import (
    ALL_SNPS,
    NO_KEEPER,
    RESTART_SNPS,
    CrossProducts,
    Engine,
    FactorFill,
    FillSize,
    Footprint,
    GenotypeMatrix,
    GenotypeSource,
    PassKeeper,
    Precision,
    SegmentSums,
    SnpRange,
    doubles,
    float32_matrix,
    gram_speed,
    n_segments,
    padded_columns,
    segment_snps,
)

# Tasks of a pass for each worker: with more, a pass ends at the same time everywhere; with fewer, less is sent.
TASKS_OF_WORKER = 8
# Fewest and most genotypes of a task. Fewer take less time than a task costs (some milliseconds), more take more than
# some minutes, which are lost with a worker.
LEAST_GENOTYPES, MOST_GENOTYPES = 1 << 24, 1 << 35
# Part of the memory budget that answers may take that wait for those before them.
HELD_SHARE = 4


class DistributedMatrix:
    """A matrix with the same products as one in this process, to the bit.

    `gram_product`, and work that is given to `do_on_ranges`, are done by the crew. `gram` and `cross_products` are done
    here: the first is one sum of n_samples² numbers, added to in the order of the SNPs, and the second would send all
    rows through this process.

    Parameters
    ----------
    source : GenotypeSource
        Genotypes that other processes can open.
    engine : Engine
        Engine of the passes that are made here, whose record has those of the crew too.
    samples, snps, scale, count_allele
        As of `GenotypeSource.matrix`.
    crew : Crew
    folder : Path
        Folder that all workers see under the same name.

    Raises
    ------
    UsageError
        If other processes cannot open the genotypes.
    """

    def __init__(
        self,
        source: GenotypeSource,
        engine: Engine,
        samples: Ints,
        snps: Ints | None,
        crew: Crew,
        folder: Path,
        *,
        scale: str | None = None,
        count_allele: str = "a2",
    ) -> None:
        check_reopening(source)
        self._source, self._engine, self._crew, self._folder = source, engine, crew, folder
        self._choice = (samples, snps, scale, count_allele)
        self._matrix: GenotypeMatrix = source.matrix(engine, samples, snps, scale=scale, count_allele=count_allele)
        self.n_samples, self.n_snps = self._matrix.n_samples, self._matrix.n_snps
        self.footprint_of_gram = self._matrix.footprint_of_gram

    @property
    def is_local(self) -> bool:
        """Whether all workers are processes of this machine that were started by the run."""
        return self._crew.is_own

    @property
    def has_float32(self) -> bool:
        """Whether products in float32 take less time."""
        return float32_matrix(self._matrix) is not None

    @property
    def n_threads(self) -> int:
        """Threads that computations in this process take."""
        return self._engine.n_threads

    @property
    def gram_speed(self) -> int:
        """How many times faster the Gram matrix is computed than by BLAS."""
        return gram_speed(self._matrix)

    def footprint_of_gram_product(self, n_columns: int, budget: int, snps: SnpRange = ALL_SNPS) -> Footprint:
        """Return the memory of `gram_product` in a worker, which is more than it takes here."""
        return self._matrix.footprint_of_gram_product(n_columns, budget, snps)

    def footprint_of_cross_products(self, n_columns: int, fill: FillSize | None = None) -> Footprint:
        """Return the memory of `cross_products`."""
        return self._matrix.footprint_of_cross_products(n_columns, fill)

    def gram_product(
        self,
        S: Floats,
        label: str = "gram product",
        snps: SnpRange = ALL_SNPS,
        keeper: PassKeeper = NO_KEEPER,
        precision: Precision = "float64",
    ) -> SegmentSums:
        """Add up G(S) = Y (Yᵀ S) over a range; the sums of segments are those of one process."""
        unit, left = segment_snps(), snps.within(self.n_snps, segment_snps())
        sums = SegmentSums(n_segments(self.n_snps))
        if (kept := keeper.begin()) is not None:
            next_snp, arrays = kept
            # An unfinished segment is of a pass of one process, and is summed again from its start.
            arrays.pop("segment", None)
            left = range(next_snp if next_snp == left.stop else next_snp // unit * unit, left.stop)
            sums = SegmentSums.from_arrays(sums.n_segments, arrays)
        work = GramProductWork(S, precision)
        of_answer = 2 * doubles((self.n_samples, padded_columns(S.shape[1])))
        with closing(self.do_on_ranges(work, label, left, unit, of_answer)) as answers:
            for done, nodes in answers:
                sums.merge(nodes)
                keeper.offer(done.stop, sums.arrays())
        return sums

    def gram(
        self,
        label: str = "Gram matrix",
        snps: SnpRange = ALL_SNPS,
        keeper: PassKeeper = NO_KEEPER,
        before: Floats | None = None,
    ) -> Floats:
        """Return C = Y Yᵀ of all SNPs up to the end of the range, computed in this process."""
        return self._matrix.gram(label, snps, keeper, before)

    def cross_products(
        self, W: Floats, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[CrossProducts]:
        """Yield Yᵀ W by blocks, computed in this process."""
        return self._matrix.cross_products(W, label, snps, fill)

    def do_on_ranges(
        self, work: Work, label: str, snps: range, unit: int = RESTART_SNPS, answer_bytes: int = 1
    ) -> Generator[tuple[range, Any], None, None]:
        """Cut SNPs into ranges of whole units, let the crew do the work, and yield each range with its answer in order.

        The caller closes the generator, which takes back what was sent, also where it ends with an error.

        Parameters
        ----------
        work : Work
        label : str
            Purpose of the pass, as the progress display shows it.
        snps : range
            It begins at a whole unit.
        unit : int
        answer_bytes : int
            Memory that an answer takes here.
        """
        ranges = cut_tasks(snps, unit, self.n_samples, self._crew.planned_workers)
        most_held = max(self._engine.budget // HELD_SHARE // max(answer_bytes, 1), 1)
        with (
            self._engine.recorded(label, len(snps), self._source.memory.snp_bytes) as advance,
            self._sent(work) as sent,
        ):
            tasks = [Task(*sent, part.start, part.stop, self._crew.n_threads, self._crew.memory) for part in ranges]
            with closing(self._crew.do(tasks, self.n_samples, most_held)) as answers:
                for part, value in zip(ranges, answers, strict=True):
                    yield part, value
                    advance(len(part))

    @contextmanager
    def _sent(self, work: Work) -> Iterator[tuple[SentFile, SentFile]]:
        """Send the recipe of the matrix and the work to where workers read them, until the pass has ended."""
        reopening = check_reopening(self._source)
        for stamp in self._source.stamps:
            stamp.check()
        recipe = MatrixRecipe(Terms.of_run(self._source.stamps), reopening, *self._choice)
        of_matrix = send(self._folder, recipe)
        try:
            of_work = send(self._folder, work)
            try:
                yield of_matrix, of_work
            finally:
                take_back(of_work)
        finally:
            take_back(of_matrix)
        for stamp in self._source.stamps:
            stamp.check()


def cut_tasks(snps: range, unit: int, n_samples: int, n_workers: int) -> list[range]:
    """Cut SNPs into ranges of whole units and of about equal size, for some tasks of each worker.

    Parameters
    ----------
    snps : range
    unit : int
        SNPs of a unit; `snps` begins at a whole one.
    n_samples, n_workers : int
    """
    if not snps:
        return []
    least = max(LEAST_GENOTYPES // n_samples, 1)
    wanted = -(-len(snps) // (TASKS_OF_WORKER * n_workers))
    wanted = min(max(wanted, least), max(MOST_GENOTYPES // n_samples, 1))
    n_units = max(wanted // unit, 1)
    if unit == segment_snps():
        # As many segments as a node of the tree has, so that most ranges answer with one node.
        n_units = 1 << (n_units.bit_length() - 1)
    step = n_units * unit
    first = snps.start // step * step
    starts = [max(start, snps.start) for start in range(first, snps.stop, step)]
    return [range(start, min(start // step * step + step, snps.stop)) for start in starts]


def check_reopening(source: GenotypeSource) -> Any:
    """Return how other processes open the genotypes; raise UsageError if they cannot."""
    reopening = source.reopening()
    if reopening is None:
        fact = f"workers open the genotypes by their path, and those of {source.name} can be read in this process alone"
        raise UsageError(f"{fact}; write them as a .bed, or leave out workers and executor")
    return reopening
