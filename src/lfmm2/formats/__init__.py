"""Foreign files: genotypes (VCF, BCF, VCF Zarr, LEA, vcftools, PLINK's text, NumPy) to a fileset; matrices."""

from lfmm2.formats.conversion import Conversion, convert, find_conversion, remove_conversion
from lfmm2.formats.kinds import ENDINGS, name_kind
from lfmm2.formats.matrix_file import MatrixFile, MatrixOptions, open_matrix
from lfmm2.formats.zarr_store import is_store

__all__ = [
    "ENDINGS", "Conversion", "MatrixFile", "MatrixOptions", "convert", "find_conversion", "is_store", "name_kind",
    "open_matrix", "remove_conversion",
]  # fmt: skip
