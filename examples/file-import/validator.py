"""Validator: accepts a file, or rejects it and says what is wrong in which line; takes it back when the import fails."""

import csv
import re
from collections.abc import Iterator
from itertools import islice

from aiohttp import web
from service import application, event, event_data, serve
from table import COLUMNS, rows

MOST_PROBLEMS = 20
SHAPES = {  # of the columns, in their order
    "number": (re.compile(r"C-[0-9]+"), "C- and digits"),
    "name": (re.compile(r".*\S.*"), "not empty"),
    "email": (re.compile(r"[^@\s]+@[^@\s]+"), "an address with one @"),
    "country": (re.compile(r"[A-Z]{2}"), "two capital letters"),
}

routes = web.RouteTableDef()
files: dict[str, str] = {}  # import id -> accepted | rejected | reverted


@routes.get("/files")
async def register(_: web.Request) -> web.Response:
    """List every file that came, and what became of it."""
    return web.json_response(files)


@routes.post("/files")
async def validate(request: web.Request) -> web.Response:
    """React to FileReceived with FileValidated, which carries the same, or FileRejected."""
    data = await event_data(request, "file", "text")
    found = [{"line": line, "problem": problem} for line, problem in islice(problems(data["text"]), MOST_PROBLEMS)]
    # A repeated event must not take an import that was reverted for accepted.
    files.setdefault(data["importId"], "rejected" if found else "accepted")
    if not found:
        return event("FileValidated", "/validator", data)
    return event("FileRejected", "/validator", {"importId": data["importId"], "file": data["file"], "problems": found})


@routes.post("/files/reversals")
async def revert(request: web.Request) -> web.Response:
    """React to BatchRemoved; the answer becomes the data of ImportReverted."""
    data = await event_data(request, "file", "reason")
    files[data["importId"]] = "reverted"
    return web.json_response(data)


def problems(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and a sentence for all that is wrong in a file."""
    line, seen = 0, dict[str, int]()  # customer number -> line
    try:
        table = rows(text)
        if (heading := next(table, None)) is None or heading[1] != COLUMNS:
            yield 1, f"the first line must be {','.join(COLUMNS)}"
            return
        for line, row in table:
            if len(row) != len(COLUMNS):
                yield line, f"there must be {len(COLUMNS)} cells, not {len(row)}"
                continue
            yield from ((line, problem) for problem in misshapen(row))
            if (first := seen.setdefault(row[0], line)) != line:
                yield line, f"the number {row[0][:40]!r} stands in line {first} already"
        if not line:
            yield 1, "there is no customer in the file"
    except csv.Error as error:
        yield line + 1, f"this is no CSV: {error}"


def misshapen(row: list[str]) -> Iterator[str]:
    """Yield a sentence for every cell that is not as it should be."""
    for (column, (shape, wanted)), cell in zip(SHAPES.items(), row, strict=True):
        if not shape.fullmatch(cell):
            yield f"{column} must be {wanted}, not {cell[:40]!r}"


if __name__ == "__main__":
    serve(application(routes))
