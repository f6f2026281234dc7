"""One target under atheris: `python -m fuzz.guided TARGET DIRECTORY [libFuzzer's options]`."""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["choregos_contract", "choregos_ambassador"]):
    from fuzz.targets import TARGETS


def run(name: str, directory: Path, options: list[str]) -> None:
    """Fuzz until an input breaks a property or the options say that it is enough; the process ends with this."""
    target = TARGETS[name]
    corpus = directory / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    prefix = f"-artifact_prefix={directory}/"
    atheris.Setup([sys.argv[0], *options, prefix, f"-max_len={target.longest}", str(corpus)], target.consume)
    atheris.Fuzz()


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
