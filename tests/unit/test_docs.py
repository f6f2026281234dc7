"""The documentation is true: what it shows is what the files hold and what the commands print."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from choregos_cli.errors import ExitCode
from choregos_cli.main import COMMANDS
from choregos_contract.checks import check
from choregos_contract.document import load
from support.console_script import ROOT, choregos

PAGES = sorted(
    {page for names in ("*.md", "*/README.md", "docs/**/*.md", "examples/**/*.md") for page in ROOT.glob(names)}
)
BLOCK = re.compile(
    r"(?:^<!-- file: (?P<file>\S+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    file: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for found in BLOCK.finditer(text):
            line = text.count("\n", 0, found.start("text"))
            yield Block(page, line, found["language"], found["file"], found["text"])


BLOCKS = list(blocks())
CHOREOGRAPHIES = [block for block in BLOCKS if block.language == "yaml" and "kind: Choreography" in block.text]
FILES = [block for block in BLOCKS if block.file]
RUNS = [
    block for block in BLOCKS if block.language == "console" and re.search(r"^\$ choregos (lint|graph)", block.text)
]


def test_there_is_something_to_test() -> None:
    assert CHOREOGRAPHIES
    assert FILES
    assert RUNS


@pytest.mark.parametrize("block", CHOREOGRAPHIES, ids=str)
def test_every_choreography_lints_clean(block: Block) -> None:
    loaded = load(block.text, str(block))
    found = [*loaded.findings, *(each for one in loaded.choreographies for each in check(one))]
    assert [str(loaded.locate(each)) for each in found] == []
    assert loaded.choreographies


@pytest.mark.parametrize("block", FILES, ids=str)
def test_every_file_that_is_shown_is_the_one_in_the_repository(block: Block) -> None:
    assert block.file
    assert (block.page.parent / block.file).read_text() == block.text


@pytest.mark.parametrize("block", RUNS, ids=str)
def test_every_command_that_is_shown_prints_what_is_shown(block: Block) -> None:
    """`echo $?` is answered with the exit code of the command before it; other commands are not run."""
    code = 0
    for step in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, expected = step.partition("\n")
        if line == "echo $?":
            assert f"{code}\n" == expected
        elif line.startswith(("choregos lint ", "choregos graph ")):
            ended = choregos(*shlex.split(line)[1:])
            assert ended.stdout + ended.stderr == expected
            code = ended.returncode


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    prose = BLOCK.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_generated_pages_are_what_the_code_says() -> None:
    ended = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_exit_codes_of_the_help_and_of_the_page_are_the_ones_in_use() -> None:
    codes = {int(code) for code in ExitCode}
    page = (ROOT / "docs" / "cli.md").read_text()
    section = page.partition("## Exit codes")[2].partition("\n## ")[0]
    told = dict(re.findall(r"^\| (\d+) \| (.+) \|$", section, re.MULTILINE))
    assert {int(code) for code in told} == codes
    assert dict(re.findall(r"^ +(\d+) +(.+)$", choregos("--help").stdout, re.MULTILINE)) == told


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_on_the_page(command: str) -> None:
    options = set(re.findall(r"(?<![\w-])--[a-z-]+", choregos(command, "--help").stdout)) - {"--help"}
    page = (ROOT / "docs" / "cli.md").read_text()
    section = page.partition(f"## `choregos {command} ")[2].partition("\n## ")[0]
    assert options
    assert options - set(re.findall(r"`(--[a-z-]+)`", section)) == set()
