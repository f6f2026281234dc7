"""The generated pages: a module for each, and what they share. `docs/generate.py` writes them."""
