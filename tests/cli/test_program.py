"""The command line: exit codes, messages, and that a failed run leaves nothing."""

import inspect
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from machine_load import slowdown

import lfmm2
from lfmm2.cli.program import cli, main
from lfmm2.files.table_files import read_columns
from lfmm2.pipeline.options import TABLE
from lfmm2.simulation import simulate

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("cli") / "plants", n_samples=120, n_snps=3000, n_causal=5, seed=2)


@pytest.fixture(autouse=True)
def restored_signals():
    """`main` is for a process of its own; what it sets is put back after each test."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(s) for s in numbers]
    hook = sys.unraisablehook
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    sys.unraisablehook = hook


@pytest.mark.parametrize(("asked", "expected"), [(None, "passive"), ("active", "active")])
def test_threads_of_the_command_line_sleep_while_they_wait(asked, expected):
    code = (
        "import os, sys; from lfmm2.cli import main; assert 'lfmm2._core' not in sys.modules\n"
        "try: main(['info'])\n"
        "except SystemExit: print(os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {name: text for name, text in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if asked is None else {"OMP_WAIT_POLICY": asked}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == expected


def run_main(capsys, *arguments):
    """Exit code, standard output and standard error of a command."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_run_writes_the_tables_and_says_where(data, tmp_path, capsys):
    out = tmp_path / "r"
    code, text, _ = run_main(capsys, "run", "--bed", data.bed, "--env", data.env, "-K", 3, "--out", out)
    assert code == 0
    assert str(tmp_path / "r.env1.parquet") in text
    assert "GIF of env2" in text
    assert read_columns(tmp_path / "r.env1.parquet", ["T_STAT"]).num_rows == 3000


def test_run_takes_the_prefix_of_a_fileset(data, tmp_path, capsys):
    prefix = str(data.bed).removesuffix(".bed")
    code, *_ = run_main(capsys, "run", "--bed", prefix, "--env", data.env, "-K", 3, "--out", tmp_path / "r")
    assert code == 0


def test_dry_run_prints_the_plan_and_writes_nothing(data, tmp_path, capsys):
    code, text, _ = run_main(
        capsys, "run", "--bed", data.bed, "--env", data.env, "-K", 3, "--out", tmp_path / "r", "--dry-run"
    )
    assert code == 0
    for word in ("samples", "SNPs to test", "solver", "passes", "to read", "peak memory", "output"):
        assert word in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"--bed": "absent.bed"}, 6, "absent.bed"),
        ({"--bed": "text.bed"}, 3, "text.bed"),
        ({"--bed": "short.bed"}, 3, "truncated"),
        ({"--bed": "sample_major.bed"}, 3, "plink2 --make-bed"),
        ({"--env": "absent.csv"}, 6, "absent.csv"),
        ({"--env": "others.csv"}, 4, "sample"),
        ({"--env": "constant.csv"}, 5, "constant"),
        ({"--env": "words.csv"}, 3, "words.csv"),
        ({"-K": "118"}, 5, "lower K"),
        ({"-K": "many"}, 2, "-K"),
        ({"--lambda": "-1"}, 2, "lambda"),
        ({"--memory": "1"}, 8, "memory budget of 1 MiB"),
        ({"--out": "absent_folder/r"}, 7, "absent_folder"),
        ({"--sovler": "exact"}, 2, "--solver"),
    ],
)
def test_run_bad_input_ends_with_its_exit_code_and_no_file(data, tmp_path, capsys, monkeypatch, change, code, message):
    monkeypatch.chdir(tmp_path)
    raw = data.bed.read_bytes()
    for name, content in (("text", b"hello"), ("short", raw[:-7]), ("sample_major", raw[:2] + b"\0" + raw[3:])):
        (tmp_path / f"{name}.bed").write_bytes(content)
        for kind in (".bim", ".fam"):
            (tmp_path / (name + kind)).write_bytes(data.bed.with_suffix(kind).read_bytes())
    lines = data.env.read_text().splitlines()
    ids = [line.split(",")[0] for line in lines[1:]]
    (tmp_path / "others.csv").write_text("IID,x\nzz1,1\nzz2,2\n")
    (tmp_path / "constant.csv").write_text("IID,x\n" + "".join(f"{i},4\n" for i in ids))
    (tmp_path / "words.csv").write_text("IID,x\n" + "".join(f"{i},warm\n" for i in ids))
    before = sorted(tmp_path.iterdir())
    options = {"--bed": data.bed, "--env": data.env, "-K": 3, "--out": "r"} | change
    ended, _, err = run_main(capsys, "run", *[part for item in options.items() for part in item])
    assert ended == code
    assert message in err
    assert err.startswith("Error: ")
    assert "Traceback" not in err
    assert sorted(tmp_path.iterdir()) == before


