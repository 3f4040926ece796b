"""Deliberate breakages, each of which a named test must find: what the guarantees of docs/reliability.md rest on.

Each canary changes one place of a copy of the package and runs one test on it, which must fail; unchanged, it must
pass. Where the text that a canary changes is gone, the canary fails and is to be adapted.

    PYTHONPATH=src:tests python -m torture.canaries
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import lfmm2
from torture.sanitizers import Build, Toolchain, missing_build_tools
from torture.seeded_bugs import SeededBug

ROOT = Path(__file__).resolve().parents[2]
TESTS_FAILED = 1  # exit code of pytest, as against that of tests that are not found


@dataclass(frozen=True)
class Canary:
    """`old` in `file` becomes `new`, and `test` must fail."""

    name: str
    file: str
    old: str
    new: str
    test: str


CANARIES = (
    Canary(
        "an output takes its name before it is on the disk",
        "files/whole_files.py",
        "                if self._is_durable:\n                    os.fsync(self._raw.fileno())\n",
        "",
        "pipeline/test_publication.py::test_manifest_comes_last_and_after_the_others_are_on_the_disk",
    ),
    Canary(
        "the manifest is shown before the tables",
        "pipeline/result_files.py",
        'sorted(self.paths, key=lambda name: name == "record")',
        'sorted(self.paths, key=lambda name: name != "record")',
        "pipeline/test_result_files.py::test_record_is_the_last_file_to_appear",
    ),
    Canary(
        "the folder is not flushed after a rename",
        "files/whole_files.py",
        "            os.fsync(descriptor)\n",
        "            pass\n",
        "files/test_output_sets.py::test_output_set_flushes_files_then_renames_then_flushes_the_folder",
    ),
    Canary(
        "a full disk goes unnoticed",
        "files/whole_files.py",
        "        with translated(self.target):\n            n_written = super().write(data)\n",
        "        try:\n            n_written = super().write(data)\n"
        "        except OSError:\n            n_written = memoryview(data).nbytes\n",
        "files/test_whole_files.py::test_whole_file_on_a_full_disk_is_a_write_error",
    ),
    Canary(
        "a short read is taken for a whole one",
        "files/stored_bytes.py",
        "            out = out[n_read:]\n",
        "            out = out[len(out):]\n",
        "genotypes/test_packed_bed.py::test_read_packed_goes_on_after_short_reads",
    ),
    Canary(
        "a .bed that shrinks is read as if it had not",
        "files/stored_bytes.py",
        "            if n_read == 0:\n",
        "            if n_read == 0:\n                return\n            if n_read < 0:\n",
        "genotypes/test_packed_bed.py::test_read_packed_reports_shrunken_file",
    ),
    Canary(
        "pad bits are not looked at",
        "genotypes/packed_bed.py",
        "        if self.n_samples % 4 == 0 or",
        "        if True or",
        "genotypes/test_packed_bed.py::test_packed_bed_refuses_pad_bits",
    ),
    Canary(
        "a .bed that is replaced between the passes goes unnoticed",
        "genotypes/packed_bed.py",
        "        for stamp in self._stamps:\n            stamp.check()\n",
        "        return\n",
        "genotypes/test_plink.py::test_check_unchanged_says_which_file_changed",
    ),
    Canary(
        "rows of a .bed that was overwritten are kept",
        "pipeline/checkpoints.py",
        "        self._folder.check_inputs()\n        self._folder.keep_note",
        "        self._folder.keep_note",
        "field/test_field_changed_bed.py::test_what_was_kept_before_the_change_was_made_of_the_right_genotypes",
    ),
    Canary(
        "a .bed whose old time was put back is taken for unchanged",
        "files/file_stamps.py",
        "        elif now.st_ctime_ns != then.st_ctime_ns:\n",
        "        elif False:\n",
        "field/test_field_changed_bed.py::test_change_whose_old_time_is_put_back_is_found",
    ),
    Canary(
        "a long .bim is not looked at after it was read",
        "genotypes/plink.py",
        "        self._stamps[1].check()\n",
        "",
        "field/test_field_changed_bed.py::test_long_bim_that_changes_while_the_last_table_is_written",
    ),
    Canary(
        "resume takes the state of another run",
        "pipeline/state_folder.py",
        "        if fields := find_differences(before, identity):\n",
        "        if fields := []:\n",
        "test_resume.py::test_resume_refuses_other_parameters",
    ),
    Canary(
        "resume takes damaged statistics",
        "pipeline/statistics_store.py",
        "if self._sums != note.checksums:",
        "if False:",
        "test_resume.py::test_damaged_statistics_are_made_again",
    ),
    Canary(
        "resume takes the product of another question",
        "pipeline/resumable_matrix.py",
        'str(kept.pop("key", None)) != self._key',
        'not kept.pop("key", None).size',
        "pipeline/test_resumable_matrix.py::test_other_questions_are_answered_anew",
    ),
    Canary(
        "the lock of another run is ignored",
        "files/folder_lock.py",
        "    except BlockingIOError:\n        return False\n",
        "    except BlockingIOError:\n        return True\n",
        "pipeline/test_state_folder.py::test_lock_of_another_process_is_named_and_ends_with_it",
    ),
    Canary(
        "the lock of a folder that was just removed is taken for one",
        "files/folder_lock.py",
        "            if not os.path.samestat((self.folder / LOCK).lstat(), os.fstat(descriptor)):\n",
        "            if False:\n",
        "files/test_folder_lock.py::test_lock_of_a_folder_that_was_just_removed_is_not_taken_for_one",
    ),
    Canary(
        "a file that another run has just finished is emptied",
        "files/whole_files.py",
        "            return os.path.samestat(self._part.lstat(), os.fstat(descriptor))\n",
        "            return True\n",
        "files/test_whole_files.py::test_whole_file_does_not_touch_a_file_that_took_its_name_meanwhile",
    ),
    Canary(
        'a file that is not of lfmm2 is replaced',
        'files/output_sets.py',
        '        return self.find_stamp(path) is not None\n',
        '        return True\n',
        'files/test_output_sets.py::test_output_set_does_not_replace_what_its_manifest_does_not_vouch_for',
    ),
    Canary(
        'a record vouches for any file',
        'results/former_files.py',
        '            if name in names:\n',
        '            if True:\n',
        'field/test_field_outputs.py::test_record_that_lists_a_file_of_the_user_does_not_remove_it',
    ),
    Canary(
        'a link is written through',
        'files/whole_files.py',
        '    if fault := find_link(path):\n',
        '    if fault := "":\n',
        'files/test_whole_files.py::test_whole_file_does_not_write_through_a_link',
    ),
    Canary(
        'another run that writes the same file goes unnoticed',
        'files/folder_lock.py',
        '                self._check_rivals()\n',
        '                pass\n',
        'field/test_field_outputs.py::test_run_does_not_begin_where_another_writes_a_file_of_the_same_name',
    ),
    Canary(
        "rows are noted before they are on the disk",
        "pipeline/state_folder.py",
        "                    os.fsync(row_file.fileno())\n",
        "                    pass\n",
        "pipeline/test_checkpoints.py::test_rows_are_on_the_disk_before_the_note_that_vouches_for_them",
    ),
    Canary(
        "rows that a note counts on are not flushed",
        "pipeline/statistics_store.py",
        "self._checkpoints.keep_note(_NOTE, asdict(note), rows)",
        "self._checkpoints.keep_note(_NOTE, asdict(note))",
        "pipeline/test_checkpoints.py::test_every_note_of_a_run_about_rows_comes_after_they_are_on_the_disk",
    ),
    Canary(
        "resume takes outputs under their names for its own without a look",
        "pipeline/publication.py",
        "        if target.exists() and matches(target, self._stamps[key]):\n",
        "        if target.exists():\n",
        "pipeline/test_publication.py::test_output_that_changed_under_its_name_is_not_taken_for_finished",
    ),
    Canary(
        "a large .bim is not looked at again after the last pass",
        "genotypes/plink.py",
        "        self._stamps[1].check()\n",
        "",
        "test_resume.py::test_bim_that_is_replaced_between_two_tables_is_an_error",
    ),
    Canary(
        "the plan counts a twelfth of what writing a table takes",
        "files/table_files.py",
        "GROUP_BYTES, USUAL_COLUMNS = 48 << 20, 15",
        "GROUP_BYTES, USUAL_COLUMNS = 4 << 20, 15",
        "files/test_table_files.py::test_plan_counts_the_memory_that_writing_a_group_takes",
    ),
    Canary(
        "verify does not compare contents",
        "files/seals.py",
        'stamp_of(path)["sha256"] == stamp["sha256"]',
        "True",
        "files/test_seals.py::test_one_flipped_bit_is_found_in_any_file",
    ),
    Canary(
        "groups of SNPs depend on the number of threads",
        "genotypes/bed_matrix.py",
        "packed, n, self._coding, S, G, tiling.tile_snps, tiling.chunk_samples, tiling.group_tiles,",
        "packed, n, self._coding, S, G, tiling.tile_snps, tiling.chunk_samples, 1 + n_threads,",
        "genotypes/test_matrix.py::test_threads_do_not_change_a_bit",
    ),
    Canary(
        "samples are matched by row instead of by ID",
        "files/variable_tables.py",
        "    rows = np.array([row_of_id.get(key, -1) for key in ours], dtype=np.int64)\n",
        "    rows = np.array([i if key in row_of_id else -1 for i, key in enumerate(ours)], dtype=np.int64)\n",
        "files/test_variable_tables.py::test_read_variables_takes_tables_in_memory",
    ),
    Canary(
        "threads of BLAS are not given back",
        "process/threads.py",
        "            if self._users or self.before is None:\n                return\n",
        "            return\n",
        "test_guest_manners.py::test_last_of_overlapping_users_restores_blas_threads",
    ),
)  # fmt: skip

# the kernels' canary, for which they are built
UNORDERED_SUM = SeededBug(
    "groups are added in an order that depends on the threads",
    "_core.pyx",
    "G_out[i, column] += accumulators[i, column, slot]",
    "G_out[i, column] += accumulators[i, column, (slot + n_threads) % n_wave]",
    "",
)
UNORDERED_SUM_TEST = "tests/kernels/test_core.py::test_gram_product_is_the_same_for_any_slots_and_threads"


def run_tests(package: Path, tests: list[str]) -> tuple[int, str]:
    """Exit code of pytest and its output, on the package in this folder."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(package.parent), str(ROOT / "tests")])}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *(f"tests/{test}" for test in tests)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    return done.returncode, done.stdout[-3000:]


