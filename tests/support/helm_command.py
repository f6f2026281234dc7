"""`helm` for a shell, as far as the pages use it: the wheel of the real Helm SDK brings no program.

python -m support.helm_command install NAME CHART --namespace N --set a.b=c --values FILE
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from helm_python import Config, HelmError

from support.helm import merged


def parser() -> argparse.ArgumentParser:
    """Return what is understood; anything else ends with code 2, as it does with Helm."""
    root = argparse.ArgumentParser(prog="helm", allow_abbrev=False)
    verbs = root.add_subparsers(dest="verb", required=True)
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument("name")
    common.add_argument("--namespace", "-n", required=True)
    for verb in ("install", "upgrade"):
        one = verbs.add_parser(verb, parents=[common], allow_abbrev=False)
        one.add_argument("chart", type=Path)
        one.add_argument("--values", "-f", type=Path, action="append", default=[])
        one.add_argument("--set", action="append", default=[], dest="settings")
        one.add_argument("--create-namespace", action="store_true")
        one.add_argument("--install", action="store_true")
    back = verbs.add_parser("rollback", parents=[common], allow_abbrev=False)
    back.add_argument("revision", type=int, nargs="?", help="the one before, if left out")
    for verb in ("uninstall", "history"):
        verbs.add_parser(verb, parents=[common], allow_abbrev=False)
    return root


def setting(text: str) -> dict[str, Any]:
    """Return what `--set a.b=c` says, as a file of values would."""
    path, _, value = text.partition("=")
    found: Any = yaml.safe_load(value)
    for part in reversed(path.split(".")):
        found = {part: found}
    return dict(found)


def main(arguments: Sequence[str]) -> int:
    """Do what one command line says, and return Helm's exit code."""
    told = parser().parse_args(arguments)
    try:
        with Config(kubeconfig_path=Path(os.environ["KUBECONFIG"]), namespace=told.namespace) as config:
            print(_done(config, told))  # noqa: T201
    except HelmError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _done(config: Config, told: argparse.Namespace) -> str:
    match told.verb:
        case "install" | "upgrade":
            return _applied(config, told)
        case "rollback":
            config.rollback(told.name, version=told.revision)
            return "Rollback was a success! Happy Helming!"
        case "uninstall":
            config.uninstall(told.name)
            return f'release "{told.name}" uninstalled'
        case _:
            return _history(config, told.name)


def _applied(config: Config, told: argparse.Namespace) -> str:
    values = merged(*(yaml.safe_load(file.read_text()) for file in told.values), *map(setting, told.settings))
    if told.verb == "install" or (told.install and not _is_there(config, told.name)):
        release = config.install(told.chart, told.name, values, create_namespace=told.create_namespace)
    else:
        release = config.upgrade(told.chart, told.name, values)
    return str(release["notes"])


def _history(config: Config, name: str) -> str:
    lines = ["REVISION UPDATED STATUS CHART DESCRIPTION"]
    for each in config.history(name):
        chart = f"{each['chart_name']}-{each['chart_version']}"
        lines.append(f"{each['revision']} {each['deployed_at']} {each['status']} {chart} -")
    return "\n".join(lines)


def _is_there(config: Config, name: str) -> bool:
    return any(each["name"] == name for each in config.list())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
