"""Reading a YAML file: strict, and without ever quoting it."""

from pathlib import Path

import pytest

from shipper.errors import ConfigError
from shipper.yamlfile import read_tree

SECRET = "s3cret"


def read(tmp_path: Path, text: str | bytes, **environ: str) -> dict[str, object]:
    path = tmp_path / "c.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_tree(path, environ)


def test_variables_are_put_into_strings(tmp_path: Path) -> None:
    """Wherever a string stands, variables are replaced, with a default where there is none."""
    text = "a: ${A}/x\nb: ['${B:-b}', {c: '${C:-}'}]\nn: 5\n"
    assert read(tmp_path, text, A="1", C="c") == {"a": "1/x", "b": ["b", {"c": "c"}], "n": 5}


def test_empty_variable_takes_the_default(tmp_path: Path) -> None:
    """`:-` is the shell's: it counts for an empty variable too; without it empty is empty."""
    assert read(tmp_path, "a: ${A:-x}\nb: ${A}\n", A="") == {"a": "x", "b": ""}


def test_every_unset_variable_is_named(tmp_path: Path) -> None:
    """All of them at once, with what to write."""
    with pytest.raises(ConfigError) as fault:
        read(tmp_path, "a: ${ONE}\nb: ['${TWO}', '${ONE}']\n")
    assert str(fault.value).splitlines()[1:] == [
        "  ${ONE} is not set: set it, or write ${ONE:-default}",
        "  ${TWO} is not set: set it, or write ${TWO:-default}",
    ]


def test_key_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    """The second one would win in silence."""
    with pytest.raises(ConfigError, match=r"given twice: a\.0\.b, c"):
        read(tmp_path, "a: [{b: 1, b: 2}]\nc: 1\nc: 2\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"password: {SECRET}: {SECRET}\n", r"line 1, column \d+"),
        (f"password: [{SECRET}\n", r"line \d+, column \d+"),
        (f"a: {SECRET}\x01\n", "characters that YAML does not allow"),
        (f"a: !!python/name:os.{SECRET}\n", "line 1"),
        (f"- {SECRET}\n", "not a list"),
        (SECRET, "not a str"),
        ("a: 2026-13-45\n", "not valid YAML"),
        (b"a: \xff\n", "not valid YAML"),
    ],
)
def test_what_is_no_configuration_is_said_without_quoting_it(
    tmp_path: Path, text: str | bytes, why: str
) -> None:
    """The place is named; the line, which may hold a secret, is not shown."""
    with pytest.raises(ConfigError, match=why) as fault:
        read(tmp_path, text)
    assert f"{SECRET}: " not in str(fault.value)
    assert "password" not in str(fault.value)


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The reason is the system's."""
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        read_tree(tmp_path / "none.yaml", {})


def test_empty_file_is_an_empty_configuration(tmp_path: Path) -> None:
    """Every key has a default, so none is needed."""
    assert read(tmp_path, "# nothing\n") == {}
