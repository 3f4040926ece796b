"""The algebra of LFMM2 on the three verbs of a genotype matrix: ridge, factors, tests of association, sweep, scree."""

from lfmm2.model.association import AssociationModel, BlockStatistics, Status, degrees_of_freedom
from lfmm2.model.eigensolvers import SolverOptions, Spectrum, exact_memory, krylov_columns, krylov_memory
from lfmm2.model.factors import KRYLOV_PASSES, LatentFactors, choose_solver, estimate_from_matrix, warn_unless_converged
from lfmm2.model.ridge import RidgeGeometry, ridge_geometry
from lfmm2.model.scree import LEVEL, Scree, compute_scree, suggest_factors
from lfmm2.model.sweep import SweepModel, parse_sweep, variance_on_factors

__all__ = [
    "KRYLOV_PASSES",
    "LEVEL",
    "AssociationModel",
    "BlockStatistics",
    "LatentFactors",
    "RidgeGeometry",
    "Scree",
    "SolverOptions",
    "Spectrum",
    "Status",
    "SweepModel",
    "choose_solver",
    "compute_scree",
    "degrees_of_freedom",
    "estimate_from_matrix",
    "exact_memory",
    "krylov_columns",
    "krylov_memory",
    "parse_sweep",
    "ridge_geometry",
    "suggest_factors",
    "variance_on_factors",
    "warn_unless_converged",
]
