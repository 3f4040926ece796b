"""Writes options.md from the tables of options: `make options`."""

from __future__ import annotations

from pathlib import Path

from lfmm2.cli.option_command import OptionCommand
from lfmm2.cli.program import cli
from lfmm2.cli.scatter_commands import FACTORS
from lfmm2.pipeline.options import ALL_FUNCTIONS, FLAG, SECTIONS, TABLE, Option

PAGE = Path(__file__).with_name("options.md")
PYTHON_NAMES = {
    "combine": "combine_parts", "convert": "convert", "factors": "estimate_for_parts", "hits": "find_hits",
    "offset": "genetic_offset", "pack": "pack", "report": "write_report", "simulate": "simulate", "test": "test_part",
}  # fmt: skip

INTRODUCTION = """\
# Options

Made by `make options` from the tables that the program itself uses; `lfmm2 COMMAND --help` says the same.

An option that *may be repeated* takes all of its values: `--keep a.txt --keep b.txt` keeps the samples of either list,
`--extract` and `--exclude` take the SNPs of any of their files together, `--variables temp --variables rain` is
`--variables temp,rain`, and several tables of `--env` or `--covar` are joined by sample ID: a sample needs a row in
each, and no two tables may have a column of one name. Filesets of several `--bed` follow each other, in the order
given. In Python such a parameter takes a list:
`keep=["a.txt", "b.txt"]`, `X=["climate.csv", "soil.csv"]` or `X=[frame, other_frame]` (a list of numbers is still one
variable), `extract=[Path("a.txt"), Path("b.txt")]` (text in such a list is an ID). Any other option that is given twice
is an error, also with the same value; flags may be repeated.
"""


def make_page() -> str:
    """Return the page: a chapter for each command, in which each section is a table."""
    chapters = [INTRODUCTION]
    for name, command in sorted(cli.commands.items(), key=lambda item: item[0] != "run"):
        if not isinstance(command, OptionCommand):
            continue
        chapters.append(f"## lfmm2 {name}\n")
        is_run = name == "run"
        if is_run:
            chapters.append(
                "`run`, `estimate_factors` and `test_associations` of Python have the same options by the names in\n"
                "the second column; the last column says which of them. An option marked ° changes no result, or only\n"
                "through the samples, SNPs or variables that it chooses: a run that is resumed may have another.\n"
            )
        elif name in PYTHON_NAMES:
            chapters.append(f"In Python `lfmm2.{PYTHON_NAMES[name]}`.\n")
        if command.options == list(FACTORS):
            chapters.append("The options of `lfmm2 run`, but for `--report`.\n")
            continue
        options = TABLE if is_run else command.options
        chapters.append("".join(f"    {example.line}\n" for example in command.examples))
        for section in dict.fromkeys(option.section for option in options):
            if section in SECTIONS:
                chapters.append(f"### {section}\n")
            chapters.append(make_table([option for option in options if option.section == section], is_run))
    return "\n".join(chapters)


def make_table(options: list[Option], with_functions: bool) -> str:
    """Return a Markdown table of options."""
    heads = ["Option", "Python", "Value", "Default", "Meaning", *(["Functions"] if with_functions else [])]
    rows = [heads, ["---"] * len(heads)]
    for option in options:
        flags = ", ".join(f"`{flag}`" for flag in option.flags.split(", ") if flag)
        row = [flags + "°" * (with_functions and not option.changes_results), f"`{option.name}`"]
        row += [describe_value(option), describe_default(option), option.help.replace("|", "\\|").replace("<", "\\<")]
        if with_functions:
            row.append("all" if option.functions == ALL_FUNCTIONS else ", ".join(option.functions) or "none")
        rows.append(row)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def describe_value(option: Option) -> str:
    """Say what an option takes."""
    if isinstance(option.kind, tuple):
        kind = ", ".join(f"`{word}`" for word in option.kind)
    elif option.range is not None:
        kind = f"{option.kind} {option.range}"
    else:
        kind = option.kind
    return kind + "; may be repeated" * option.repeatable


def describe_default(option: Option) -> str:
    """Say what holds where an option is not given."""
    if option.required:
        return "required"
    return "" if option.default is None or option.kind == FLAG else f"`{option.default}`"


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
