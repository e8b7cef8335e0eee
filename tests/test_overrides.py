"""What the options of `shipper run` make of a configuration."""

import argparse
from pathlib import Path

import pytest

from shipper.cli import _parser
from shipper.config import Config
from shipper.errors import ConfigError
from shipper.overrides import config_of, default_store, state_dir_of


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with folders of its own, in a directory with logs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    for name in ("logs", "other"):
        (tmp_path / name).mkdir()
    return tmp_path


def options(*arguments: str) -> argparse.Namespace:
    return _parser().parse_args(["run", *arguments])


def config(*arguments: str) -> Config:
    return config_of(options(*arguments))


def test_paths_alone_go_to_the_local_store(folders: Path) -> None:
    """`shipper run ./logs` keeps state and store below the user's folders."""
    made = config("./logs")
    assert made.sources[0].paths == [str(folders / "logs")]
    assert made.output.type == "local"
    assert made.output.local.path == folders / "data/shipper/store.db"
    assert made.state_dir.parent == folders / "state/shipper"
    assert made.state_dir.name.startswith("logs-")


def test_state_is_kept_per_set_of_paths_and_output() -> None:
    """The same paths into another output, and other paths, have state of their own."""
    runs = [
        ("logs",),
        ("other",),
        ("logs", "other"),
        ("logs", "--output", "stdout"),
        ("logs", "--output", "http://a:9200"),
        ("logs", "--output", "http://b:9200"),
    ]
    assert len({config(*run).state_dir for run in runs}) == len(runs)
    same = [("other", "logs"), ("./logs", "other", "logs"), ("logs/", "other/")]
    assert {config(*run).state_dir for run in same} == {config("logs", "other").state_dir}


def test_glob_makes_a_directory_name_without_stars(folders: Path) -> None:
    """The state directory's name can be typed."""
    name = config(f"{folders}/logs/*.log").state_dir.name
    assert not set(name) & set("*?[]/ ")


def test_command_line_wins_over_the_file(folders: Path) -> None:
    """Paths, output, state, listen and logging replace their keys; the rest of the file stays."""
    file = folders / "c.yaml"
    file.write_text(
        "state_dir: /s\nsources: [{paths: [/a], tag: t}]\nbuffer: {flush_secs: 7}\n"
        "output: {index_prefix: p, elasticsearch: {url: 'http://a:1', ca_file: /ca}}\n"
    )
    made = config(
        *("logs", "--config", str(file), "--output", "http://b:2", "--state-dir", "here"),
        *("--listen", "127.0.0.1:1", "--log-level", "debug"),
    )
    assert made.sources[0].model_dump() == {
        "paths": [str(folders / "logs")],
        "exclude": [],
        "tag": None,
    }
    assert made.output.elasticsearch.url == "http://b:2"
    assert (made.output.index_prefix, made.output.elasticsearch.ca_file) == ("p", Path("/ca"))
    assert (made.state_dir, made.server.listen) == (folders / "here", "127.0.0.1:1")
    assert (made.logging.level, made.buffer.flush_secs) == ("debug", 7)


def test_secrets_of_the_file_survive_the_command_line(folders: Path) -> None:
    """An override does not turn a password into the stars that hide it."""
    file = folders / "c.yaml"
    file.write_text("output: {elasticsearch: {username: u, password: secret}}\n")
    password = config("--config", str(file), "--listen", "off").output.elasticsearch.password
    assert password is not None
    assert password.get_secret_value() == "secret"


def test_server_can_be_turned_off() -> None:
    """`--listen off` serves nothing."""
    assert not config("logs", "--listen", "off").server.enabled


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ((), "shipper run ./logs"),
        (("nowhere", "logs", "neither"), "nowhere, neither: no such file or directory"),
        (("logs", "--output", "elastic:9200"), "such as http://elastic:9200"),
        (("logs", "--output", "elastic"), "such as http://elastic:9200"),
        (("logs", "--listen", "9880"), "127.0.0.1:9880"),
        (("--config", "none.yaml"), "none.yaml: cannot be read"),
    ],
)
def test_what_is_wrong_says_what_to_write(arguments: tuple[str, ...], advice: str) -> None:
    """Every mistake is answered with what would be right, before anything is touched."""
    with pytest.raises(ConfigError) as fault:
        config(*arguments)
    assert advice in str(fault.value)
    assert not Path("state").exists()


@pytest.mark.parametrize("output", ["u:s3cret@host:9200", "http://u:s3cret@host:9200"])
def test_credentials_on_the_command_line_are_refused_and_not_repeated(output: str) -> None:
    """A password in a URL would stand in the list of processes; the message does not add a log."""
    with pytest.raises(ConfigError) as fault:
        config("logs", "--output", output)
    assert "s3cret" not in str(fault.value)


def test_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container without HOME and passwd entry the variable is named."""
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ConfigError, match="set XDG_DATA_HOME"):
        default_store()


def test_state_of_other_commands_is_named(folders: Path) -> None:
    """Dead letters are looked up by directory or by configuration; one of them is needed."""
    file = folders / "c.yaml"
    file.write_text("state_dir: /s\n")
    parse = _parser().parse_args
    assert state_dir_of(parse(["deadletters", "ls", "--config", str(file)])) == Path("/s")
    assert state_dir_of(parse(["deadletters", "ls", "--state-dir", "x"])) == Path("x")
    with pytest.raises(ConfigError, match="--state-dir DIR or --config FILE"):
        state_dir_of(parse(["deadletters", "ls"]))
