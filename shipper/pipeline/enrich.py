"""What every document of a file has besides its line: container, pod, namespace, static fields.

All of it is the same for every line until the pod changes, so it is serialised once, as the bytes
that close each of the documents.

Source: the names and the order of the fields are those of Fluentd's Kubernetes metadata filter, so
that dashboards and saved searches keep working.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

import orjson

from shipper.kubernetes_config import FieldsConfig
from shipper.pipeline.dockerd import DockerContainer
from shipper.pipeline.names import Names
from shipper.pipeline.pod import Container, Namespace, Pod

PENDING = "pending"
"""What `kubernetes.metadata` says where the pod was not known yet."""

INCOMPLETE = "incomplete"
"""What it says where labels or annotations were left out because there are too many."""

MOST_BYTES = 64 << 10
"""Of the keys and texts of one group of labels or annotations. Every line carries them: a pod with
the most that Kubernetes stores would make a document of a megabyte of each of its lines."""

_MOST_KEY_BYTES = 1 << 10
"""Of one key; Kubernetes has up to 317, Docker any, and Elasticsearch 2 fails at 32,767."""


class Patterns(Protocol):
    """Which keys are taken."""

    @property
    def include(self) -> list[str]:
        """Globs, of which one must match."""

    @property
    def exclude(self) -> list[str]:
        """Globs, of which none may match."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a container at one moment, beside the names in its path.

    Attributes:
        pod: Its pod.
        namespace: Its pod's namespace.
        docker: The container, where dockerd runs it.
        pending: There should be a pod, and it is not known.
    """

    pod: Pod | None = None
    namespace: Namespace | None = None
    docker: DockerContainer | None = None
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Enrichment:
    """What a series' documents have in common, at one moment.

    Attributes:
        suffix: What closes each of them.
        index_prefix: What the name of their index begins with.
        excluded: They are not wanted.
        pending: Their pod is not known yet.
    """

    suffix: bytes
    index_prefix: str
    excluded: bool = False
    pending: bool = False


def suffix_of(
    names: Names | None,
    tag: str,
    *,
    fields: Mapping[str, Any],
    known: Known | None = None,
    settings: FieldsConfig | None = None,
) -> bytes:
    """Serialise what every document of a file ends with, from the comma to the newline.

    Args:
        names: What its path says; None for a file that is no container's.
        tag: Fluentd's tag.
        fields: Static fields.
        known: What else is known.
        settings: What of that a document gets.
    """
    known, settings = known or Known(), settings or FieldsConfig()
    added: dict[str, Any] = {}
    if names is not None:
        added["docker"] = _docker(names, known, settings=settings)
        added["kubernetes"] = _kubernetes(names, known, settings=settings)
    added = {name: value for name, value in added.items() if value}
    return b"," + orjson.dumps({**added, "tag": tag, **fields})[1:] + b"\n"


def container_in(pod: Pod, names: Names) -> tuple[str, Container]:
    """Return which container of a pod is meant, by its id or its name, and what is known of it."""
    if names.container_id and not names.container_name:
        for name, container in pod.containers.items():
            if names.container_id in {container.id, container.previous_id}:
                return name, container
    return names.container_name, pod.containers.get(names.container_name, Container())


def pick(
    texts: Mapping[str, str], patterns: Patterns, *, dedot: bool
) -> tuple[dict[str, str], bool]:
    """Return the labels or annotations that documents get, and whether that is all of them.

    Of keys that become the same, that which is so itself is taken, else the first of them.

    Args:
        texts: All of them.
        patterns: Which are wanted.
        dedot: Replace dots in keys by `_`: Elasticsearch 2 refuses dots, and later ones refuse
            `app` in one document and `app.x` in another.
    """
    wanted = sorted((key for key in texts if _is_wanted(key, patterns)), key=_dotted_last)
    picked: dict[str, str] = {}
    left_bytes, is_all = MOST_BYTES, True
    for key in wanted:
        name = key.replace(".", "_") if dedot else key
        if name in picked:
            continue
        key_bytes = len(name.encode())
        size_bytes = key_bytes + len(texts[key].encode())
        if size_bytes > left_bytes or key_bytes > _MOST_KEY_BYTES:
            is_all = False
            continue
        left_bytes -= size_bytes
        picked[name] = texts[key]
    return dict(sorted(picked.items())), is_all


def _docker(names: Names, known: Known, *, settings: FieldsConfig) -> dict[str, Any]:
    about: dict[str, Any] = {"container_id": names.container_id or _id_of(names, known.pod)}
    if known.docker is not None and known.pod is None and not names.of_pod:
        labels, _ = pick(known.docker.own_labels, settings.labels, dedot=settings.dedot)
        about |= {
            "container_name": known.docker.name,
            "container_image": known.docker.image if settings.container_image else "",
            "container_image_id": known.docker.image_id if settings.container_image_id else "",
            "compose_project": known.docker.compose_project,
            "compose_service": known.docker.compose_service,
            "labels": labels,
        }
    return {name: value for name, value in about.items() if value}


def _id_of(names: Names, pod: Pod | None) -> str:
    """Return the id of the container that wrote a file in its pod's directory; empty if unknown."""
    container = pod.containers.get(names.container_name) if pod else None
    if container is None or not names.restart:
        return ""
    restart = int(names.restart)
    ids = {container.restarts: container.id, container.restarts - 1: container.previous_id}
    return ids.get(restart, "")


