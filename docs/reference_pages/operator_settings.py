"""The page of the operator's environment variables."""

from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from choregos_operator.settings import PREFIX, Settings
from reference_pages.markdown import code, page, table


def operator_settings() -> str:
    """Return the page."""
    return page(
        "Settings of the operator",
        """
Both processes, `choregos-operator webhook` and `choregos-operator controller`, are set by environment variables; give both the
same. One that cannot be used ends the process with a sentence that names it; a variable of another name is let pass. The API
server is the one of the pod's ServiceAccount, or of the file that `KUBECONFIG` names.""",
        table(
            ("variable", "type", "default", "meaning"),
            (
                (code(PREFIX + name.upper()), _kind(field), _default(field.default), " ".join(_text(field).split()))
                for name, field in Settings.model_fields.items()
            ),
        ),
        f"""
`{PREFIX}NATS_CREDENTIALS` holds the files of [the ambassador's](../guides/nats-permissions.md#the-credentials). They are good for
the servers of `{PREFIX}NATS_URL` only; for a bus that names servers of its own, the same files lie in a subdirectory
`<namespace>.<bus>` ([why](../decisions/0011-credentials-of-buses-with-their-own-servers.md)).""",
    )


def _text(field: FieldInfo) -> str:
    if field.description is None:
        raise LookupError(f"the setting {field} has no docstring")
    return field.description


def _kind(field: FieldInfo) -> str:
    """Return what a variable takes, in words."""
    kind = _bare(field.annotation)
    if kind is bool:
        return "`true` or `false`"
    if kind is Path:
        return "path"
    if kind is str:
        return "text"
    bounds = {type(each): each for each in field.metadata}
    match bounds.get(Ge), bounds.get(Gt), bounds.get(Le):
        case Ge(ge=least), None, Le(le=most):
            return f"{least} to {most}"
        case Ge(ge=least), None, None:
            return f"number, at least {least}"
        case None, Gt(gt=least), None:
            return f"number above {least}"
    raise LookupError(f"no words for what {field} takes")


def _bare(annotation: Any) -> Any:
    if get_origin(annotation) is UnionType:
        return next(each for each in get_args(annotation) if each is not NoneType)
    return annotation


def _default(value: Any) -> str:
    assert value is not PydanticUndefined
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, float):
        return code(f"{value:g}")
    return "not set" if value is None else code(value)
