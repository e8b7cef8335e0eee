"""What is known of a pod and of its namespace, read from the API's JSON.

Everything is kept that a document or a decision about a pod's lines may need, and nothing else: two
objects that differ elsewhere are equal here. Nothing of what the API sends is trusted to have the
type that it should have; what has another is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shipper.pipeline import untyped

_MIRROR = ("kubernetes.io/config.mirror", "kubernetes.io/config.hash")
"""Annotations of a static pod: its log directory has this for its uid.

Source: kubelet's `GetPodUIDs`/`types.ConfigMirrorAnnotationKey`, `ConfigHashAnnotationKey`."""
_SPECS = ("containers", "initContainers", "ephemeralContainers")
_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod, of any kind.

    Attributes:
        id: As in the names of its files, without the runtime's name before it; empty before it
            has run.
        image: What it runs.
        image_id: Exactly that, by digest.
        previous_id: Of the container that ran in its place before.
        restarts: How often it was started again: the number in the name of its file.
    """

    id: str = ""
    image: str = ""
    image_id: str = ""
    previous_id: str = ""
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Owner:
    """What a pod belongs to."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as it was at one moment; a changed pod is another object.

    Attributes:
        uid: Its identity; a name may be used again.
        name: Its name.
        namespace: Its namespace's name.
        node: The name of the node that it runs on.
        ip: Its first address.
        labels: Its labels.
        annotations: Its annotations.
        owners: What it belongs to.
        containers: By name, init and ephemeral ones, too.
        mirror: Of a static pod, what its log directory has for its uid; else empty.
    """

    uid: str
    name: str
    namespace: str
    node: str = ""
    ip: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owners: tuple[Owner, ...] = ()
    containers: Mapping[str, Container] = field(default_factory=dict)
    mirror: str = ""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace as it was at one moment."""

    uid: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def pod_of(thing: object) -> Pod:
    """Read a pod from the API's JSON; one without uid or name is none, and has them empty."""
    metadata, spec, status = (untyped.mapping(thing, key) for key in ("metadata", "spec", "status"))
    annotations = untyped.texts(metadata, "annotations")
    return Pod(
        uid=untyped.text(metadata, "uid"),
        name=untyped.text(metadata, "name"),
        namespace=untyped.text(metadata, "namespace"),
        node=untyped.text(spec, "nodeName"),
        ip=untyped.text(status, "podIP"),
        labels=untyped.texts(metadata, "labels"),
        annotations=annotations,
        owners=tuple(
            Owner(untyped.text(owner, "kind"), untyped.text(owner, "name"))
            for owner in untyped.each(metadata, "ownerReferences")
        ),
        containers=_containers(spec, status),
        mirror=next((annotations[key] for key in _MIRROR if annotations.get(key)), ""),
    )


def namespace_of(thing: object) -> Namespace:
    """Read a namespace from the API's JSON; one without a name is none, and has it empty."""
    metadata = untyped.mapping(thing, "metadata")
    return Namespace(
        untyped.text(metadata, "uid"),
        untyped.text(metadata, "name"),
        untyped.texts(metadata, "labels"),
        untyped.texts(metadata, "annotations"),
    )


def to_json(known: Pod | Namespace) -> bytes:
    """Write down what is known, to be read with `pod_of_json` or `namespace_of_json`."""
    return msgspec.json.encode(known)


def pod_of_json(raw: bytes) -> Pod | None:
    """Read what `to_json` wrote; None if it is not that."""
    try:
        return msgspec.json.decode(raw, type=Pod)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def namespace_of_json(raw: bytes) -> Namespace | None:
    """Read what `to_json` wrote; None if it is not that."""
    try:
        return msgspec.json.decode(raw, type=Namespace)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _containers(spec: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Container]:
    """Return the containers: as their statuses say, and before there are any, as wanted."""
    found = {
        name: Container(image=untyped.text(wanted, "image"))
        for key in _SPECS
        for wanted in untyped.each(spec, key)
        if (name := untyped.text(wanted, "name"))
    }
    for key in _STATUSES:
        for now in untyped.each(status, key):
            name = untyped.text(now, "name")
            if not name:
                continue
            ended = untyped.mapping(untyped.mapping(now, "lastState"), "terminated")
            found[name] = Container(
                id=_bare(untyped.text(now, "containerID")),
                image=untyped.text(now, "image") or found.get(name, Container()).image,
                image_id=untyped.text(now, "imageID"),
                previous_id=_bare(untyped.text(ended, "containerID")),
                restarts=untyped.count(now, "restartCount"),
            )
    return found


def _bare(container_id: str) -> str:
    return container_id.rpartition("://")[2]