def test_run_existing_output_ends_with_9(data, tmp_path, capsys):
    arguments = ("run", "--bed", data.bed, "--env", data.env, "-K", 3, "--out", tmp_path / "r")
    run_main(capsys, *arguments)
    code, _, err = run_main(capsys, *arguments)
    assert code == 9
    assert "--overwrite" in err
    assert run_main(capsys, *arguments, "--overwrite")[0] == 0


def test_misspelt_command_lists_the_commands(capsys):
    code, _, err = run_main(capsys, "rnu")
    assert code == 2
    assert "simulate" in err


def test_debug_shows_the_traceback(capsys):
    code, _, err = run_main(capsys, "--debug", "run", "--bed", "absent", "--env", "x", "-K", 1, "--out", "r")
    assert code == 6
    assert "Traceback" in err


def test_simulate_writes_a_fileset(tmp_path, capsys):
    code, text, _ = run_main(capsys, "simulate", "--out", tmp_path / "s", "--samples", 40, "--snps", 300)
    assert code == 0
    assert str(tmp_path / "s.bed") in text


def test_info_names_version_blas_and_threads(capsys):
    code, text, _ = run_main(capsys, "info")
    assert code == 0
    for word in ("lfmm2:", "BLAS:", "threads:", "SIMD:"):
        assert word in text


def test_info_measures_the_rates_of_the_passes(capsys, monkeypatch):
    from lfmm2.genotypes import kernel_rates

    monkeypatch.setattr(kernel_rates, "N_SNPS", 512)
    monkeypatch.setattr(kernel_rates, "N_ROUNDS", 1)
    code, text, _ = run_main(capsys, "info", "--measure")
    assert code == 0
    rates = dict(
        line.split(":", 1) for line in text.splitlines() if line.startswith(("dgemm", "gram", "prod", "tests"))
    )
    assert set(rates) == {"dgemm", "gram, 0.0% missing", "gram, 0.5% missing", "products", "tests"}
    assert all(float(rate.split()[0]) > 0 for rate in rates.values())


def test_memory_without_unit_is_mebibytes(data, tmp_path, capsys):
    arguments = ("run", "--bed", data.bed, "--env", data.env, "-K", 3, "--out", tmp_path / "r", "--dry-run")
    _, text, _ = run_main(capsys, *arguments, "--memory", "700")
    assert "of a budget of 700 MiB" in text


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("slow") / "plants", n_samples=2000, n_snps=60_000, n_variables=1, seed=2)


def start(data, folder, *options):
    """A run in a process of its own that has printed its plan, so all is checked and the work begins."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lfmm2", "run", "--bed", data.bed, "--env", data.env, "--out", folder / "r", *options],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals,
    )  # fmt: skip
    process.stdout.readline()
    return process


def processor_seconds(pid):
    """Processor time of a running process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children_seconds():
    """Processor time of all processes that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def heed_signals():
    """Undo what nohup or a shell without job control has asked of the tests themselves."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted_run_ends_within_a_second_and_can_be_resumed(slow, tmp_path, number, code):
    spent = children_seconds()
    process = start(slow, tmp_path, "-K", "30", "--solver", "power", "--power-iter", "40", "--threads", "2")
    # An interrupted run that has kept nothing yet leaves nothing.
    while process.poll() is None and not list(tmp_path.glob("r.state/pass-*.npz")):
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(number)
    spent += processor_seconds(process.pid)
    _, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    assert "Traceback" not in err
    # A second of both threads, and the end of the process. Wall time would be that of a busy machine and its disk.
    assert children_seconds() - spent < 3
    assert [path.name for path in tmp_path.iterdir()] == ["r.state"]
    # Where Python has no turn within the second, the process is ended with one word.
    assert "r.state keeps what is done; the same command with --resume goes on from there" in err or (
        err.endswith("Interrupted.\n") and slowdown() > 2
    )


