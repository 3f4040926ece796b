"""Foreign files of genotypes (VCF, BCF, VCF Zarr, LEA, vcftools, PLINK's text, NumPy), converted to a PLINK fileset."""

from lfmm2.formats.conversion import Conversion, convert, find_conversion, remove_conversion
from lfmm2.formats.kinds import ENDINGS, name_kind
from lfmm2.formats.zarr_store import is_store

__all__ = ["ENDINGS", "Conversion", "convert", "find_conversion", "is_store", "name_kind", "remove_conversion"]
