"""The scripts of docs/clusters.md for Slurm, Snakemake and Nextflow: they run, and give the results of one process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lfmm2
from lfmm2.simulation import simulate

PAGE = Path(__file__).parents[1] / "docs" / "clusters.md"
pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")

# Runs what `sbatch --wrap` would, at once, if the job that it depends on has succeeded; each task of an array.
SBATCH = """\
#!/bin/bash
set -eu
for argument; do
    case $argument in
        --array=1-*) n=${argument#--array=1-} ;;
        --dependency=afterok:*) grep -qx "${argument#--dependency=afterok:}" succeeded ;;
        --parsable | --requeue | --cpus-per-task=* | --mem=* | --wrap) ;;
        --*) echo "sbatch knows no $argument" >&2; exit 1 ;;
    esac
done
for task in $(seq ${n:-1}); do
    [ -z ${n:-} ] || export SLURM_ARRAY_TASK_ID=$task
    bash -c "${!#}" >&2
done
id=$(($(wc -l < succeeded) + 41))
echo $id >> succeeded
echo $id
"""


def script(language: str) -> str:
    """The script of the page in a language, with three parts and one thread."""
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    text, n_replaced = re.subn(r"((?:n_parts|N_PARTS) ?= ?)22\b", r"\g<1>3", found[0])
    assert n_replaced == 1
    return re.sub(r"--threads (?:16|4)", "--threads 1", text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the inputs of the page, the program `lfmm2` on the path, and the results of one process."""
    monkeypatch.chdir(tmp_path)
    data = simulate("plants", n_samples=40, n_snps=5000, n_causal=3, seed=2)
    data.env.rename("climate.csv")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "lfmm2"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lfmm2 "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    lfmm2.run(None, "plants.bed", "climate.csv", K=5, out="one", n_threads=1)
    return tmp_path


def check_results(prefix: str) -> None:
    """Compare the result files with those of one process."""
    names = [path.name.removeprefix("one.") for path in Path().glob("one.*") if path.suffix not in (".log", ".json")]
    assert "joint.parquet" in names
    for name in names:
        assert Path(f"{prefix}.{name}").read_bytes() == Path(f"one.{name}").read_bytes(), name


def test_slurm(folder: Path) -> None:
    sbatch = folder / "bin" / "sbatch"
    sbatch.write_text(SBATCH)
    sbatch.chmod(0o755)
    Path("succeeded").touch()
    subprocess.run(["bash", "-c", script("sh")], check=True)
    check_results("results")
    assert len(list(Path("parts").glob("plants.part-*-of-3.npz"))) == 3


def test_nextflow(folder: Path) -> None:
    processes = re.findall(r'process (\w+) \{.*?script:\s*"""(.*?)"""', script("groovy"), re.DOTALL)
    assert [name for name, _ in processes] == ["FACTORS", "TEST", "COMBINE"]
    commands = dict(processes)
    launch = {"params.bed": f"{folder}/plants.bed", "params.env": f"{folder}/climate.csv", "params.n_parts": "3"}

    def run(name: str, task: str, staged: list[Path], **values: str) -> Path:
        """Run a process in a folder of its own, in which inputs are links, as Nextflow does."""
        work = folder / "work" / task
        work.mkdir(parents=True)
        for path in staged:
            (work / path.name).symlink_to(path)
        known = launch | values | {"task.cpus": "1"}
        command = re.sub(r"\$\{([\w.]+)\}", lambda found: known[found[1]], commands[name])
        subprocess.run(["bash", "-ue", "-c", command], check=True, cwd=work)
        return work

    factors = run("FACTORS", "aa", []) / "plants.factors.npz"
    staged = {"part": "", "factors": factors.name}
    parts = [
        next(run("TEST", f"b{i}", [factors], **staged | {"part": str(i)}).glob("plants.part-*.npz")) for i in (1, 2, 3)
    ]
    names = " ".join(path.name for path in parts)
    combined = run("COMBINE", "cc", [factors, *parts], parts=names, factors=factors.name)
    check_results(f"{combined}/plants-results")


@pytest.mark.skipif(shutil.which("snakemake") is None, reason="Snakemake is not installed")
def test_snakemake(folder: Path) -> None:
    Path("Snakefile").write_text(script("python"))
    subprocess.run(["snakemake", "--cores", "1", "--quiet", "all"], check=True)
    check_results("results/plants")