def is_caught(canary: Canary, package: Path) -> bool:
    """Whether its test fails on the package with the breakage; the package is put right again."""
    path = package / canary.file
    text = path.read_text(encoding="utf-8")
    assert text.count(canary.old) == 1, f"{canary.name}: its text occurs {text.count(canary.old)} times in {path.name}"
    path.write_text(text.replace(canary.old, canary.new), encoding="utf-8")
    try:
        code, output = run_tests(package, [canary.test])
    finally:
        path.write_text(text, encoding="utf-8")
    assert code in (0, TESTS_FAILED), f"{canary.name}: exit code {code} of pytest\n{output}"
    return code == TESTS_FAILED


def unordered_sum_is_caught(folder: Path) -> bool:
    """The same for the sum of groups in the kernels, which are built twice."""
    build = Build(Toolchain(shutil.which("gcc") or "cc", "", (), ()), folder)
    code, output = build.pytest([UNORDERED_SUM_TEST])
    assert code == 0, output[-3000:]
    UNORDERED_SUM.apply(build.sources / "src" / "lfmm2")
    build.compile()
    code, output = build.pytest([UNORDERED_SUM_TEST])
    return code == TESTS_FAILED


def run(full: bool) -> dict[str, object]:
    """How many breakages there are, and how many were caught; three of them in the quick tier."""
    canaries = CANARIES if full else CANARIES[:3]
    n_canaries, missed = len(canaries), []
    with tempfile.TemporaryDirectory(prefix="lfmm2-canaries-") as folder:
        package = Path(folder) / "lfmm2"
        shutil.copytree(lfmm2.__path__[0], package, ignore=shutil.ignore_patterns("__pycache__"))
        code, output = run_tests(package, [canary.test for canary in canaries])
        assert code == 0, f"the tests fail without a breakage:\n{output}"
        missed += [canary.name for canary in canaries if not is_caught(canary, package)]
        if full and not missing_build_tools():
            n_canaries += 1
            (Path(folder) / "build").mkdir()
            if not unordered_sum_is_caught(Path(folder) / "build"):
                missed.append(UNORDERED_SUM.name)
    assert not missed, f"not caught: {'; '.join(missed)}"
    return {"breakages": n_canaries, "caught": n_canaries}


if __name__ == "__main__":
    print(json.dumps(run(full=True), indent=2))
