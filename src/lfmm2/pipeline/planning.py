"""From the inputs of a run and the SNPs chosen so far to its plan."""

from __future__ import annotations

from lfmm2.genotypes import BedFile, n_snps_of
from lfmm2.pipeline.plan import RunPlan, RunSize, describe_model, make_plan
from lfmm2.pipeline.preparation import RunInputs
from lfmm2.pipeline.snp_choice import SnpChoice


def plan_run(inputs: RunInputs, choice: SnpChoice) -> RunPlan:
    """Plan a run whose SNPs are chosen so far, and check that its memory is enough."""
    numbers, test, output = inputs.numbers, inputs.options.test, inputs.options.output
    sources = (inputs.tested_source, inputs.estimation_source)
    n_bytes = [s.bytes_per_snp if isinstance(s, BedFile) else 0 for s in sources]
    n_variant_bytes = [s.stamps[1].n_bytes if isinstance(s, BedFile) else 0 for s in sources]
    n_held_bytes = [s.held_variant_bytes if isinstance(s, BedFile) else 0 for s in sources]
    if sources[0] is sources[1]:
        n_held_bytes.pop()
    variables = inputs.variables
    engine = inputs.make_engine()
    # matrices look at the values of an array when they are made, before any pass
    tested = inputs.tested_matrix(choice.tested, engine)
    estimation = inputs.estimation_matrix(choice.estimation, engine)
    size = RunSize(
        tested=tested,
        estimation=estimation,
        n_samples_read=len(variables.samples),
        n_snps_read=n_snps_of(sources[0]),
        n_variables=len(variables.names),
        n_nuisance=len(variables.nuisance_names),
        n_factors=numbers.n_factors,
        n_sweep=len(numbers.ks),
        bytes_read=n_bytes[0],
        estimation_bytes_read=n_bytes[1],
        # of those that filters are to choose yet, at most
        n_listed=sum(len(c) for c in (choice.tested, choice.estimation) if c is not None)
        + choice.to_filter * (choice.n_tested + choice.n_estimation)
        + choice.to_thin * choice.n_estimation,
        variant_bytes=max(n_variant_bytes),
        held_variant_bytes=sum(n_held_bytes),
        filled=test.impute == "factors",
        loadings=test.loadings,
    )
    plan = make_plan(
        size, inputs.options.solver, inputs.memory, inputs.n_threads, None if output.out is None else output.format,
        given=numbers.given is not None, filtered=choice.to_filter,
        thin=inputs.thin if choice.to_thin else None, tests=inputs.options.tests,
        model=describe_model(
            len(variables.names), len(variables.nuisance_names), numbers.describe(), variables.names
        ),
        allele=("A1" if inputs.counts_a1 else "A2") if isinstance(sources[0], BedFile) else "",
    )  # fmt: skip
    plan.check()
    return plan
