"""Copies out of a machine what one Python process needs, into the empty root of an image.

    root.py python ROOT                 the interpreter, its standard library and the shared libraries that they load
    root.py packages ROOT VENV          a virtual environment, and the shared libraries that its modules load besides
    root.py project ROOT VENV SCRIPT    what the distribution `choregos` has installed there; of its commands, SCRIPT

Each is a layer of its own, so that a change of the code leaves the other two as they are. Bytecode is compiled here,
because nothing can be written where the image runs; it is taken unchecked, because nothing can change there either.
"""
# ruff: noqa: S603, S607  the programs are those of the base

import compileall
import importlib.metadata
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

DROPPED_MODULES = (
    # what needs a terminal, a display, a database file or NIS, what installs, what tests Python itself
    "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter", "turtledemo", "turtle.py",
    "curses", "dbm", "sqlite3", "_curses*.so", "_dbm*.so", "_gdbm*.so", "_sqlite3*.so", "_test*.so", "_tkinter*.so",
    "_ctypes_test*.so", "_xxtestfuzz*.so", "nis*.so", "readline*.so", "config-*", "site-packages", "dist-packages",
)  # fmt: skip
DROPPED_FILES = ("__pycache__", "*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.c", "*.h", "*.a")
DROPPED_PARTS = ("tests", ".lock")
"""Of a virtual environment: packages' tests, and what the installer left."""
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n",
    "etc/group": "root:x:0:\nnonroot:x:65532:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
DISTRIBUTION = "choregos"
LINKED = re.compile(r"^\s+(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)


def python(root: Path) -> None:
    """Copy the interpreter with all that it loads; give the root its accounts, and room for CA certificates."""
    for link in ("bin", "lib", "lib64", "sbin"):
        if (known := Path("/", link)).is_symlink():
            (root / "usr" / link).mkdir(parents=True, exist_ok=True)
            (root / link).symlink_to(known.readlink())
    interpreter, library = _interpreter(), _standard_library()
    _copy_file(interpreter, root)
    (_inside(root, interpreter).parent / "python3").symlink_to(interpreter.name)
    shutil.copytree(library, _inside(root, library), ignore=shutil.ignore_patterns(*DROPPED_MODULES, *DROPPED_FILES))
    _copy_libraries(_python_libraries(), root)
    _record([*_python_libraries(), interpreter, library / "os.py", library / "json" / "__init__.py"], root)
    for name, text in ACCOUNTS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    _compile(root)


def packages(root: Path, environment: Path) -> None:
    """Copy a virtual environment, and what its modules load that Python itself does not."""
    ignored = shutil.ignore_patterns(*DROPPED_FILES, *DROPPED_PARTS)
    shutil.copytree(environment, _inside(root, environment), symlinks=True, ignore=ignored)
    for command in _inside(root, environment).glob("bin/*"):
        if not command.is_symlink():
            command.unlink()  # of a package, for people
    loaded = {each for each in _loaded_by(environment.rglob("*.so*")) if not each.is_relative_to(environment)}
    _copy_libraries(loaded - _python_libraries(), root)
    _record(loaded - _python_libraries(), root)
    _compile(root)


def project(root: Path, environment: Path, script: str) -> None:
    """Copy what the distribution's RECORD lists; of its commands, only one."""
    (site,) = environment.glob("lib/python3*/site-packages")
    (distribution,) = importlib.metadata.distributions(name=DISTRIBUTION, path=[str(site)])
    for listed in distribution.files or ():
        file = (site / listed).resolve()
        if file.parent.name != "bin" or file.name == script:
            _copy_file(file, root)
    _compile(root)


def _interpreter() -> Path:
    return Path(sys.base_prefix, "bin", f"python{sysconfig.get_python_version()}").resolve()


def _standard_library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _python_libraries() -> set[Path]:
    # glibc loads libgcc_s by itself when a thread is cancelled; nothing links to it.
    modules = (each for each in _standard_library().glob("lib-dynload/*.so") if not _dropped(each))
    unwinder = next(Path("/usr/lib").glob("*-linux-gnu/libgcc_s.so.1"))
    return _loaded_by([_interpreter(), *modules]) | {_resolved(unwinder)}


def _dropped(module: Path) -> bool:
    return any(module.match(pattern) for pattern in DROPPED_MODULES)


def _loaded_by(objects: Iterable[Path]) -> set[Path]:
    """Return the shared libraries that the dynamic linker would load for these; raises SystemExit if one is nowhere."""
    files = sorted(str(each) for each in objects if each.is_file())
    told = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout if files else ""
    if "not found" in told:
        sys.exit(f"error: a shared library is nowhere:\n{told}")
    return {_resolved(Path(found)) for found in LINKED.findall(told)}


def _resolved(library: Path) -> Path:
    # The directory as it really is, the name as programs ask for it.
    return library.parent.resolve() / library.name


def _copy_libraries(libraries: Iterable[Path], root: Path) -> None:
    for library in sorted(libraries):
        _copy_file(library, root)
    # Where libraries lie outside of the linker's own directories, as in /usr/local/lib, its cache tells where.
    (root / "etc").mkdir(exist_ok=True)
    shutil.copy("/etc/ld.so.cache", root / "etc" / "ld.so.cache")


def _record(files: Iterable[Path], root: Path) -> None:
    """Keep what Debian knows of the packages that the files come from: scanners for known flaws look for it."""
    records = root / "var" / "lib" / "dpkg" / "status.d"
    records.mkdir(parents=True)
    for package in sorted(set(_owners(files))):
        (records / package).write_text(_output("dpkg-query", "--status", package))


def _owners(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        names = (str(file), str(file).removeprefix("/usr"))
        told = next(filter(None, (_output("dpkg-query", "--search", name) for name in names)), "")
        if told:
            yield told.split(":", 1)[0]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _inside(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _copy_file(file: Path, root: Path) -> None:
    copy = _inside(root, file)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, copy)


def _compile(root: Path) -> None:
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(root, quiet=1, stripdir=str(root), prependdir="/", invalidation_mode=mode, workers=0):
        sys.exit(f"error: not everything in {root} is Python")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["python", root]:
            python(Path(root))
        case ["packages", root, environment]:
            packages(Path(root), Path(environment))
        case ["project", root, environment, script]:
            project(Path(root), Path(environment), script)
        case _:
            sys.exit(__doc__)
