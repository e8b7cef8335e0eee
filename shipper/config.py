"""The configuration: one YAML file, every key with a default, all errors reported at once.

Each stage has a model of its own and is given only that. Unknown keys are errors. `${VAR}` and
`${VAR:-default}` are substituted in strings before validation. Nothing is started before
`load` returns.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeGuard, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)

from shipper import allowed
from shipper.errors import ConfigError
from shipper.kubernetes_config import KubernetesConfig
from shipper.section import STRICT, Name, Secs
from shipper.yamlfile import read_tree

_USER_IN_URL = re.compile(r"(?<=//)\S*@")
_USER_ANYWHERE = re.compile(r"(?<=['\"])((?:https?://)?).*@")
"""For what should be a URL: its scheme may be what is missing."""
_SECRETS = re.compile(r"password|api_key")

Secret = Annotated[SecretStr, AfterValidator(allowed.one_line)]
_File = Annotated[Path | None, BeforeValidator(allowed.or_none)]


def _own_name() -> str:
    """Return the node's name: a DaemonSet says it; a pod's host name is the pod's."""
    return os.environ.get("NODE_NAME") or socket.gethostname()


def _or_own_name(value: str) -> str:
    """Return the node's name for an empty one, such as `${NODE_NAME:-}` may be."""
    return value or _own_name()


class _Section(BaseModel):
    model_config = STRICT


class SourceConfig(_Section):
    """One set of paths to follow."""

    paths: Annotated[list[Name], Field(min_length=1)]
    exclude: list[Name] = []
    tag: Name | None = None


class LimitsConfig(_Section):
    """What one series may bring."""

    lines_per_sec: Annotated[float, Field(gt=0)] | None = None
    bytes_per_sec: Annotated[float, Field(gt=0)] | None = None
    action: Literal["delay", "drop"] = "delay"


class FollowConfig(_Section):
    """How files are found and followed."""

    scan_secs: Secs = 5.0
    settle_secs: Secs = 10.0
    block_bytes: Annotated[int, Field(ge=4096, le=4 << 20)] = 256 << 10
    partial_secs: Secs = 30.0
    read_from: Annotated[str, AfterValidator(allowed.read_from)] = "beginning"
    ignore_older_secs: Annotated[float, Field(gt=0)] | None = None
    expire_secs: Annotated[float, Field(gt=0)] = 7 * 86_400.0
    held_bytes: Annotated[int, Field(ge=0)] = 1 << 30
    open_files: Annotated[int, Field(ge=16)] | None = None
    limits: LimitsConfig = LimitsConfig()


class PipelineConfig(_Section):
    """What becomes of a line."""

    max_line_bytes: Annotated[int, Field(ge=1024, le=64 << 20)] = 1 << 20
    max_record_bytes: Annotated[int, Field(ge=1024, le=64 << 20)] = 1 << 20
    max_pending_bytes: Annotated[int, Field(ge=1 << 20)] = 64 << 20
    fields: Annotated[dict[str, Any], AfterValidator(allowed.document_fields)] = {}


class BufferConfig(_Section):
    """The chunks on disk and their limits."""

    chunk_bytes: Annotated[int, Field(ge=4096, le=90 << 20)] = 8 << 20
    chunk_documents: PositiveInt = 20_000
    flush_secs: Annotated[float, Field(ge=0.01, le=60)] = 1.0
    max_bytes: Annotated[int, Field(ge=1 << 20)] = 1 << 30
    max_chunks: Annotated[int, Field(ge=8)] = 20_000
    min_free_percent: Annotated[float, Field(ge=0, lt=100)] = 15.0
    grace_secs: Annotated[float, Field(ge=0, le=86_400)] = 20.0
    audit_secs: Secs = 60.0


class DeadLetterConfig(_Section):
    """Bounds of what is kept of refused documents."""

    max_bytes: Annotated[int, Field(ge=1 << 20)] = 256 << 20


