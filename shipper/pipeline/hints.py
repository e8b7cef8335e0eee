"""What a pod asks for by annotation or label, as far as the operator lets it.

A wish of a pod whose namespace is not among those that the configuration names for it is as if it
were not there: a pod's owner can neither hide its lines nor send them elsewhere by himself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from shipper import allowed
from shipper.kubernetes_config import HintsConfig
from shipper.pipeline.pod import Pod

_TRUE = frozenset(("true", "on", "yes"))
"""What Fluent Bit takes for true, in any case."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is granted of what a pod asks for.

    Attributes:
        excluded: The lines of this container are not wanted.
        index: What their index begins with instead; empty for what is configured.
        fault: What is wrong with an index that was wished; empty if nothing is.
    """

    excluded: bool = False
    index: str = ""
    fault: str = ""


def wishes_of(pod: Pod, container: str, *, granted: HintsConfig) -> Wishes:
    """Return what is granted to a container of a pod."""
    index, fault = "", ""
    wished = _says(pod, "shipper.io/index")
    if wished and _is_granted(pod, granted.index):
        try:
            index = allowed.index_prefix(wished)
        except ValueError as error:
            fault = str(error)
    return Wishes(_is_excluded(pod, container, granted=granted), index, fault)


def _is_excluded(pod: Pod, container: str, *, granted: HintsConfig) -> bool:
    of_others = (f"fluentbit.io/exclude-{container}", "fluentbit.io/exclude")
    of_beats = (f"co.elastic.logs.{container}/enabled", "co.elastic.logs/enabled")
    return (
        (_is_granted(pod, granted.exclude) and _is_true(_says(pod, "shipper.io/exclude")))
        or (_is_granted(pod, granted.exclude_containers) and container in _named(pod))
        or (_is_granted(pod, granted.fluentbit_exclude) and _is_true(_says(pod, *of_others)))
        or (_is_granted(pod, granted.elastic_enabled) and _says(pod, *of_beats) == "false")
    )


def _named(pod: Pod) -> list[str]:
    return [name.strip() for name in _says(pod, "shipper.io/exclude-containers").split(",")]


def _is_granted(pod: Pod, namespaces: Sequence[str]) -> bool:
    return any(fnmatchcase(pod.namespace, pattern) for pattern in namespaces)


def _is_true(text: str) -> bool:
    return text.strip().lower() in _TRUE


def _says(pod: Pod, *keys: str) -> str:
    """Return what a pod says under the first of some keys that it has; annotations go first."""
    found = (said[key] for key in keys for said in (pod.annotations, pod.labels) if key in said)
    return next(found, "")
