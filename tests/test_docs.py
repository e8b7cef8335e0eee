"""The documentation says what the program is: keys, metrics, messages, commands, links.

Both ways: what exists is documented, and what is documented exists.
"""

import ast
import contextlib
import io
import re
import shlex
import signal
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from prometheus_client import Metric
from pydantic import BaseModel

from shipper.cli import _parser
from shipper.config import Config, validate
from shipper.errors import ShipperError
from shipper.metrics import Metrics
from shipper.yamlfile import read_tree
from tests.pages import blocks, broken_links, cell, spans, split_section, table

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = sorted(chain(ROOT.glob("*.md"), DOCS.glob("**/*.md"), ROOT.glob("benchmarks/*.md")))
EXAMPLE = ROOT / "config/shipper.yaml"
NOT_YET = "Not yet"

every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT)).removesuffix(".md")
)

# -- configuration


def test_every_config_key_is_documented() -> None:
    """The tables of docs/configure.md hold each key of the configuration once, and no other."""
    assert sorted(cell(row[0]) for row in table(DOCS / "configure.md", "key")) == sorted(KEYS)


def test_documented_defaults_are_in_effect() -> None:
    """The default that docs/configure.md gives for a key is the one that the program takes."""
    tree = Config().model_dump(mode="json")
    wrong = {
        key: default for key, default in _defaults() if yaml.safe_load(default) != _value(tree, key)
    }
    assert not wrong


@every_page
def test_config_keys_that_are_mentioned_exist(page: Path) -> None:
    """A dotted name in code type that begins with a key of the configuration is one."""
    sections = {key.rpartition(".")[0] for key in KEYS}
    named = [s for s in spans(page.read_text()) if re.fullmatch(r"[a-z_]+(\[\])?(\.[a-z_]+)+", s)]
    mentioned = {name for name in named if re.split(r"\W", name)[0] in Config.model_fields}
    assert mentioned <= {*KEYS, *sections}


@every_page
def test_shown_configuration_is_valid(page: Path) -> None:
    """Each YAML block of the documentation is a configuration that the program takes."""
    for block in blocks(page.read_text(), "yaml"):
        validate(yaml.safe_load(block))


def test_readme_says_what_the_shipped_configuration_says() -> None:
    """Each value in the README's YAML is the one that config/shipper.yaml has."""
    shipped = read_tree(EXAMPLE, {})
    shown = [yaml.safe_load(block) for block in blocks(README.read_text(), "yaml")]
    assert shown
    assert all(_is_within(block, shipped) for block in shown)


# -- metrics, exit status, messages


def test_every_metric_is_documented() -> None:
    """The tables of docs/metrics.md hold each metric once with its type, and no other."""
    documented = [(cell(row[0]), row[1]) for row in table(DOCS / "metrics.md", "metric")]
    assert sorted(documented) == sorted((_exposed(metric), metric.type) for metric in METRICS)


@every_page
def test_metrics_that_are_mentioned_exist(page: Path) -> None:
    """A name that looks like a metric is one."""
    mentioned = set(re.findall(r"\bshipper_[a-z_]+\b", page.read_text()))
    assert mentioned <= {_exposed(metric) for metric in METRICS}


def test_every_exit_status_is_documented() -> None:
    """The table of docs/operate.md holds each exit status once, and no other."""
    documented = [int(row[0]) for row in table(DOCS / "operate.md", "status")]
    faults = {ShipperError.exit_status, *(f.exit_status for f in ShipperError.__subclasses__())}
    signals = {128 + number for number in (signal.SIGINT, signal.SIGTERM)}
    assert documented == sorted({0} | faults | signals)


def test_every_message_of_the_log_is_documented() -> None:
    """The table of docs/troubleshoot.md holds each message with its level, and no other."""
    documented = [(row[0], cell(row[1])) for row in table(DOCS / "troubleshoot.md", "level")]
    assert Counter(documented) == Counter(set(_messages()))


# -- commands


@every_page
def test_shown_commands_are_understood(page: Path) -> None:
    """Each command line of shipper in the documentation is one that its parser takes."""
    assert not [line for line in _commands(page) if not _understood(line)]