def test_run_interrupted_while_it_writes_can_be_resumed(slow, tmp_path):
    options = ("-K", "1", "--est-rate", "0.01", "--format", "tsv.gz")
    process = start(slow, tmp_path, *options)
    while process.poll() is None and not list(tmp_path.glob("r.state/*.gz.part")):
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 143, err
    assert [path.name for path in tmp_path.iterdir()] == ["r.state"]
    # not by `start`, which reads a line and with it, at times, others that are not seen again
    command, environment = process.args, {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    resumed = subprocess.run(
        [*command, "--resume"], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed with:     the factors" in resumed.stdout
    assert len(lfmm2.verify(tmp_path / "r")) == 7
    assert not (tmp_path / "r.state").exists()


def test_factorisation_that_python_cannot_interrupt_is_ended(tmp_path):
    """LAPACK holds the main thread for long: the timer ends the process all the same, with the exit code."""
    code = (
        "import signal, time, numpy as np, scipy.linalg; from lfmm2.cli import program; program._catch_signals(); "
        "A = np.random.default_rng(0).standard_normal((3000, 3000)); A += A.T; print(flush=True); "
        "scipy.linalg.eigh(A, driver='ev'); time.sleep(20)"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    spent = children_seconds()
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=-1, stderr=-1, text=True, preexec_fn=heed_signals
    )
    process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    spent += processor_seconds(process.pid)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 143, err
    assert children_seconds() - spent < 3
    assert "Interrupted." in err


def test_error_after_a_signal_that_a_library_swallowed_is_an_interruption():
    """As pyarrow does while it loads pandas, which is then half there."""
    code = (
        "import os, signal, time; from lfmm2.cli import program\n"
        "def swallow(**_):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.1)\n"
        "    except BaseException:\n"
        "        pass\n"
        "    raise AttributeError('partially initialized module')\n"
        "program.cli.main = swallow; program.main(['info'])"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=environment, capture_output=True, text=True, check=False, timeout=30, preexec_fn=heed_signals,
    )  # fmt: skip
    assert ended.returncode == 143, ended.stderr
    assert ended.stderr == "Interrupted.\n"


def test_reader_of_the_output_that_goes_away_is_no_internal_error(slow, tmp_path):
    process = start(slow, tmp_path, "-K", "1", "--est-rate", "0.01")
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) in (0, 7)
    assert "internal error" not in err
    assert "Exception ignored" not in err


def test_hangup_stays_ignored_under_nohup():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["--debug"]])
def test_alone_it_prints_help(capsys, arguments):
    code, text, err = run_main(capsys, *arguments)
    assert code == 0
    assert text.startswith("Usage: lfmm2 ")
    assert err == ""


def test_version_is_printed(capsys):
    code, text, _ = run_main(capsys, "--version")
    assert code == 0
    assert text.startswith("lfmm2 ")


def test_every_option_has_help():
    for command in cli.commands.values():
        assert command.help
        assert all(p.help for p in command.params if isinstance(p, click.Option)), command.name


def test_options_of_run_are_those_of_the_function():
    names = {parameter.name for parameter in cli.commands["run"].params} - {
        "dry_run", "report", "vcf", "keep_bed", "pfile", "bgen", "bed_list", "est_bed_list", "zarr", "vcf_dosage",
        "matrix", "samples_are", "features", "sample_ids", "layer", "config", "quiet", "verbose", "log_json",
        "dask", "dask_slurm",
    }  # fmt: skip
    renamed = {
        "bed": "full_bed", "env": "X", "n_factors": "K", "power_iter": "n_power_iter", "threads": "n_threads",
        "format_": "format",
    }  # fmt: skip
    # Y is another name of full_bed.
    of_python_alone = {option.name for option in TABLE if not option.flags} | {"Y"}
    assert {renamed.get(name, name) for name in names} == set(inspect.signature(lfmm2.run).parameters) - of_python_alone


@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_may_stand_anywhere(capsys, place):
    arguments = ["run", "--bed", "absent", "--env", "x", "-K", 1, "--out", "r"]
    arguments.insert(place, "--debug")
    code, _, err = run_main(capsys, *arguments)
    assert code == 6
    assert "Traceback" in err


def test_usage_error_points_to_the_help(capsys):
    code, _, err = run_main(capsys, "run", "--sovler", "exact")
    assert code == 2
    assert "--solver" in err
    assert "lfmm2 run --help" in err


@pytest.mark.parametrize(("text", "shown"), [("700", "700"), ("699.5", "700"), (" 2GB ", "2 048"), ("100000kB", "98")])
def test_memory_units(data, tmp_path, capsys, text, shown):
    arguments = ("run", "--bed", data.bed, "--env", data.env, "-K", 3, "--out", tmp_path / "r", "--dry-run")
    code, out, err = run_main(capsys, *arguments, "--memory", text)
    assert code == 0, err
    assert f"of a budget of {shown} MiB" in out


def test_record_holds_the_command(data, tmp_path, capsys, monkeypatch):
    arguments = ["run", "--bed", str(data.bed), "--env", str(data.env), "-K", "3", "--out", str(tmp_path / "r")]
    monkeypatch.setattr(sys, "argv", ["lfmm2", *arguments])
    assert run_main(capsys, *arguments)[0] == 0
    assert json.loads((tmp_path / "r.lfmm2.json").read_text())["command"].startswith("lfmm2 run --bed ")
