"""Options of other programs are answered with what to write in their place."""

from __future__ import annotations

import re

import pytest

from lfmm2.cli.hints import _SENTENCES
from lfmm2.cli.program import cli, main


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    err = capsys.readouterr().err
    assert ended.value.code == 2, err
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--bfile plants", "--bfile is no option of lfmm2 run; give genotypes with --bed PREFIX"),
        ("-bfile plants", "-bfile is no option of lfmm2 run; give genotypes with --bed PREFIX"),
        ("--fam plants.fam", "--fam is no option .*; the .bim and .fam are found beside the .bed"),
        ("--bpfile plants", "--bpfile is no option .*; give --pfile PREFIX, which takes the .bim and .fam"),
        (
            "--pvar plants.pvar",
            "--pvar is no option .*; the .pvar and .psam are found beside the .pgen, give only --pfile",
        ),
        ("--gzvcf=plants.vcf.gz", "--gzvcf is no option .*; give the VCF or BCF with --vcf FILE"),
        ("--bcf=plants.bcf", "--bcf is no option .*; give the VCF or BCF with --vcf FILE"),
        ("--lfmm plants.lfmm", "--lfmm is no option .*; give the .lfmm or .geno with --vcf FILE, or the matrix to"),
        ("--bgi a.bgi", "--bgi is no option .*; the index of a BGEN is not needed"),
        ("--gen a.gen", "--gen is no option .*; convert .* with plink2 --gen FILE --make-bed --out NAME, and"),
        ("--ped a.ped", "--ped is no option .*; convert .* with plink --file"),
        ("--pheno p.txt", "--pheno is no option .*; variables and traits are columns of a table, .* --env FILE"),
        ("--phenoFile p.txt", "--phenoFile is no option .* --env FILE"),
        ("--phenoCol rain", "--phenoCol is no option .*; choose columns of --env with --variables NAMES"),
        ("--pheno-name rain", "--pheno-name is no option .*; .* --variables NAMES"),
        ("--covar-name age", "--covar-name is no option .*; choose columns of --covar with --covar-variables NAMES"),
        ("--covarFile c.txt", "--covarFile is no option .* --covar FILE"),
        ("--k 5", "--k is no option .*; give the number of latent factors with -K NUMBER"),
        ("-k 5", "-k is no option .* -K NUMBER"),
        ("--pca 10", "--pca is no option .*; the latent factors stand for population structure"),
        ("-lmm 4", "-lmm is no option .*; the latent factors stand for"),
        ("--chr 1", r"--chr is no option .*; make a smaller fileset with plink2 --chr … --make-bed, or .* --extract"),
        ("--mac 5", "--mac is no option .*; drop rare SNPs with --maf RATE"),
        ("--max-missing 0.9", "--max-missing is no option .*; drop SNPs with --geno RATE"),
        ("--indep-pairwise 50 5 0.2", "--indep-pairwise is no option .* --est-thin r2=0.2,window=200"),
        ("--q-value 0.1", "--q-value is no option .*; after the run, lfmm2 hits RESULTS --fdr 0.05 lists"),
        ("--fdr 0.1", "--fdr is no option .*; after the run, lfmm2 hits RESULTS"),
        ("--allow-extra-chr", "--allow-extra-chr is no option .*; it is not needed, leave it out"),
        ("-o r", "-o is no option .*; give the prefix of the results with --out PREFIX"),
        ("--num_threads 4", "--num_threads is no option .* --threads"),
        ("--help-me", r"--help-me is no option .*; lfmm2 COMMAND --help shows all options \(see lfmm2 run --help\)"),
        ("--threads 2 --env=e.csv --burnin 100", "--burnin is no option .*; LFMM2 has an exact solution and no chains"),
        ("--new-env f.csv", "--new-env is no option of lfmm2 run; it is one of lfmm2 offset"),
        ("-K 1:5", "-K is 1:5, but it is one number of factors; use --sweep 1:5 to compare several"),
        ("-K 1-5", "-K is 1-5, .* use --sweep 1:5 to compare"),
        ("-K 2,4,8", "-K is 2,4,8, .* use --sweep 2,4,8 to compare"),
        ("--bed d --env e -K 3 --out r d.bed", r"unexpected extra argument \(d.bed\); give genotypes with --bed"),
        ("--bed c1.bed c2.bed c3.bed --env e --out r", r"arguments \(c2.bed c3.bed\); .* in quotes, --bed 'chr@\.bed'"),
        (
            "--merge-list files",
            "--merge-list is no option of lfmm2 run; list the filesets in a file, and give it with --bed-",
        ),
        # without a sentence of its own, an option is compared with those that there are
        ("--overwrit", "'--overwrit'.*--overwrite"),
        ("-K many", "'many' is not a valid integer"),
    ],
)
def test_options_of_other_programs_are_answered(
    capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    assert re.match(f"Error: .*{message}", error_of(capsys, "run", *arguments.split()))


def test_options_before_the_command_are_answered(capsys: pytest.CaptureFixture[str]) -> None:
    message = error_of(capsys, "--bed", "plants")
    assert message.startswith("Error: --bed is no option of lfmm2; options stand after the command, as in lfmm2 run")
    message = error_of(capsys, "--bfile", "plants")
    assert "give genotypes with --bed PREFIX; options stand after the command, as in lfmm2 run" in message


def test_options_of_another_command_are_answered(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--bed is no option of lfmm2 hits; it is one of lfmm2 run" in error_of(capsys, "hits", "r", "--bed", "d")


def test_sentences_name_only_options_that_there_are() -> None:
    known = {flag for command in cli.commands.values() for parameter in command.params for flag in parameter.opts}
    of_run = {flag for parameter in cli.commands["run"].params for flag in parameter.opts}
    others = {"--bcf", "--gen", "--file", "--tfile", "--make-bed", "--chr", "--snps", "--hwe", "--help"}
    for name, sentence in _SENTENCES.items():
        assert set(re.findall(r"--[a-z][a-z-]*", sentence)) <= known | others, name
        assert f"--{name}" not in of_run, name
