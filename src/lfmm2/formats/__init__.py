"""Foreign files of genotypes (VCF, BCF, LEA, vcftools, PLINK's text, NumPy), converted to a PLINK fileset."""

from lfmm2.formats.conversion import Conversion, convert, find_conversion, remove_conversion
from lfmm2.formats.kinds import ENDINGS, name_kind

__all__ = ["ENDINGS", "Conversion", "convert", "find_conversion", "name_kind", "remove_conversion"]
