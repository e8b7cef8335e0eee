"""A pod's wishes are heard where the operator lets them be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.kubernetes_config import HintsConfig
from shipper.pipeline.hints import Wishes, wishes_of
from shipper.pipeline.pod import Pod

HINTS = list(HintsConfig.model_fields)
EXCLUDING = [
    ("exclude", {"shipper.io/exclude": "true"}),
    ("exclude", {"shipper.io/exclude": " Yes "}),
    ("exclude_containers", {"shipper.io/exclude-containers": "db, web"}),
    ("exclude_containers", {"shipper.io/exclude-containers": "web"}),
    ("fluentbit_exclude", {"fluentbit.io/exclude": "true"}),
    ("fluentbit_exclude", {"fluentbit.io/exclude-web": "on"}),
    ("elastic_enabled", {"co.elastic.logs/enabled": "false"}),
    ("elastic_enabled", {"co.elastic.logs.web/enabled": "false"}),
]


def pod(said: dict[str, str], *, by: str = "annotations", namespace: str = "shop") -> Pod:
    """A pod that says something."""
    said_by: dict[str, Any] = {by: said}
    return Pod("u", "web-0", namespace, **said_by)


def granted(*hints: str, namespaces: list[str] | None = None) -> HintsConfig:
    """A configuration that grants some hints."""
    return HintsConfig(**dict.fromkeys(hints, namespaces or ["shop"]))


@pytest.mark.parametrize("by", ["annotations", "labels"])
@pytest.mark.parametrize(("hint", "said"), EXCLUDING)
def test_a_pod_may_opt_out_where_that_is_granted(hint: str, said: dict[str, str], by: str) -> None:
    """Each opt-out acts if its own hint is granted to the namespace, and by no other hint."""
    asks = pod(said, by=by)
    assert wishes_of(asks, "web", granted=granted(hint)) == Wishes(excluded=True)
    others = granted(*(name for name in HINTS if name != hint))
    assert wishes_of(asks, "web", granted=others) == Wishes()
    elsewhere = granted(hint, namespaces=["sho", "other-*"])
    assert wishes_of(asks, "web", granted=elsewhere) == Wishes()


@given(
    st.dictionaries(
        st.sampled_from(["shipper.io/exclude", "shipper.io/index", "fluentbit.io/exclude"]),
        st.text(max_size=5) | st.just("true"),
    )
)
def test_nothing_is_heard_by_default(said: dict[str, str]) -> None:
    """A pod's owner can by himself neither hide lines nor send them elsewhere."""
    assert wishes_of(pod(said), "web", granted=HintsConfig()) == Wishes()


@pytest.mark.parametrize(
    "said",
    [
        {"shipper.io/exclude": "false"},
        {"shipper.io/exclude": ""},
        {"shipper.io/exclude-containers": "db,we"},
        {"shipper.io/exclude-containers": ""},
        {"fluentbit.io/exclude": "no"},
        {"fluentbit.io/exclude-db": "true"},
        {"fluentbit.io/exclude": "true", "fluentbit.io/exclude-web": "false"},
        {"co.elastic.logs/enabled": "true"},
        {"co.elastic.logs.db/enabled": "false"},
    ],
)
def test_what_does_not_ask_for_it_excludes_nothing(said: dict[str, str]) -> None:
    """Other values, and those for other containers, leave the lines where they are."""
    assert not wishes_of(pod(said), "web", granted=granted(*HINTS)).excluded


def test_an_annotation_goes_before_a_label() -> None:
    """Where both say something, the annotation counts."""
    key = "shipper.io/exclude"
    both = Pod("u", "n", "shop", labels={key: "true"}, annotations={key: "false"})
    assert not wishes_of(both, "web", granted=granted("exclude")).excluded


def test_globs_name_namespaces() -> None:
    """A hint is granted to every namespace that one of its globs matches."""
    asks = pod({"shipper.io/exclude": "true"}, namespace="team-a")
    assert wishes_of(asks, "web", granted=granted("exclude", namespaces=["x", "team-*"])).excluded


def test_an_index_is_taken_if_it_can_be_one() -> None:
    """A name that Elasticsearch takes is what the index begins with."""
    asks = pod({"shipper.io/index": "payments"})
    assert wishes_of(asks, "web", granted=granted("index")) == Wishes(index="payments")


@pytest.mark.parametrize(
    "wished",
    [".kibana", "_all", "UPPER", "a b", "a,b", "*", 'x","_id":"1', "a\n{}", "x" * 300, "-x", "a/b"],
)
def test_an_index_that_cannot_be_one_is_refused(wished: str) -> None:
    """What could be another's index, several of them or none at all is not taken, with a reason."""
    wishes = wishes_of(pod({"shipper.io/index": wished}), "web", granted=granted("index"))
    assert not wishes.index
    assert wishes.fault.startswith("must be lower case")
