"""The configuration: defaults, what is refused and how, and the shipped file."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shipper.config import Config, load, validate
from shipper.errors import ConfigError
from shipper.yamlfile import read_tree

SHIPPED = Path(__file__).parents[1] / "config/shipper.yaml"
SECRET = "s3cret-word"


def tree_of(path: str, value: object) -> dict[str, Any]:
    """A configuration with one key: `output.elasticsearch.url`."""
    name, _, rest = path.partition(".")
    return {name: tree_of(rest, value) if rest else value}


def fault_of(tree: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as fault:
        validate(tree)
    assert fault.value.exit_status == 2
    return str(fault.value)


# -- the shipped file


def test_shipped_configuration_is_the_default_key_by_key() -> None:
    """config/shipper.yaml says of every key what is in effect without it, and leaves out none."""
    shipped: dict[str, Any] = read_tree(SHIPPED, {})
    default = Config().model_dump(mode="json")
    shipped["node_name"] = default["node_name"]  # the host's; the next test looks at it
    shipped["output"]["elasticsearch"]["access_dir"] = None  # a variable that is not set is empty
    assert shipped == default


def test_shipped_configuration_takes_the_nodes_name_from_the_environment() -> None:
    """In a DaemonSet NODE_NAME is set; elsewhere the host's name is taken."""
    assert load(SHIPPED, {}) == Config()
    assert load(SHIPPED, {"NODE_NAME": "node-7"}).node_name == "node-7"


def test_shipped_configuration_takes_from_the_environment_what_differs_by_place() -> None:
    """Where it listens, where Elasticsearch is, and how to log in there."""
    variables = {
        "LISTEN_ADDRESS": "fd00::7",
        "ELASTICSEARCH_URL": "https://es:9200",
        "ELASTICSEARCH_ACCESS_DIR": "/run/secrets/elasticsearch",
    }
    config = load(SHIPPED, variables)
    assert (config.server.host, config.server.port) == ("fd00::7", 9880)
    assert config.output.elasticsearch.url == "https://es:9200"
    assert config.output.elasticsearch.access_dir == Path("/run/secrets/elasticsearch")


@pytest.mark.parametrize("key", ["password_file", "api_key_file", "ca_file", "access_dir"])
def test_file_with_an_empty_name_is_none(key: str) -> None:
    """`${VAR:-}` where the variable is not set: not the current directory."""
    elasticsearch = validate({"output": {"elasticsearch": {key: ""}}}).output.elasticsearch
    assert getattr(elasticsearch, key) is None


@pytest.mark.parametrize(
    "other",
    [{"username": "a", "password": "b"}, {"api_key_file": "/k"}, {"ca_file": "/ca"}],
    ids=lambda other: next(iter(other)),
)
def test_access_dir_goes_alone(other: dict[str, str]) -> None:
    """Nobody has to find out which of two passwords counts."""
    fault = fault_of({"output": {"elasticsearch": {"access_dir": "/a", **other}}})
    assert "access_dir goes alone" in fault


