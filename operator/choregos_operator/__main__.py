"""Run the operator: `python -m choregos_operator webhook|controller`."""

from choregos_operator.main import run

run()
