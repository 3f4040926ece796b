"""Sentences for options that other programs have: what to write in their place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import click

_MAKE_BED = "convert the genotypes with {} --make-bed --out NAME, and give --bed NAME"
_NOT_NEEDED = "it is not needed, leave it out"
_CUT = "make a smaller fileset with plink2 {} … --make-bed, or list IDs of SNPs and give --extract FILE"
_TRAITS = "variables and traits are columns of a table, give it with --env FILE"
_COLUMNS = "choose columns of --env with --variables NAMES"
_NUISANCE = "choose columns of --covar with --covar-variables NAMES"
_FACTORS = "the latent factors stand for population structure and relatedness, give their number with -K"
_HITS = "after the run, lfmm2 hits RESULTS --fdr 0.05 lists the SNPs with q below 0.05"
_SURROGATES = "p-values are calibrated by inflation and by --surrogates, which need no permutations"
_ADDITIVE = "the test is of copies of an allele, leave it out"
_CHAINS = "LFMM2 has an exact solution and no chains, leave it out"
_HELP = "lfmm2 COMMAND --help shows all options"

# Sentence for each option of plink, plink2, regenie, GEMMA, vcftools, LEA and lfmm, without hyphens at its beginning.
_SENTENCES: Mapping[str, str] = {
    option: sentence
    for options, sentence in (
        ("bfile bed-prefix genotype genotypes input input-file i", "give genotypes with --bed PREFIX"),
        ("merge-list pmerge-list mbfile mpfile", "list the filesets in a file, and give it with --bed-list FILE"),
        ("bim fam", "the .bim and .fam are found beside the .bed, give only --bed PREFIX"),
        ("pgen psam pvar", "the .pvar and .psam are found beside the .pgen, give only --pfile PREFIX"),
        ("bpfile", "give --pfile PREFIX, which takes the .bim and .fam where there is no .pvar and .psam"),
        ("gzvcf bcf", "give the VCF or BCF with --vcf FILE"),
        ("dosage dosages vcf-field", "name the field of a VCF that has dosages with --vcf-dosage DS"),
        ("bgi", "the index of a BGEN is not needed, leave it out"),
        ("gen data", _MAKE_BED.format("plink2 --gen FILE")),
        ("file ped map", "convert it with plink --file PREFIX --make-bed, or give --vcf PREFIX.ped"),
        ("tfile tped", _MAKE_BED.format("plink --tfile PREFIX")),
        ("vcf-file bcf-file", "give the VCF or BCF with --vcf FILE"),
        ("lfmm", "give the .lfmm or .geno with --vcf FILE, or the matrix to lfmm2.run in Python"),
        ("pheno phenofile pheno-file p envfile env-file environment x variable-file phenotype traits climate",
         _TRAITS),
        ("pheno-name pheno-col pheno-cols phenocol phenocollist mpheno all-pheno env-name variable n columns",
         _COLUMNS),
        ("covar-name covar-col covarcol covarcollist covar-number", _NUISANCE),
        ("covarfile covar-file covariates covars c", "give nuisance variables with --covar FILE"),
        ("catcovarlist cat-covar category factor-columns", "name the categories with --categorical NAMES"),
        ("k n-factors factor latent-factors nfactors n-components n-latent",
         "give the number of latent factors with -K NUMBER"),
        ("pca pcs pc n-pcs grm kinship km lmm mlma loco condition", _FACTORS),
        ("glm linear logistic assoc test step bsize qt bt model ridge", "lfmm2 run tests every SNP, leave it out"),
        ("chr chrom not-chr autosome autosome-num from-bp to-bp from to", _CUT.format("--chr")),
        ("snps snp snps-only max-alleles", _CUT.format("--snps")),
        ("mac min-mac min-maf maf-threshold", "drop rare SNPs with --maf RATE"),
        ("max-missing call-rate miss", "drop SNPs with --geno RATE, the highest share of missing calls"),
        ("hwe", "filter with plink2 --hwe … --make-bed before the run"),
        ("indep-pairwise indep ld-prune prune ld-window ld-window-r2",
         "thin the SNPs of the factors with --est-thin r2=0.2,window=200"),
        ("keep-fam indv keep-indv", "list the samples and give --keep FILE"),
        ("remove-fam remove-indv", "list the samples and give --remove FILE"),
        ("exclude-snps", "give --exclude FILE"),
        ("missing-phenotype input-missing-phenotype na", "give the code with --missing-code"),
        ("q-value qvalue q fdr alpha p-value pvalue threshold pthresh clump clump-kb bonferroni", _HITS),
        ("gif gc genomic-control adjust lambda-gc", "use --calibrate student, chi2, empirical-null or none"),
        ("ref-first ref-allele a1-allele keep-allele-order reference", "choose the counted allele with --count-allele"),
        ("allow-extra-chr aec allow-no-sex chr-set dog cow horse sheep double-id const-fid id-delim", _NOT_NEEDED),
        ("covar-variance-standardize variance-standardize quantile-normalize", "scale columns in the table itself"),
        ("rep reps iterations it burnin b seed-chain cpu-chain", _CHAINS),
        ("perm mperm permutation permutations n-perm bootstrap", _SURROGATES),
        ("pop pops populations within cluster", "give --env-by COLUMN where --env has a row for each population"),
        ("imputation mean-impute imputed",
         "missing calls take the SNP's mean, or its fit to the factors with --impute"),
        ("dominant recessive interaction genotypic hethom", _ADDITIVE),
        ("make-bed recode export freq hardy het missing-stats", "lfmm2 run only tests; plink2 does this"),
        ("project entropy snmf", "lfmm2 run --sweep 1:20 compares numbers of factors, leave it out"),
        ("ci beta", "BETA and SE are columns of every table, leave it out"),
        ("settings options config-file yaml toml", "give options in a file with --config FILE"),
        ("output o output-prefix outdir prefix outfile out-prefix output-file",
         "give the prefix of the results with --out PREFIX"),
        ("thread num-threads nthreads t cpu ncpu cpus cores ncores n-cores j",
         "give the number of threads with --threads"),
        ("mem ram max-memory memory-limit", "give the budget with --memory, as --memory 4GB"),
        ("force f replace", "replace existing results with --overwrite"),
        ("continue restart", "go on with an unfinished run with --resume"),
        ("sep delim delimiter", "marks between columns (tab , ; blank) are found by themselves, leave it out"),
        ("dec decimal-mark", "give the decimal mark of the tables with --decimal, as --decimal ,"),
        ("help-me usage man h help-all", _HELP),
        ("v", "more is printed with --verbose"),
        ("silent s", "less is printed with --quiet"),
        ("log", "the log is written beside the results; --log-json gives events for programs"),
    )
    for option in options.split()
}  # fmt: skip


def find_hint(error: click.UsageError, arguments: Sequence[str], commands: Mapping[str, click.Command]) -> str | None:
    """Return the message for an error of the command line, with the sentence that helps; None if none is known.

    Parameters
    ----------
    error : click.UsageError
    arguments : sequence of str
        The command line.
    commands : mapping of str to click.Command
        All commands of the program, in which an option is looked up that stands at the wrong command.
    """
    where = error.ctx.command_path if error.ctx else "lfmm2"
    if isinstance(error, click.NoSuchOption):
        written = _find_written(error.option_name, arguments)
        owners = [name for name, command in commands.items() if _has_option(command, written)]
        sentence = None if error.ctx and error.ctx.command.name in owners else find_sentence(written)
        if where == "lfmm2" and owners:
            sentence = f"options stand after the command, as in lfmm2 {owners[0]} {written}"
        elif sentence is None and owners:
            sentence = f"it is one of lfmm2 {' and '.join(owners)}"
        if sentence is None:
            return None
        if where == "lfmm2" and not owners:
            sentence += "; options stand after the command, as in lfmm2 run --bed PREFIX"
        return f"{written} is no option of {where}; {sentence}"
    if isinstance(error, click.BadParameter) and error.param is not None and error.param.name == "K":
        if sweep := re.search(r"'(\d+\s*[:,-]\s*\d[\d:,\s-]*)'", error.message):
            ks = sweep[1].replace("-", ":").replace(" ", "")
            return f"-K is {sweep[1]}, but it is one number of factors; use --sweep {ks} to compare several"
    elif "unexpected extra argument" in error.message and where == "lfmm2 run":
        if re.search(r"\.bed\b", error.message):
            sentence = "give genotypes with --bed, once for each fileset, or as a pattern in quotes, --bed 'chr@.bed'"
            return f"{error.message.rstrip('.')}; {sentence}"
        return f"{error.message.rstrip('.')}; give genotypes with --bed, variables with --env, lists in one option each"
    return None


def find_sentence(option: str) -> str | None:
    """Return what to write in place of an option of another program; None if none is known."""
    return _SENTENCES.get(_simplify(option))


def _find_written(option: str, arguments: Sequence[str]) -> str:
    """Return an option as it was written: click takes ``-bfile`` for ``-b`` with a value."""
    if option.startswith("--"):
        return option
    words = [argument.partition("=")[0] for argument in arguments]
    return next((word for word in words if word.startswith(option) and _simplify(word) in _SENTENCES), option)


def _simplify(option: str) -> str:
    """Return the name of an option as the table of sentences has it."""
    return option.lstrip("-").replace("_", "-").replace(".", "-").lower()


def _has_option(command: click.Command, option: str) -> bool:
    """Return True if a command has an option of this name."""
    return any(option in parameter.opts for parameter in command.params)
