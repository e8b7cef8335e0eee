"""What a file's path says of its lines: Fluentd's tag, the names of pod and container.

Source: the tag and the first regular expression are those of Fluentd's in_tail and of its
Kubernetes metadata filter, so that dashboards and saved searches keep working.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

_CONTAINER_LOG = re.compile(
    r"(?:.*/)?(?P<pod_name>[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)"
    r"_(?P<namespace_name>[^_/]+)_(?P<container_name>[^/]+)-(?P<container_id>[0-9a-f]{64})\.log"
)
_DOCKER_LOG = re.compile(r"(?:.*/)?(?P<container_id>[0-9a-f]{64})-json\.log")
_POD_LOG = re.compile(
    # Before Kubernetes 1.14 there was the uid alone, and before 1.12 no directory of a container.
    r".*/pods/(?:(?P<namespace_name>[^_/]+)_(?P<pod_name>[^_/]+)_)?(?P<pod_uid>[0-9a-f-]{32,36})"
    r"/(?P<container_name>[^_/]+)[/_](?P<restart>\d{1,9})\.log"
)
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

CONTAINER_TAG = "kubernetes.*"
"""Tag pattern of the container logs in the `fluentd-elasticsearch` stack."""

PATH_TAG = "*"
"""Tag pattern of every other file: its dotted path."""


@dataclass(frozen=True, slots=True)
class Names:
    """What is known of a container from where its log is; empty where that does not say.

    Attributes:
        container_id: The container's.
        pod_name: Its pod's.
        namespace_name: Its pod's.
        container_name: In its pod.
        pod_uid: Of its pod, as the directory has it: a static pod's is another than the API's.
        restart: How often it was started again before; digits.
    """

    container_id: str = ""
    pod_name: str = ""
    namespace_name: str = ""
    container_name: str = ""
    pod_uid: str = ""
    restart: str = ""

    def or_else(self, other: Names) -> Names:
        """Return these names, and where they say nothing the other ones."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(Names))
        return Names(*(own or others for own, others in pairs))

    @property
    def of_pod(self) -> bool:
        """Whether it is known that this is a pod's container."""
        return bool(self.pod_name or self.pod_uid)

    @property
    def api_uid(self) -> str:
        """The pod's uid if the API has the same; that of a static pod is a hash."""
        return self.pod_uid if _UID.fullmatch(self.pod_uid) else ""


def names_of(path: str) -> Names | None:
    """Return the names in a container log's path, or None for any other file."""
    for pattern in (_CONTAINER_LOG, _POD_LOG, _DOCKER_LOG):
        match = pattern.fullmatch(path)
        if match:
            return Names(**{name: value or "" for name, value in match.groupdict().items()})
    return None


def tag_of(path: str, pattern: str) -> str:
    """Return Fluentd's tag: the path with dots for slashes in place of the pattern's `*`."""
    dotted = re.sub(r"\.+", ".", path.replace("/", ".")).removeprefix(".")
    return pattern.replace("*", dotted, 1)
