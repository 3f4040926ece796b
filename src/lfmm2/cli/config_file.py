"""The file of `--config`: options in TOML, or those of an earlier run, which its record has as a command line."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from lfmm2._checks import quoted
from lfmm2.cli.hints import find_sentence
from lfmm2.cli.option_command import OptionCommand, refuse_repeated
from lfmm2.errors import LfmmError, MalformedInputError, ReadError, UsageError
from lfmm2.pipeline.options import FLAG, NAMES, Option

# Parameter of the option that names the file.
CONFIG = "config"
# Options of a record that are not repeated: they say how files of that time were to be treated, not what was computed.
_OF_THAT_TIME = ("overwrite", "resume", "dry_run", "quiet", "verbose", "log_json")
# Largest file that is read, in bytes; a record of thousands of samples and tables is far smaller.
_MOST_BYTES = 1 << 28
_COMMAND = "lfmm2.cli.command"


class ConfiguredCommand(OptionCommand):
    """A command whose options may stand in a file too; those of the command line win over those of the file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments after those of the file, and keep the command line that both make together."""
        given, rest = self._split(ctx, args)
        path: Path | None = None
        from_file: dict[str, list[str]] = {}
        if CONFIG in given and not ctx.resilient_parsing:
            if len(given[CONFIG]) > 1:
                refuse_repeated("--config", given[CONFIG])
            path = Path(given.pop(CONFIG)[0])
            from_file = {name: parts for name, parts in self._read(ctx, path).items() if name not in given}
            own = [part for name, value in given.items() for part in self._as_arguments(name, value)]
            args = [part for parts in from_file.values() for part in parts] + own + rest
        ctx.meta[_COMMAND] = shlex.join([*ctx.command_path.split(), *args])
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            if error.param is not None and error.param.name in from_file:
                raise UsageError(f"{path}: {error.format_message()}") from error
            raise

    def _parse(self, ctx: click.Context, args: Sequence[str]) -> dict[str, Any]:
        """Return the texts of each parameter that the arguments give, by name; a flag has one value alone."""
        return self._split(ctx, args)[0]

    def _split(self, ctx: click.Context, args: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """Return what `_parse` returns, and the words that belong to no option, which are refused later."""
        known, rest, _ = self.make_parser(ctx).parse_args(list(args))
        return dict(known), list(rest)

    def _as_arguments(self, name: str, value: Any) -> list[str]:
        """Return arguments that give a parameter this value, as `_parse` returns it."""
        flag = next(parameter.opts[-1] for parameter in self.params if parameter.name == name)
        return [part for text in value for part in (flag, text)] if isinstance(value, list | tuple) else [flag]

    def _read(self, ctx: click.Context, path: Path) -> dict[str, list[str]]:
        """Return the arguments that a file gives, by name of parameter."""
        text = _read_text(path)
        if text.lstrip().startswith("{"):
            words = _command_of_record(path, text, ctx.command_path)
            given = self._parse(ctx, words)
            return {name: self._as_arguments(name, of) for name, of in given.items() if name not in _OF_THAT_TIME}
        try:
            entries = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            remedy = 'write lines such as maf = 0.05, and texts in quotes, env = "climate.csv"'
            raise MalformedInputError(f"{path}: is no TOML, {error}; {remedy}") from error
        options = _options_by_key(self.options)
        found: dict[str, list[str]] = {}
        for key, value in entries.items():
            option = options.get(key.replace("_", "-"))
            if option is None:
                raise UsageError(f"{path}: {quoted(key)} is no option of {ctx.command_path}; {_advise(key, options)}")
            if option.name in found:
                raise UsageError(f"{path}: {key} is given twice, by two of its names; give it once")
            found[option.name] = _arguments_of(path, key, value, option)
        return found


def command_of(ctx: click.Context) -> str:
    """Return the command line of a run, with the options that came from a file."""
    command: str = ctx.meta[_COMMAND]
    return command


def _read_text(path: Path) -> str:
    """Return the text of a file."""
    try:
        if path.exists() and not path.is_file():
            raise ReadError(f"{path}: is a directory, a pipe or a device; give the path of a regular file")
        if path.exists() and path.stat().st_size > _MOST_BYTES:
            raise MalformedInputError(f"{path}: is too large for a file of options; give a TOML file, or a record")
        return path.read_text(encoding="utf-8-sig")
    except LfmmError:
        raise
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror}); check the path of --config") from error
    except ValueError as error:
        raise MalformedInputError(f"{path}: is no text in UTF-8; give a TOML file, or the record of a run") from error


def _command_of_record(path: Path, text: str, command_path: str) -> list[str]:
    """Return the words of the command line in the record of a run, without the name of the command."""
    try:
        record = json.loads(text)
        command = record["command"]
        words = shlex.split(command)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MalformedInputError(
            f"{path}: begins as JSON, but is no record of a run; give <out>.lfmm2.json, or a TOML file"
        ) from error
    name = command_path.split()
    if words[: len(name)] != name:
        fact = f"{path}: was written by {quoted(command)}, not by the command {command_path}"
        raise UsageError(f"{fact}; its options cannot be repeated here, write them into a TOML file")
    return words[len(name) :]


def _options_by_key(options: Sequence[Option]) -> dict[str, Option]:
    """Return the options by each name that a file may give them: their flags without hyphens."""
    return {
        flag.lstrip("-"): option for option in options for flag in option.flags.split(", ") if option.name != CONFIG
    }


def _advise(key: str, options: Mapping[str, Option]) -> str:
    """Say what to write in place of a key that is no option."""
    if key == CONFIG:
        return "a file of options cannot name another"
    if sentence := find_sentence(key):
        return sentence
    near = get_close_matches(key.replace("_", "-"), options, n=1)
    return f"the nearest name is {near[0]}" if near else "lfmm2 run --help shows all options"


def _arguments_of(path: Path, key: str, value: Any, option: Option) -> list[str]:
    """Return the arguments of the command line that give an option the value of a file."""
    flag = option.flags.split(", ")[-1]
    if option.kind == FLAG:
        if not isinstance(value, bool):
            raise UsageError(f"{path}: {key} is {quoted(value)}; it is a flag, write true or false")
        return [flag] if value else []
    values = value if isinstance(value, list) else [value]
    if not values or any(isinstance(item, bool) or not isinstance(item, str | int | float) for item in values):
        raise UsageError(f"{path}: {key} is {quoted(value)}; write a number, or a text in quotes")
    texts = [str(item) for item in values]
    if option.kind == NAMES:
        texts = [",".join(texts)]
    elif len(texts) > 1 and not option.repeatable:
        raise UsageError(f"{path}: {key} is a list; give one value")
    return [part for text in texts for part in (flag, text)]
