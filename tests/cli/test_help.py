"""The help of each command: its examples can be run as they are written."""

from __future__ import annotations

import shlex

import pytest

from lfmm2.cli.option_command import Example, OptionCommand
from lfmm2.cli.program import cli, main

COMMANDS = {name: command for name, command in cli.commands.items() if isinstance(command, OptionCommand)}
EXAMPLES = [(name, example) for name, command in COMMANDS.items() for example in command.examples]


def test_every_command_has_examples() -> None:
    assert COMMANDS.keys() == cli.commands.keys()
    assert {name for name, _ in EXAMPLES} == set(COMMANDS)


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=lambda value: getattr(value, "line", value))
def test_example_is_a_command_line_that_parses(name: str, example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    # The record that an example repeats is not there; what it gives is tested with the files of options.
    monkeypatch.setattr(
        "lfmm2.cli.config_file._read_text", lambda path: '{"command": "lfmm2 run --bed a --env b -K 2 --out c"}'
    )
    program, command, *arguments = shlex.split(example.line)
    assert (program, command) == ("lfmm2", name)
    context = COMMANDS[name].make_context(f"lfmm2 {name}", arguments)
    assert context.params


def test_help_shows_the_examples_as_they_can_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    for name, command in COMMANDS.items():
        with pytest.raises(SystemExit):
            main([name, "--help"])
        shown = capsys.readouterr().out.partition("\nExamples:\n")[2]
        assert shown.splitlines() == [
            text for example in command.examples for text in (f"  # {example.meaning}", f"  {example.line}")
        ]


def test_shell_completes_options(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_LFMM2_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "lfmm2 run --config absent.toml --mem")
    monkeypatch.setenv("COMP_CWORD", "4")
    with pytest.raises(SystemExit):
        main([])
    assert "plain,--memory" in capsys.readouterr().out
