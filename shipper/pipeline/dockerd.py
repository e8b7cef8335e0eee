"""What dockerd has written down of a container, in the `config.v2.json` beside its log.

Where containers are not a cluster's, that is who they are; where they are, kubelet's labels say of
which pod, without the API.

Source: https://github.com/moby/moby/blob/v20.10.24/container/container.go, type Container; the
labels are those of kubelet's dockershim and of cri-dockerd.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from shipper.pipeline import untyped
from shipper.pipeline.names import Names

_LABEL_OF = {
    "pod_name": "io.kubernetes.pod.name",
    "namespace_name": "io.kubernetes.pod.namespace",
    "container_name": "io.kubernetes.container.name",
    "pod_uid": "io.kubernetes.pod.uid",
}
_COMPOSE = "com.docker.compose."
_MOST_NAME_CHARS = 1 << 10
"""Of a name or an image: what is longer is none. Labels may come with the image, whose author could
have all that a label holds repeated in every line."""


@dataclass(frozen=True, slots=True)
class DockerContainer:
    """A container as dockerd knows it.

    Attributes:
        name: Its name.
        image: What it runs, as it was asked for.
        image_id: Exactly that, by digest.
        labels: Its labels.
    """

    name: str = ""
    image: str = ""
    image_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> Names:
        """What kubelet's labels say; empty for a container that is not a pod's."""
        if not _name(self.labels.get(_LABEL_OF["pod_name"])):
            return Names()
        return Names(**{name: _name(self.labels.get(label)) for name, label in _LABEL_OF.items()})

    @property
    def own_labels(self) -> dict[str, str]:
        """The labels, without those that compose notes for itself."""
        return {key: text for key, text in self.labels.items() if not key.startswith(_COMPOSE)}

    @property
    def compose_project(self) -> str:
        """The project of compose that it belongs to."""
        return _name(self.labels.get(f"{_COMPOSE}project"))

    @property
    def compose_service(self) -> str:
        """The service of that project."""
        return _name(self.labels.get(f"{_COMPOSE}service"))


def docker_container_of(raw: bytes) -> DockerContainer:
    """Read `config.v2.json`; what it does not say, or says in another way, is empty."""
    try:
        thing = orjson.loads(raw)
    except orjson.JSONDecodeError:
        thing = {}
    config = untyped.mapping(thing, "Config")
    if not config:
        return DockerContainer()
    return DockerContainer(
        name=_name(untyped.text(thing, "Name")).removeprefix("/"),
        image=_name(untyped.text(config, "Image")),
        image_id=_name(untyped.text(thing, "Image")),
        labels=untyped.texts(config, "Labels"),
    )


def _name(text: str | None) -> str:
    return text if text and len(text) <= _MOST_NAME_CHARS else ""
