"""Pods, as the API has them: arbitrary ones, hostile ones, and one to look at."""

from typing import Any

from hypothesis import strategies as st

ID, OLD_ID = "ab" * 32, "cd" * 32
UID = "71021f38-0d3c-4ae5-8b07-7f1e50f1a111"

WEB: dict[str, Any] = {
    "metadata": {
        "uid": UID,
        "name": "web-0",
        "namespace": "shop",
        "labels": {"app": "web", "app.kubernetes.io/name": "web"},
        "annotations": {"team": "blue", "prometheus.io/scrape": "true"},
        "ownerReferences": [{"kind": "StatefulSet", "name": "web", "controller": True}],
    },
    "spec": {
        "nodeName": "node-1",
        "containers": [{"name": "web", "image": "web:2"}],
        "initContainers": [{"name": "init", "image": "init:1"}],
        "ephemeralContainers": [{"name": "debug", "image": "debug:1"}],
    },
    "status": {
        "podIP": "10.0.0.7",
        "containerStatuses": [
            {
                "name": "web",
                "image": "docker.io/library/web:2",
                "imageID": "docker.io/library/web@sha256:1",
                "containerID": f"containerd://{ID}",
                "restartCount": 3,
                "lastState": {"terminated": {"containerID": f"containerd://{OLD_ID}"}},
            }
        ],
        "initContainerStatuses": [
            {
                "name": "init",
                "image": "init:1",
                "imageID": "i1",
                "containerID": "docker://" + "1" * 64,
            }
        ],
    },
}
"""A pod with a container of each kind, of which one was restarted and one has not run."""

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
"""What JSON can hold."""


@st.composite
def broken_pods(draw: st.DrawFn) -> Any:  # noqa: ANN401  # whatever somebody may send
    """A pod in which something, anywhere, has the wrong type or is missing."""
    return _broken(draw, WEB)


def _broken(draw: st.DrawFn, thing: object) -> Any:  # noqa: ANN401  # whatever is in a pod
    if draw(st.integers(0, 9)) == 0:
        return draw(json_values)
    if isinstance(thing, dict):
        kept = {name: _broken(draw, value) for name, value in thing.items()}
        return {name: value for name, value in kept.items() if draw(st.integers(0, 19))}
    if isinstance(thing, list):
        return [_broken(draw, value) for value in thing]
    return thing
