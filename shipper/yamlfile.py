"""Reads a YAML file into a tree: strict about keys, with variables of the environment put in.

Values may be secrets: no message quotes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from shipper.errors import ConfigError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")

Tree = dict[str, object]


def read_tree(path: Path, environ: Mapping[str, str]) -> Tree:
    """Read a file; `${VAR}` and `${VAR:-default}` in its strings are substituted.

    Raises:
        ConfigError: It cannot be read, is no YAML, has a key twice, or names unset variables.
    """
    try:
        text = path.read_text(encoding="utf-8")
        # Not YAML's own type of node: composing shows a key that is there twice, loading does not.
        doubled = sorted(set(_doubled_keys(yaml.compose(text, yaml.SafeLoader))))
        tree = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {_place(error)}") from None
    except ValueError as error:  # no UTF-8, or what only looks like a date
        raise ConfigError(f"{path}: is not valid YAML: {type(error).__name__}") from None
    if doubled:
        raise ConfigError(f"{path}: given twice: {', '.join(doubled)}")
    if not isinstance(tree, dict | None):
        raise ConfigError(f"{path}: must hold keys and values, not a {type(tree).__name__}")
    return _filled(path, tree or {}, environ=environ)


def _filled(path: Path, tree: Tree, *, environ: Mapping[str, str]) -> Tree:
    missing: set[str] = set()

    def value_of(match: re.Match[str]) -> str:
        name, default = match.groups()
        value = environ.get(name)
        if value is None and default is None:
            missing.add(name)
        return value or default or ""

    def fill(node: object) -> object:
        if isinstance(node, dict):
            return {key: fill(value) for key, value in node.items()}
        if isinstance(node, list):
            return [fill(value) for value in node]
        return _VARIABLE.sub(value_of, node) if isinstance(node, str) else node

    filled = {key: fill(value) for key, value in tree.items()}
    if missing:
        faults = [
            f"${{{name}}} is not set: set it, or write ${{{name}:-default}}" for name in missing
        ]
        raise ConfigError("\n  ".join([f"{path}:", *sorted(faults)]))
    return filled


def _doubled_keys(node: yaml.Node | None, path: str = "") -> Iterator[str]:
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _doubled_keys(item, f"{path}{number}.")
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            name = f"{path}{key.value}"
            if name in seen:
                yield name
            seen.add(name)
            yield from _doubled_keys(value, f"{name}.")


def _place(error: yaml.YAMLError) -> str:
    """Return what is wrong and where, without the line itself: it may hold a secret."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "it holds characters that YAML does not allow"
    mark = error.problem_mark
    return f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