def _kubernetes(names: Names, known: Known, *, settings: FieldsConfig) -> dict[str, Any]:
    about: dict[str, Any] = {
        "container_name": names.container_name,
        "namespace_name": names.namespace_name,
        "pod_name": names.pod_name,
        "pod_id": names.api_uid if settings.pod_id else "",
    }
    is_all = True
    if known.pod is not None:
        of_pod, all_of_pod = _of_pod(known.pod, names, settings=settings)
        of_namespace, all_of_namespace = _of_namespace(known.namespace, settings=settings)
        about |= of_pod | of_namespace
        is_all = all_of_pod and all_of_namespace
    if known.pending:
        about["metadata"] = PENDING
    elif not is_all:
        about["metadata"] = INCOMPLETE
    return {name: value for name, value in about.items() if value}


def _of_pod(pod: Pod, names: Names, *, settings: FieldsConfig) -> tuple[dict[str, Any], bool]:
    container_name, container = container_in(pod, names)
    labels, all_labels = pick(pod.labels, settings.labels, dedot=settings.dedot)
    annotations, all_notes = pick(pod.annotations, settings.annotations, dedot=settings.dedot)
    about = {
        "container_name": container_name,
        "namespace_name": pod.namespace,
        "pod_name": pod.name,
        "pod_id": pod.uid if settings.pod_id else "",
        "pod_ip": pod.ip if settings.pod_ip else "",
        "host": pod.node if settings.host else "",
        "labels": labels,
        "annotations": annotations,
        "ownerrefs": _ownerrefs(pod) if settings.ownerrefs else [],
        "container_image": container.image if settings.container_image else "",
        "container_image_id": container.image_id if settings.container_image_id else "",
    }
    return about, all_labels and all_notes


def _ownerrefs(pod: Pod) -> list[dict[str, str]]:
    return [{"kind": owner.kind, "name": owner.name} for owner in pod.owners]


def _of_namespace(
    namespace: Namespace | None, *, settings: FieldsConfig
) -> tuple[dict[str, Any], bool]:
    if namespace is None:
        return {}, True
    dedot = settings.dedot
    labels, all_labels = pick(namespace.labels, settings.namespace_labels, dedot=dedot)
    annotations, all_notes = pick(
        namespace.annotations, settings.namespace_annotations, dedot=dedot
    )
    about = {
        "namespace_id": namespace.uid if settings.namespace_id else "",
        "namespace_labels": labels,
        "namespace_annotations": annotations,
    }
    return about, all_labels and all_notes


def _is_wanted(key: str, patterns: Patterns) -> bool:
    return bool(key.strip()) and (
        any(fnmatchcase(key, pattern) for pattern in patterns.include)
        and not any(fnmatchcase(key, pattern) for pattern in patterns.exclude)
    )


def _dotted_last(key: str) -> tuple[bool, str]:
    return "." in key, key
