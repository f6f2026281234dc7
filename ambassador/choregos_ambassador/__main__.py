"""Run the ambassador: `python -m choregos_ambassador`."""

from choregos_ambassador.main import run

run()
