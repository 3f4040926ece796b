"""A command made from a table of options: arguments, help in sections, and what happens to an option given twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from lfmm2.errors import UsageError
from lfmm2.pipeline.options import FLAG, NAMES, NUMBER, OPTIONS, PATH, SECTIONS, SNP_LIST, TEXT, WHOLE, Option

# readable: an input that is not is an error of reading, which has its own exit code
_A_PATH = click.Path(path_type=Path, readable=False)
_TYPES: dict[str, Any] = {PATH: _A_PATH, SNP_LIST: _A_PATH, TEXT: str, NAMES: str, WHOLE: int, NUMBER: float}
_COUNTS = {2: "twice", 3: "three times"}
HELP = "Help"


class OptionCommand(click.Command):
    """A command with the options of a table, of which the help shows one section after the other."""

    def __init__(self, *args: Any, options: Sequence[Option], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.options = [option for option in options if option.flags]
        self.params += map(_as_click, self.options)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the headings of their sections."""
        section_of = {option.name: option.section for option in self.options}
        rows: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
        rest = HELP if len(set(section_of.values())) > 1 else "Options"
        for parameter in self.get_params(ctx):
            if (row := parameter.get_help_record(ctx)) is not None:
                rows.setdefault(section_of.get(parameter.name or "", rest), []).append(row)
        for section, lines in rows.items():
            if lines:
                with formatter.section(section):
                    formatter.write_dl(lines)


def of_other_command(name: str, **changes: Any) -> Option:
    """Return an option of `run` for a command without sections, with another help or default."""
    return replace(OPTIONS[name], **{"section": "Options", **changes})


def _as_click(option: Option) -> click.Option:
    """Return an option as click takes it; it gathers all values that are given, so that none is lost."""
    names = [*option.flags.split(", "), option.name]
    if option.kind == FLAG:
        return click.Option(names, is_flag=True, help=option.help)
    facts = [str(option.range)] * (option.range is not None) + ["may be repeated"] * option.repeatable
    return click.Option(
        names,
        type=_TYPES[option.kind] if isinstance(option.kind, str) else click.Choice(option.kind),
        multiple=True,
        default=None if option.default is None else (option.default,),
        show_default=option.default is not None,
        required=option.required,
        metavar=option.metavar,
        help=option.help + (f"  [{'; '.join(facts)}]" if facts else ""),
        callback=_gather(option),
    )


def _gather(option: Option) -> Callable[[click.Context, click.Parameter, Sequence[Any]], Any]:
    """Return the function that makes one value of all that were given: None of none, itself of one."""

    def gather(context: click.Context, parameter: click.Parameter, values: Sequence[Any]) -> Any:
        if len(values) <= 1:
            return values[0] if values else None
        if not option.repeatable:
            *first, last = (str(value) or "''" for value in values)
            count = _COUNTS.get(len(values), f"{len(values)} times")
            fact = f"{option.flags.split(', ')[-1]} is given {count}, as {', '.join(first)} and {last}"
            raise UsageError(f"{fact}; give it once")
        return ",".join(values) if option.kind == NAMES else list(values)

    return gather
