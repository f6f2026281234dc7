"""Drawings of choreographies in the documentation, as `choregos graph` draws them."""

from pathlib import Path

from choregos_contract.diagrams import render
from choregos_contract.document import load
from choregos_contract.graph import graph_of


def graph(file: Path) -> str:
    """Return the drawing of a choreography's file."""
    loaded = load(file.read_text(encoding="utf-8"), file.name)
    assert not loaded.findings, loaded.findings
    return render(graph_of(loaded.choreographies), "mermaid")
