"""From the inputs of a run and the SNPs chosen so far to its plan."""

from __future__ import annotations

from lfmm2.pipeline.plan import RunPlan, RunSize, describe_model, make_plan
from lfmm2.pipeline.preparation import RunInputs
from lfmm2.pipeline.snp_choice import SnpChoice


def plan_run(inputs: RunInputs, choice: SnpChoice) -> RunPlan:
    """Plan a run whose SNPs are chosen so far, and check that its memory is enough."""
    numbers, test, output = inputs.numbers, inputs.options.test, inputs.options.output
    sources = (inputs.tested_source, inputs.estimation_source)
    of_tested, of_estimation = (source.memory for source in sources)
    held_variants = [of_tested.held_variant_bytes]
    if sources[0] is not sources[1]:
        held_variants.append(of_estimation.held_variant_bytes)
    variables = inputs.variables
    engine = inputs.make_engine()
    # matrices look at the values of an array when they are made, before any pass
    tested = inputs.tested_matrix(choice.tested, engine)
    estimation = inputs.estimation_matrix(choice.estimation, engine)
    size = RunSize(
        tested=tested,
        estimation=estimation,
        n_samples_read=len(variables.samples),
        n_snps_read=sources[0].n_snps,
        n_variables=len(variables.names),
        n_nuisance=len(variables.nuisance_names),
        n_factors=numbers.n_factors,
        n_sweep=len(numbers.ks),
        bytes_read=of_tested.snp_bytes,
        estimation_bytes_read=of_estimation.snp_bytes,
        # of those that filters are to choose yet, at most
        n_listed=sum(len(c) for c in (choice.tested, choice.estimation) if c is not None)
        + choice.to_filter * (choice.n_tested + choice.n_estimation)
        + choice.to_thin * choice.n_estimation,
        variant_bytes=max(of_tested.variant_bytes, of_estimation.variant_bytes),
        held_variant_bytes=sum(held_variants),
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
        allele="" if sources[0].refusal("count_allele") else "A1" if inputs.counts_a1 else "A2",
    )  # fmt: skip
    plan.check()
    return plan
