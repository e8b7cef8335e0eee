"""From a command line to a configuration: what the options of `shipper run` make of it.

Without a configuration file, paths alone are one: its state is kept per set of paths and output,
below the user's state folder, so that two folders can be followed at once and each output gets
everything.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shipper.config import Config, load, validate
from shipper.errors import ConfigError


def config_of(options: Namespace) -> Config:
    """Return the configuration that the options of `shipper run` ask for.

    Raises:
        ConfigError: There is nothing to follow, or something is wrong; nothing has been touched.
    """
    if options.config is None and not options.paths:
        raise ConfigError(
            "nothing to follow: name files or directories (shipper run ./logs), or a configuration"
            " (shipper run --config /etc/shipper/shipper.yaml)"
        )
    paths = _absolute(options.paths)
    tree = load(options.config).model_dump() if options.config else _ad_hoc(options, paths)
    if paths:
        tree["sources"] = [{"paths": paths}]
    if options.output:
        _set_output(tree.setdefault("output", {}), options.output)
    if options.state_dir:
        tree["state_dir"] = options.state_dir.absolute()
    if options.listen:
        off = {"enabled": False}
        tree["server"] = off if options.listen == "off" else {"listen": options.listen}
    _set_logging(tree, options)
    return validate(tree)


def state_dir_of(options: Namespace) -> Path:
    """Return whose state a command is to look at.

    Raises:
        ConfigError: Neither the directory nor a configuration is named.
    """
    if options.state_dir:
        return Path(options.state_dir)
    if options.config:
        return load(options.config).state_dir
    raise ConfigError("say whose state: --state-dir DIR or --config FILE")


def default_store() -> Path:
    """Return the store's file of `shipper run PATH…` without a configuration."""
    return _xdg("XDG_DATA_HOME", ".local/share") / "store.db"


def _ad_hoc(options: Namespace, paths: Sequence[str]) -> dict[str, Any]:
    output = options.output or "local"
    tree: dict[str, Any] = {"output": {"type": "local"}}
    if output == "local":
        tree["output"]["local"] = {"path": default_store()}
    if not options.state_dir:
        tree["state_dir"] = _xdg("XDG_STATE_HOME", ".local/state") / _name(paths, output)
    return tree


def _name(paths: Sequence[str], output: str) -> str:
    """Name a state directory, readable, and its own for each set of paths and output."""
    text = repr((sorted(set(paths)), output.rstrip("/")))
    digest = hashlib.blake2b(os.fsencode(text), digest_size=4).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", os.path.basename(min(paths)))  # noqa: PTH119  # a glob
    return f"{readable[:60] or 'root'}-{digest}"


def _absolute(paths: Sequence[str]) -> list[str]:
    missing = [path for path in paths if not glob.has_magic(path) and not os.path.lexists(path)]
    if missing:
        raise ConfigError(f"{', '.join(missing)}: no such file or directory")
    return [os.path.abspath(path) for path in paths]  # noqa: PTH100  # keeps symlinks


def _set_output(tree: dict[str, Any], output: str) -> None:
    if output in {"local", "stdout"}:
        tree["type"] = output
        return
    if not output.lower().startswith(("http://", "https://")):
        host = "HOST:9200" if "@" in output else output if ":" in output else f"{output}:9200"
        raise ConfigError(
            f"--output must be `local`, `stdout` or a URL such as http://{host or 'HOST:9200'}"
        )
    tree["type"] = "elasticsearch"
    tree["elasticsearch"] = {**tree.get("elasticsearch", {}), "url": output}


def _set_logging(tree: dict[str, Any], options: Namespace) -> None:
    chosen = {"level": options.log_level, "format": options.log_format}
    given = {name: value for name, value in chosen.items() if value}
    if given:
        tree["logging"] = {**tree.get("logging", {}), **given}


def _xdg(variable: str, fallback: str) -> Path:
    given = os.environ.get(variable, "")
    try:
        # A relative one is to be ignored, says the XDG Base Directory Specification.
        folder = Path(given) if given.startswith("/") else Path.home() / fallback
    except RuntimeError:
        raise ConfigError(
            f"this user has no home directory: set {variable}, or name --state-dir and --config"
        ) from None
    return folder / "shipper"
