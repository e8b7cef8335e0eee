"""The house rules (CONTRIBUTING.md) that neither ruff nor import-linter can state."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "shipper").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))

MODULE_LINES = 300
MEDIAN_FUNCTION_LINES = 8
NESTING = 3
# Words that say where code was put, not what it does.
EMPTY_WORDS = {"base", "common", "handler", "helper", "manager", "util"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (
    ast.AsyncFor,
    ast.AsyncWith,
    ast.For,
    ast.If,
    ast.Match,
    ast.Try,
    ast.TryStar,
    ast.While,
    ast.With,
)


def _each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(ROOT)))


every_module = _each(MODULES)
every_package = _each([path for path in MODULES if path.name == "__init__.py"])
every_test_module = _each(TESTS)


@every_module
def test_module_is_short(path: Path) -> None:
    """A module of shipper has at most 300 lines."""
    assert len(path.read_text().splitlines()) <= MODULE_LINES


@every_module
def test_module_says_what_it_owns(path: Path) -> None:
    """Every module of shipper has a docstring."""
    assert ast.get_docstring(_tree(path))


@every_module
def test_nesting_is_shallow(path: Path) -> None:
    """No function nests blocks more than three deep."""
    too_deep = [f.name for f in _functions(_tree(path)) if _depth(f) > NESTING]
    assert not too_deep


@every_module
def test_names_say_what_a_thing_does(path: Path) -> None:
    """No module or class is called manager, handler, helper, util, base or common."""
    classes = [node.name for node in ast.walk(_tree(path)) if isinstance(node, ast.ClassDef)]
    names = [*path.relative_to(ROOT).with_suffix("").parts, *classes]
    assert not [name for name in names if _words(name) & EMPTY_WORDS]


@every_package
def test_package_re_exports_nothing(path: Path) -> None:
    """A package's __init__ imports nothing: each name has one address."""
    imports = ast.Import | ast.ImportFrom
    assert not [node for node in ast.walk(_tree(path)) if isinstance(node, imports)]


def test_functions_are_small() -> None:
    """Half of all functions of shipper have at most eight lines."""
    lengths = [_lines(f) for path in MODULES for f in _functions(_tree(path))]
    assert median(lengths) <= MEDIAN_FUNCTION_LINES


@every_test_module
def test_every_test_says_its_behaviour(path: Path) -> None:
    """Every test has a docstring, and it is one sentence."""
    tests = [f for f in _functions(_tree(path)) if f.name.startswith("test")]
    assert not [f.name for f in tests if not _is_sentence(ast.get_docstring(f) or "")]


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _lines(function: Function) -> int:
    """Lines of the body, from its first statement after the docstring."""
    body = function.body[ast.get_docstring(function) is not None :]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _depth(node: ast.AST) -> int:
    """How many blocks the deepest statement inside is in; an elif is as deep as its if."""
    inside = [child for child in ast.iter_child_nodes(node) if not isinstance(child, Function)]
    return max((_depth(child) + _opens_block(child, node) for child in inside), default=0)


def _opens_block(node: ast.AST, parent: ast.AST) -> bool:
    is_elif = isinstance(node, ast.If) and isinstance(parent, ast.If) and parent.orelse == [node]
    return isinstance(node, BLOCKS) and not is_elif


def _words(name: str) -> set[str]:
    """The words of a snake_case or CamelCase name, in lower case and without a plural's s."""
    return {word.lower().removesuffix("s") for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}


def _is_sentence(text: str) -> bool:
    return text.endswith(".") and "\n\n" not in text