class ElasticsearchConfig(_Section):
    """The Elasticsearch or OpenSearch to index into."""

    url: Annotated[str, AfterValidator(allowed.http_url)] = "http://127.0.0.1:9200"
    username: Annotated[str, Field(pattern=r"^[^:]+$")] | None = None
    password: Secret | None = None
    password_file: _File = None
    api_key: Secret | None = None
    api_key_file: _File = None
    ca_file: _File = None
    access_dir: _File = None
    verify_ssl: bool = True
    compression: Literal["auto", "gzip", "none"] = "auto"
    document_type: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]*$")] = "auto"
    request_timeout_secs: Secs = 60.0
    max_response_bytes: Annotated[int, Field(ge=1 << 20)] = 32 << 20

    @model_validator(mode="after")
    def _one_way_to_log_in(self) -> Self:
        given = [
            name
            for name in ("password", "password_file", "api_key", "api_key_file")
            if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: keep one")
        if self.access_dir and (given or self.username or self.ca_file):
            raise ValueError(
                "access_dir goes alone: it may hold username, password, api_key, ca.crt"
            )
        has_password = bool(given) and given[0].startswith("password")
        if has_password != (self.username is not None):
            raise ValueError("username and one of password and password_file go together")
        return self


class LocalConfig(_Section):
    """The embedded store."""

    path: Path | None = None
    max_bytes: Annotated[int, Field(ge=1 << 20)] = 2 << 30
    max_age_days: Annotated[int, Field(ge=1, le=36_500)] = 14


class OutputConfig(_Section):
    """Where the documents go."""

    type: Literal["elasticsearch", "local", "stdout"] = "elasticsearch"
    index_prefix: Annotated[str, AfterValidator(allowed.index_prefix)] = "logstash"
    concurrency: Annotated[int, Field(ge=1, le=32)] = 2
    retry_max_secs: Secs = 30.0
    elasticsearch: ElasticsearchConfig = ElasticsearchConfig()
    local: LocalConfig = LocalConfig()
    dead_letters: DeadLetterConfig = DeadLetterConfig()

    @property
    def target(self) -> str:
        """Name the destination, without secrets: what decides whether it has changed."""
        if self.type == "elasticsearch":
            return f"{self.elasticsearch.url}/{self.index_prefix}-*"
        return self.type


class ServerConfig(_Section):
    """The HTTP server of metrics and health."""

    enabled: bool = True
    listen: Annotated[str, AfterValidator(allowed.listen_address)] = "127.0.0.1:9880"

    @property
    def host(self) -> str:
        """The address to bind."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to bind; 0 takes any free one."""
        return int(self.listen.rpartition(":")[2])


class LoggingConfig(_Section):
    """The agent's own log, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "plain"] = "auto"
    repeat_secs: Annotated[float, Field(ge=0, le=86_400)] = 60.0


class Config(_Section):
    """The whole configuration, validated."""

    state_dir: Annotated[Path, AfterValidator(allowed.absolute)] = Path("/var/lib/shipper")
    node_name: Annotated[str, AfterValidator(_or_own_name)] = Field(default_factory=_own_name)
    sources: Annotated[list[SourceConfig], Field(min_length=1)] = [
        SourceConfig(paths=["/var/log/containers/*.log"])
    ]
    follow: FollowConfig = FollowConfig()
    kubernetes: KubernetesConfig = KubernetesConfig()
    pipeline: PipelineConfig = PipelineConfig()
    buffer: BufferConfig = BufferConfig()
    output: OutputConfig = OutputConfig()
    server: ServerConfig = ServerConfig()
    logging: LoggingConfig = LoggingConfig()


def load(path: Path, environ: Mapping[str, str] | None = None) -> Config:
    """Read and validate a configuration file.

    Raises:
        ConfigError: It cannot be read, is no YAML, names unset variables, or has wrong keys or
            values: all of them are listed.
    """
    tree = read_tree(path, os.environ if environ is None else environ)
    try:
        return validate(tree)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def validate(tree: Mapping[str, object]) -> Config:
    """Validate a configuration given as a tree.

    Raises:
        ConfigError: One line for each wrong key, with its path, its value and what is allowed.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        lines = [_explain(fault["loc"], fault["type"], fault=fault) for fault in faults]
        count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
        raise ConfigError("\n  ".join([count, *lines])) from None


def _explain(loc: tuple[int | str, ...], kind: str, *, fault: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in loc) or "(top level)"
    if kind == "extra_forbidden":
        return f"{key}: unknown key; there are {', '.join(_keys_beside(loc))}"
    message = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    given = fault["input"]
    is_hidden = isinstance(given, dict | list | BaseModel | SecretStr) or _SECRETS.search(key)
    shown = "" if is_hidden or kind == "missing" else f" (given: {given!r})"
    if key.endswith("url"):
        shown = _USER_ANYWHERE.sub(r"\1…@", shown)
    return f"{key}: {message}{_USER_IN_URL.sub('…@', shown)}"


def _keys_beside(loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys that may stand where an unknown one does."""
    model: type[BaseModel] = Config
    for part in loc[:-1]:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            model = next(t for t in (annotation, *get_args(annotation)) if _is_section(t))
    return list(model.model_fields)


def _is_section(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