@pytest.mark.parametrize("tree", [{}, {"node_name": ""}])
def test_the_nodes_name_needs_no_line_of_configuration(
    tree: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration that says no name takes NODE_NAME: a pod's host name is no node's."""
    monkeypatch.setenv("NODE_NAME", "node-7")
    assert validate(tree).node_name == "node-7"
    monkeypatch.setenv("NODE_NAME", "")
    assert validate(tree).node_name == socket.gethostname()


# -- what is refused


def test_all_errors_are_reported_at_once() -> None:
    """Each wrong key has a line with its path, what was given, and what is allowed."""
    text = fault_of(
        {
            "buffer": {"flush_secs": -1, "chunk_byte": 1},
            "sources": [{"paths": ["/a"]}, {"paths": []}],
            "output": {"type": "kafka"},
            "stat_dir": "/x",
        }
    )
    lines = dict(line.strip().split(": ", 1) for line in text.splitlines()[1:])
    assert text.startswith("5 errors")
    assert lines["buffer.flush_secs"] == "should be greater than or equal to 0.01 (given: -1)"
    assert lines["buffer.chunk_byte"].startswith("unknown key; there are chunk_bytes, ")
    assert lines["sources.1.paths"].startswith("List should have at least 1 item")
    assert "'elasticsearch', 'local' or 'stdout' (given: 'kafka')" in lines["output.type"]
    assert lines["stat_dir"].startswith("unknown key; there are state_dir, node_name, sources")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("state_dir", "relative/path"),
        ("state_dir", ""),
        ("sources", []),
        ("follow.scan_secs", 0),
        ("follow.scan_secs", float("inf")),
        ("follow.settle_secs", float("nan")),
        ("pipeline.max_line_bytes", 10),
        ("pipeline.fields", {"log": "x"}),
        ("pipeline.fields", {"a.b": 1}),
        ("pipeline.fields", {"": 1}),
        ("pipeline.fields", {"a": {1: 2}}),
        ("pipeline.fields", {"a": 1 << 70}),
        ("buffer.chunk_bytes", 1 << 40),
        ("buffer.min_free_percent", 100),
        ("buffer.grace_secs", 1e300),
        ("output.index_prefix", "Logs"),
        ("output.index_prefix", "É"),
        ("output.index_prefix", "-logs"),
        ("output.index_prefix", 'a"b'),
        ("output.index_prefix", "a\x00b"),
        ("output.index_prefix", "é" * 150),
        ("output.concurrency", 0),
        ("output.retry_max_secs", float("inf")),
        ("output.elasticsearch.url", "localhost:9200"),
        ("output.elasticsearch.url", "http://"),
        ("output.elasticsearch.url", "http://a b"),
        ("output.elasticsearch.url", "http://a..b:9200"),
        ("output.elasticsearch.url", "http://host:99999"),
        ("output.elasticsearch.url", "http://host:http"),
        ("output.elasticsearch.url", "http://host?x=1"),
        ("output.elasticsearch.url", "http://[::1"),
        ("output.elasticsearch.username", "a:b"),
        ("output.elasticsearch.document_type", "Big"),
        ("output.elasticsearch.request_timeout_secs", 0),
        ("output.local.max_age_days", 0),
        ("server.listen", "localhost:9880"),
        ("server.listen", ":9880"),
        ("server.listen", "127.0.0.1"),
        ("server.listen", "127.0.0.1:"),
        ("server.listen", "127.0.0.1:70000"),
        ("server.listen", "127.0.0.1:-1"),
        ("logging.level", "loud"),
    ],
)
def test_wrong_value_is_refused_by_its_key(key: str, value: object) -> None:
    """A value that could not work is an error now, not a surprise later."""
    assert re.search(rf"^  {re.escape(key)}[.:]", fault_of(tree_of(key, value)), re.MULTILINE)


@pytest.mark.parametrize(
    ("key", "value", "taken"),
    [
        ("output.elasticsearch.url", "HTTPS://Host:9200/es/", "https://Host:9200/es"),
        ("output.elasticsearch.url", "http://[::1]:9200", "http://[::1]:9200"),
        ("output.elasticsearch.document_type", "_doc", "_doc"),
        ("server.listen", "[::1]:0", "[::1]:0"),
        ("buffer.max_bytes", "2000000", 2_000_000),
        ("node_name", "é", "é"),
        ("pipeline.fields", {"a": {"b": [1, None]}}, {"a": {"b": [1, None]}}),
    ],
)
def test_good_value_is_taken(key: str, value: object, taken: object) -> None:
    """What is allowed is taken, in one form."""
    got: Any = validate(tree_of(key, value))
    for name in key.split("."):
        got = getattr(got, name)
    assert got == taken


# -- logging in


@pytest.mark.parametrize(
    "settings",
    [
        {"password": SECRET},
        {"username": "u"},
        {"username": "u", "api_key": SECRET},
        {"username": "u", "password": SECRET, "password_file": "/f"},
        {"api_key": SECRET, "api_key_file": "/f"},
        {"api_key": f"{SECRET}\nx"},
        {"api_key": ""},
        {"api_key": 123456789},
        {"username": "u", "password": [SECRET]},
        {"url": f"http://user:{SECRET}@host:9200"},
        {"url": f"http://user:pa/{SECRET}@host"},
        {"url": f"ftp://{SECRET}@host"},
        {"url": f"user:{SECRET}@host:9200"},
        {"url": f"user:{SECRET} //x@host:9200"},
        {"url": f"http://user:a {SECRET}@host:9200"},
        {"url": f"{SECRET}'x@host:9200"},
        {"passwrod": SECRET},
    ],
)
def test_no_message_quotes_a_secret(settings: dict[str, Any]) -> None:
    """Two ways to log in, half of one, or a secret in the wrong place: said without the secret."""
    text = fault_of({"output": {"elasticsearch": settings}})
    assert SECRET not in text
    assert "123456789" not in text


@given(st.text(alphabet="abcdefgh01234", min_size=6))
def test_no_form_of_a_configuration_shows_a_secret(secret: str) -> None:
    """Neither what `shipper check` prints nor a repr holds the value."""
    value = f"zz{secret}zz"
    for login in ({"username": "u", "password": value}, {"api_key": value}):
        config = validate({"output": {"elasticsearch": login}})
        assert value not in repr(config) + str(config) + repr(config.output.target)
        assert value not in yaml.safe_dump(config.model_dump(mode="json"))


def test_file_is_named_in_its_errors(tmp_path: Path) -> None:
    """Which file is wrong stands before what is."""
    path = tmp_path / "c.yaml"
    path.write_text("server: {listen: x}\n")
    with pytest.raises(ConfigError, match=rf"{path}: 1 error\n  server\.listen"):
        load(path)


def test_target_tells_destinations_apart() -> None:
    """What decides whether the output has changed: type, URL and prefix."""
    trees: Iterator[dict[str, Any]] = iter(
        [
            {},
            {"index_prefix": "x"},
            {"elasticsearch": {"url": "http://other:9200"}},
            {"type": "local"},
            {"type": "stdout"},
        ]
    )
    assert len({validate({"output": tree}).output.target for tree in trees}) == 5
