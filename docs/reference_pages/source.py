"""What a value cannot tell at run time, and its source can: docstrings under attributes, calls of a function."""

import ast
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple


def attribute_docs(owner: type) -> dict[str, str]:
    """Return the docstring under each attribute of a class, in one line."""
    (definition,) = ast.parse(inspect.getsource(owner)).body
    assert isinstance(definition, ast.ClassDef)
    docs: dict[str, str] = {}
    for node, following in zip(definition.body, definition.body[1:], strict=False):
        target = node.targets[0] if isinstance(node, ast.Assign) else node
        name = target.target if isinstance(target, ast.AnnAssign) else target
        if isinstance(name, ast.Name) and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            docs[name.id] = " ".join(str(following.value.value).split())
    return docs


class Call(NamedTuple):
    """One call in the source: its arguments, and the function that it stands in."""

    arguments: list[ast.expr]
    keywords: dict[str, ast.expr]
    within: ast.AST
    name: str


def calls(module: ModuleType | Path, *names: str) -> Iterator[Call]:
    """Yield every call of one of these functions (`Refusal`, `log.info`) in a module, by line."""
    path = module if isinstance(module, Path) else Path(inspect.getfile(module))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = [
        Call(call.args, dict(_keywords(call, functions)), function, ast.unparse(call.func))
        for function in functions
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and ast.unparse(call.func) in names
    ]
    return iter(sorted(found, key=lambda call: call.arguments[0].lineno))


def _keywords(
    call: ast.Call, functions: Iterable[ast.FunctionDef | ast.AsyncFunctionDef]
) -> Iterator[tuple[str, ast.expr]]:
    """Yield the keywords of a call; of `**about(...)`, those of the mapping that the function `about` returns."""
    for keyword in call.keywords:
        if keyword.arg:
            yield keyword.arg, keyword.value
        elif isinstance(keyword.value, ast.Call):
            name = ast.unparse(keyword.value.func)
            for node in (node for each in functions if each.name == name for node in ast.walk(each)):
                if isinstance(node, ast.Return) and isinstance(node.value, ast.Dict):
                    pairs = zip(node.value.keys, node.value.values, strict=True)
                    yield from ((str(key.value), value) for key, value in pairs if isinstance(key, ast.Constant))


def sentence(node: ast.expr, within: ast.AST) -> str:
    """Return a text as far as the source has it, `…` for what is put in at run time."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(sentence(part, within) for part in parts)
        case ast.Name(id=name):
            for each in ast.walk(within):
                if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == name:
                    return sentence(each.value, within)
    return "…"