def test_what_is_called_missing_does_not_exist() -> None:
    """The commands that the README's section of what is missing names are unknown."""
    missing, _ = split_section(README, NOT_YET)
    named = [span.removeprefix("shipper ") for span in spans(missing) if "shipper " in span]
    assert named
    assert not [line for line in named if _understood(line)]


def test_every_command_is_documented() -> None:
    """Each command and each of its options is named somewhere in README or docs."""
    text = "".join(page.read_text() for page in PAGES)
    commands = re.findall(r"^    ([a-z]+)  ", _help(), re.MULTILINE)
    options = set(chain(*(re.findall(r"--[a-z-]+", _help(name)) for name in commands)))
    assert commands
    assert not [name for name in commands if f"shipper {name}" not in text]
    assert not [option for option in options - {"--help"} if option not in text]


# -- pages


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link leads to a file of the repository, each fragment to a heading of it."""
    assert not broken_links(page)


@every_page
def test_no_page_names_a_machine(page: Path) -> None:
    """No page holds a path of the machine that it was written on, or of one beside the checkout."""
    assert not re.findall(
        r"(?:/work/|/(?:root|home|Users)/|\.\./shared|\.lib)\S*", page.read_text()
    )


# -- reading the program


def _keys(model: type[BaseModel], path: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        suffix = "[]" if get_origin(field.annotation) is list else ""
        sections = _sections_in(field.annotation)
        if not sections:
            yield f"{path}{name}"
        for section in sections:
            yield from _keys(section, f"{path}{name}{suffix}.")


def _sections_in(annotation: object) -> list[type[BaseModel]]:
    types = (annotation, *get_args(annotation))
    return [t for t in types if isinstance(t, type) and issubclass(t, BaseModel)]


KEYS = list(_keys(Config))


def _value(tree: dict[str, Any], key: str) -> object:
    """What stands under a key; of a list, in its first element."""
    name, _, rest = key.partition(".")
    inner = tree[name[:-2]][0] if name.endswith("[]") else tree[name]
    return _value(inner, rest) if rest else inner


def _metrics() -> list[Metric]:
    metrics = Metrics()
    metrics.observe(totals=dict, gauges=dict)
    return list(metrics.registry.collect())


METRICS = _metrics()


def _exposed(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def _messages() -> Iterator[tuple[str, str]]:
    for path in (ROOT / "shipper").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                yield from _messages_of(node)


def _messages_of(call: ast.Call) -> Iterator[tuple[str, str]]:
    """The messages of a call such as `(log.warning if why else log.info)("…" if why else "…")`."""
    functions, texts = _branches(call.func), _branches(call.args[0])
    for function, text in zip(functions * len(texts), texts * len(functions), strict=True):
        match ast.unparse(function).split("."), text:
            case ["log", level], ast.Constant(value=str(template)) if level != "debug":
                message = re.sub(r"(%[sd])+", "…", template)
                yield ("error" if level == "exception" else level), message


def _branches(node: ast.expr) -> list[ast.expr]:
    return [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]


def _understood(line: str) -> bool:
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            _parser().parse_args(shlex.split(line, comments=True))
        except SystemExit as end:
            return end.code == 0
    return True


def _help(*command: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        _parser().parse_args([*command, "--help"])
    return out.getvalue()


# -- reading the pages


def _defaults() -> Iterator[tuple[str, str]]:
    for key, default, *_ in table(DOCS / "configure.md", "key"):
        if default.startswith("`"):
            yield cell(key), cell(default)


def _commands(page: Path) -> list[str]:
    """The arguments of each command line of shipper, in blocks and in code type."""
    _, text = split_section(page, NOT_YET)
    code = [*spans(text)]
    for block in blocks(text, "console", "sh", "ini"):
        code += block.splitlines()
    found = (re.search(r"(?:^|[/=]|-- )shipper ((?!-- )[a-z-].*)", line) for line in code)
    return [match[1] for match in found if match]


def _is_within(part: object, whole: object) -> bool:
    if not isinstance(part, dict):
        return part == whole
    return isinstance(whole, dict) and all(
        name in whole and _is_within(value, whole[name]) for name, value in part.items()
    )
