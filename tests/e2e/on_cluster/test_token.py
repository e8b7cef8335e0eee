"""The token by which the API knows the agent is renewed."""

import base64
import json
import re
import signal
import time
from datetime import datetime

import pytest

from tests.e2e.on_cluster.chatter import container, count, pod, pod_spec
from tests.e2e.on_cluster.cluster import SECONDS, Cluster
from tests.e2e.on_cluster.deployment import Deployment
from tests.e2e.record import Record
from tests.servers.process import wait_until

TOKEN_SECS, LEEWAY_SECS = 600, 75
"""The shortest life of a token that there is, and for how long the API takes it after its end."""


@pytest.mark.timeout(1_500)
def test_token_is_renewed_without_a_gap(
    cluster: Cluster, undisturbed: Deployment, record_property: Record
) -> None:
    """Its first token is over, the API is asked anew, and what it says is there as before."""
    born = undisturbed.pod()
    first_over = _time_of(born["status"]["startTime"]) + TOKEN_SECS + LEEWAY_SECS
    token = ("cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
    where = ("--namespace", undisturbed.namespace, born["metadata"]["name"], "--")
    most = TOKEN_SECS + LEEWAY_SECS + SECONDS
    wait_until(lambda: time.time() > first_over, seconds=most, what="the token's end")
    claims = json.loads(_base64(cluster.kubectl("exec", *where, *token).split(".")[1]))
    renewed_secs = claims["iat"] - _time_of(born["status"]["startTime"])
    record_property("this token is the pod's since s", renewed_secs)
    assert renewed_secs > LEEWAY_SECS, "it is still the first one"
    cluster.node.restart("kube-apiserver", how=signal.SIGKILL)
    undisturbed.until_synced()
    cluster.kubectl.apply(pod("late", pod_spec(container(count(20)))))
    cluster.until_phase("late", "Succeeded")
    cluster.kubectl.until(
        lambda: cluster.count(undisturbed, "late") == 20, "its lines", seconds=SECONDS
    )
    cluster.note_pods()
    heard = cluster.heard(undisturbed)
    record_property("lines", heard.lines)
    assert heard.wrong() == []
    assert undisturbed.pod()["metadata"]["uid"] == born["metadata"]["uid"]
    assert undisturbed.pod()["status"]["containerStatuses"][0]["restartCount"] == 0
    assert not [each for each in undisturbed.messages() if re.search(r"\b401\b", each)]


def _time_of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
