"""The data of an event as the command line gives it: the text itself, `-` for stdin, or `@FILE`."""

import sys
from pathlib import Path

from choregos_cli.errors import MisuseError


def given_data(data: str) -> bytes:
    """Return the bytes that an option `--data` stands for; raises MisuseError for what cannot be read."""
    try:
        if data == "-":
            return sys.stdin.buffer.read()
        return Path(data[1:]).read_bytes() if data.startswith("@") else data.encode()
    except OSError as error:
        what = f"cannot read {'stdin' if data == '-' else data[1:]}: {error.strerror}"
        raise MisuseError(what, "name a file that can be read, or `-`") from error
