"""A command made from a table of options: its arguments, its help in sections, and options that are given twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import click

from lfmm2.errors import UsageError
from lfmm2.pipeline.options import (
    COUNT,
    FLAG,
    NAMES,
    NUMBER,
    OPTIONS,
    PATH,
    PENALTY,
    SECTIONS,
    SNP_LIST,
    TEXT,
    WHOLE,
    Option,
)

# click does not check that a path is readable: an unreadable input is a ReadError, which has its own exit code.
_A_PATH = click.Path(path_type=Path, readable=False)


class _Words(click.Choice[str]):
    """One of several words; an option that has a rule of its own says it of any other word."""

    def __init__(self, option: Option) -> None:
        super().__init__(option.kind)
        self.option = option

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if self.option.rule:
            self.option.check(value)
        word: str = super().convert(value, param, ctx)
        return word


def _penalty(text: str) -> float | str:
    """Return a number where the text is one; the check of the option judges any other text."""
    try:
        return float(text)
    except ValueError:
        return text


def _count(text: str) -> int | str:
    """Return a whole number where the text is one; the check of the option judges any other text."""
    try:
        return int(text)
    except ValueError:
        return text


_TYPES: dict[str, Any] = {
    PATH: _A_PATH, SNP_LIST: _A_PATH, TEXT: str, NAMES: str, WHOLE: int, NUMBER: float, PENALTY: _penalty,
    COUNT: _count,
}  # fmt: skip
_COUNTS = {2: "twice", 3: "three times"}
# Section of the options that are in no table, such as --help.
HELP = "Help"


@dataclass(frozen=True)
class Example:
    """A command line that the help of a command shows, and what it does."""

    line: str
    meaning: str


class OptionCommand(click.Command):
    """A command with the options of a table; its help shows them section by section, and examples at the end.

    Attributes
    ----------
    options : list of Option
        The options of the table that have a flag.
    examples : sequence of Example
    """

    def __init__(
        self, *args: Any, options: Sequence[Option] = (), examples: Sequence[Example] = (), **attributes: Any
    ) -> None:
        super().__init__(*args, **attributes)
        self.options = [option for option in options if option.flags]
        self.examples = examples
        self.params += map(_make_click_option, self.options)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples below the options, each line as it can be copied."""
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"  # {example.meaning}\n  {example.line}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the headings of their sections."""
        section_of = {option.name: option.section for option in self.options}
        rows: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
        rest = HELP if len(set(section_of.values())) > 1 else "Options"
        for parameter in self.get_params(ctx):
            # The docstring of a command describes its arguments.
            if isinstance(parameter, click.Option) and (row := parameter.get_help_record(ctx)) is not None:
                rows.setdefault(section_of.get(parameter.name or "", rest), []).append(row)
        for section, lines in rows.items():
            if lines:
                with formatter.section(section):
                    formatter.write_dl(lines)


def adapt_option(name: str, **changes: Any) -> Option:
    """Return an option of `run` for another command, without its section and with some attributes changed."""
    return replace(OPTIONS[name], **{"section": "Options", **changes})


def _make_click_option(option: Option) -> click.Option:
    """Return an option for click that passes all given values to `_gather`; click alone would use only the last."""
    names = [*option.flags.split(", "), option.name]
    if option.kind == FLAG:
        return click.Option(names, flag_value=not option.default, default=option.default, help=option.help)
    facts = [str(option.range)] * (option.range is not None) + ["may be repeated"] * option.repeatable
    return click.Option(
        names,
        type=_TYPES[option.kind] if isinstance(option.kind, str) else _Words(option),
        multiple=True,
        default=None if option.default is None else (option.default,),
        show_default=option.default is not None,
        required=option.required,
        metavar=option.metavar,
        help=option.help + (f"  [{'; '.join(facts)}]" if facts else ""),
        callback=_gather(option),
    )


def refuse_repeated(flag: str, values: Sequence[Any]) -> NoReturn:
    """Raise UsageError for an option that has several values."""
    *first, last = (str(value) or "''" for value in values)
    count = _COUNTS.get(len(values), f"{len(values)} times")
    raise UsageError(f"{flag} is given {count}, as {', '.join(first)} and {last}; give it once")


def _gather(option: Option) -> Callable[[click.Context, click.Parameter, Sequence[Any]], Any]:
    """Return the function that makes one value of all given ones: None if there is none, a list if there are several.

    Several values of an option that is not repeatable are an error, and several texts of names are joined.
    """

    def gather(context: click.Context, parameter: click.Parameter, values: Sequence[Any]) -> Any:
        if len(values) <= 1:
            return values[0] if values else None
        if not option.repeatable:
            refuse_repeated(option.flags.split(", ")[-1], values)
        return ",".join(values) if option.kind == NAMES else list(values)

    return gather
