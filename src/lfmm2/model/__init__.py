"""The algebra of LFMM2 on the three verbs of a genotype matrix: ridge, factors, tests of association, sweep, scree."""

from lfmm2.model.association import (
    AssociationModel,
    AssociationTest,
    BlockStatistics,
    association_footprint,
    degrees_of_freedom,
)
from lfmm2.model.axes import FEWEST_AXES, KnownGram, leading_axes, number_of_axes, variance_on_axes
from lfmm2.model.carriers import FEWEST_CARRIERS
from lfmm2.model.columns import (
    COLUMNS,
    MARGINAL_COLUMNS,
    Column,
    Columns,
    Origin,
    RowLayout,
    Status,
    Tables,
    declared_columns,
)
from lfmm2.model.eigensolvers import MOST_FOR_LAPACK, SolverOptions, gram_width, solver_footprint
from lfmm2.model.factors import (
    KRYLOV_PASSES,
    TIED_GAP,
    LatentFactors,
    choose_solver,
    compute_spectrum,
    estimate_from_matrix,
    factor_bytes,
    warn_unless_converged,
)
from lfmm2.model.ridge import (
    Penalty,
    RidgeGeometry,
    geometry_bytes,
    name_penalty,
    parse_penalties,
    parse_penalty,
    ridge_geometry,
)
from lfmm2.model.scree import LEVEL, Scree, compute_scree
from lfmm2.model.spectrum import Spectrum
from lfmm2.model.suggestion import suggest_factors
from lfmm2.model.surrogates import (
    draw_surrogates,
    find_places,
    n_surrogate_snps,
    surrogate_footprint,
    surrogate_statistics,
)
from lfmm2.model.sweep import SweepModel, parse_sweep, sweep_footprint, variance_on_factors

__all__ = [
    "COLUMNS", "FEWEST_AXES", "FEWEST_CARRIERS", "KRYLOV_PASSES", "LEVEL", "MARGINAL_COLUMNS", "MOST_FOR_LAPACK",
    "TIED_GAP", "AssociationModel", "AssociationTest", "BlockStatistics", "Column", "Columns", "KnownGram",
    "LatentFactors", "Origin", "Penalty", "RidgeGeometry", "RowLayout", "Scree", "SolverOptions", "Spectrum",
    "Status", "SweepModel", "Tables", "association_footprint", "choose_solver", "compute_scree", "compute_spectrum",
    "declared_columns", "degrees_of_freedom", "draw_surrogates", "estimate_from_matrix", "factor_bytes",
    "find_places", "geometry_bytes", "gram_width", "leading_axes", "n_surrogate_snps", "name_penalty", "number_of_axes",
    "parse_penalties", "parse_penalty", "parse_sweep", "ridge_geometry", "solver_footprint", "suggest_factors",
    "surrogate_footprint", "surrogate_statistics", "sweep_footprint", "variance_on_axes", "variance_on_factors",
    "warn_unless_converged",
]  # fmt: skip
