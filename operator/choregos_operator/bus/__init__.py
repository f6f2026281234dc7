"""The operator's side of NATS: from the wiring that is wanted to streams and durables that stand.

A pass over one bus: `connections` gives an `Asker`; `survey` reads in a few requests what exists; `drift` and the
contract's `plan` compare; `orphans` says what became of durables that nobody wants; `bring_about` does it, and tells what it
did. `ambassadors` asks who runs. Decisions are pure; only `connections` and `asker` know nats-py.
"""
