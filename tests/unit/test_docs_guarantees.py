"""Every promise in docs/guarantees.md names tests that prove it, and these tests are there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from support.console_script import ROOT

PAGE = ROOT / "docs" / "guarantees.md"
PROOF = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
PROMISED = PAGE.read_text().partition("\n## What is not promised")[0]
PROMISES = re.findall(r"^\d+\. \*\*(.+?)\*\*(.*?)(?=^\d+\. |^## |\Z)", PROMISED, re.MULTILINE | re.DOTALL)


@cache
def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    return {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_there_are_promises_in_order() -> None:
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", PROMISED, re.MULTILINE)]
    assert numbers == list(range(1, len(PROMISES) + 1))
    assert len(PROMISES) > 10


@pytest.mark.parametrize(("promise", "proof"), PROMISES, ids=[each[0][:40] for each in PROMISES])
def test_a_promise_is_one_sentence_with_a_proof(promise: str, proof: str) -> None:
    assert promise.endswith(".")
    assert PROOF.findall(proof)


@pytest.mark.parametrize(("file", "name"), sorted(set(PROOF.findall(PAGE.read_text()))))
def test_a_proof_that_is_named_is_there(file: str, name: str) -> None:
    assert name.startswith("test_")
    assert name in functions_of(ROOT / file)
