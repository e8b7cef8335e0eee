"""What a file's path says of its lines: Fluentd's tag, the names of pod and container.

All of it is the same for every line of a file, so it is serialised once, as the bytes that close
each of its documents.

Source: the tag and the regular expression are those of Fluentd's in_tail and of its Kubernetes
metadata filter, so that dashboards and saved searches keep working.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

_CONTAINER_LOG = re.compile(
    r"(?P<pod_name>[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)"
    r"_(?P<namespace_name>[^_/]+)_(?P<container_name>[^/]+)-(?P<container_id>[0-9a-f]{64})\.log"
)
_DOCKER_LOG = re.compile(r"(?P<container_id>[0-9a-f]{64})-json\.log")

CONTAINER_TAG = "kubernetes.*"
"""Tag pattern of the container logs in the `fluentd-elasticsearch` stack."""

PATH_TAG = "*"
"""Tag pattern of every other file: its dotted path."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the file name of a container's log says; empty where it does not."""

    container_id: str
    pod_name: str = ""
    namespace_name: str = ""
    container_name: str = ""


def names_of(path: str) -> Names | None:
    """Return the names in a container log's path, or None for any other file."""
    file_name = path.rpartition("/")[2]
    match = _CONTAINER_LOG.fullmatch(file_name) or _DOCKER_LOG.fullmatch(file_name)
    return Names(**match.groupdict()) if match else None


def tag_of(path: str, pattern: str) -> str:
    """Return Fluentd's tag: the path with dots for slashes in place of the pattern's `*`."""
    dotted = re.sub(r"\.+", ".", path.replace("/", ".")).removeprefix(".")
    return pattern.replace("*", dotted, 1)


def suffix_of(names: Names | None, tag: str, *, fields: Mapping[str, Any]) -> bytes:
    """Serialise what every document of a file ends with, from the comma to the newline."""
    added: dict[str, Any] = {}
    if names is not None:
        added["docker"] = {"container_id": names.container_id}
        if names.pod_name:
            added["kubernetes"] = {
                "container_name": names.container_name,
                "namespace_name": names.namespace_name,
                "pod_name": names.pod_name,
            }
    added["tag"] = tag
    return b"," + orjson.dumps({**added, **fields})[1:] + b"\n"
