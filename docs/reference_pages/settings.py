"""The page of the ambassador's environment variables."""

from msgspec import NODEFAULT
from msgspec.inspect import BoolType, Field, IntType, StructType, Type, UnionType, type_info

from choregos_ambassador.settings import PREFIX, Settings
from reference_pages.markdown import code, page, table
from reference_pages.source import attribute_docs


def settings() -> str:
    """Return the page."""
    info = type_info(Settings)
    assert isinstance(info, StructType)
    docs = attribute_docs(Settings)
    return page(
        "Settings of the ambassador",
        f"""
The process `choregos-ambassador` (also `python -m choregos_ambassador`) is set by environment variables. They say where it
runs; what it does is in the configuration document that `{PREFIX}CONFIG` names, which is written from the choreography and
read again whenever it changes. A variable that cannot be used ends the process with a sentence that names it; a variable of
another name is let pass.""",
        table(
            ("variable", "type", "default", "meaning"),
            (
                (code(PREFIX + field.name.upper()), _kind(field.type), _default(field), docs[field.name])
                for field in info.fields
            ),
        ),
        """
`choregos up` sets what its ambassadors need of these, and gives each service `PORT` and `CHOREGOS_PUBLISH_URL`.
Variables of the command itself are on [its page](../cli.md).""",
    )


def _kind(kind: Type) -> str:
    match kind:
        case UnionType(types=types):
            return _kind(types[0])
        case IntType(ge=least, le=most):
            return f"{least} to {most}" if most is not None else "number"
        case BoolType():
            return "`true` or `false`"
    return "text"


def _default(field: Field) -> str:
    if field.default is NODEFAULT:
        return "none: has to be set"
    if isinstance(field.default, bool):
        return code(str(field.default).lower())
    return "not set" if field.default is None else code(field.default)
