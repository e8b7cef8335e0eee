"""The way to a real kube-apiserver fails in every way, at start and later: shipping goes on."""

import json
import time
from contextlib import ExitStack, closing

import pytest

from shipper.buffer.schema import read_only
from tests.e2e.agent import Setup, running
from tests.e2e.api_faults import (
    FAULTS,
    SERVICE,
    Fault,
    check_said_once,
    hear_names,
    sign_again,
    sign_for_another,
    silence_names,
    until_said,
)
from tests.e2e.record import Record
from tests.e2e.scene import FIRST_DOCUMENT_SECS, SetUp, agent_in
from tests.servers.kubernetes import RULES, KubernetesApi

STOP_SECS = 10.0
every_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))


@every_fault
def test_fault_that_is_there_at_the_start(
    fault: Fault, set_up: SetUp, record_property: Record
) -> None:
    """Documents flow at once without metadata, what is wrong is said, and it is made up for."""
    with (
        set_up(host=fault.host) as here,
        ExitStack() as end,
    ):
        here.make_pod(here.first)
        end.callback(fault.end, here)
        fault.begin(here)
        began = time.monotonic()
        with agent_in(here) as agent:
            first_secs, document = here.soon(agent, here.first, since=began)
            assert document["kubernetes"]["pod_name"] == here.first
            assert "labels" not in document["kubernetes"]
            until_said(agent, fault)
            end.close()
            back_secs = here.until_enriched(agent, here.first)
            agent.until_metric("shipper_kube_synced", 1)
            assert "kubernetes" not in agent.get("/readyz")[1]
            check_said_once(agent, fault)
            assert agent.stop() == 0
    record_property("first document after", f"{first_secs:.1f} s, metadata {back_secs:.1f} s")
    assert first_secs < FIRST_DOCUMENT_SECS


@every_fault
def test_fault_in_mid_run(fault: Fault, set_up: SetUp, record_property: Record) -> None:
    """Known pods keep their metadata, new ones go without, and have it when the fault is over."""
    with (
        set_up(host=fault.host) as here,
        ExitStack() as end,
    ):
        here.make_pod(here.first)
        with agent_in(here) as agent:
            here.until_enriched(agent, here.first)
            end.callback(fault.end, here)
            fault.begin(here)
            here.pipe.cut()
            until_said(agent, fault)
            first_secs, document = here.soon(agent, here.first)
            assert document["kubernetes"]["labels"] == {"app": here.first}
            new_secs, document = here.soon(agent, here.unknown)
            assert document["kubernetes"]["pod_name"] == here.unknown
            assert "labels" not in document["kubernetes"]
            end.close()
            here.make_pod(here.second)
            back_secs = here.until_enriched(agent, here.second)
            check_said_once(agent, fault)
            assert agent.stop() == 0
    record_property("known", f"{first_secs:.1f} s, new {new_secs:.1f} s, back {back_secs:.1f} s")
    assert max(first_secs, new_secs) < FIRST_DOCUMENT_SECS


def test_stop_waits_for_no_name_server(set_up: SetUp) -> None:
    """An agent that is told to stop while a name is looked up in vain ends as it always does."""
    with set_up(host=SERVICE) as here, ExitStack() as end:
        end.callback(hear_names, here)
        silence_names(here)
        with agent_in(here) as agent:
            here.soon(agent, here.unknown)
            agent.until(lambda: SERVICE in agent.get("/readyz")[1], "it says what is wrong")
            began = time.monotonic()
            assert agent.stop() == 0
            assert time.monotonic() - began < STOP_SECS


def test_name_that_is_not_the_servers_works_unverified(set_up: SetUp) -> None:
    """With `verify_ssl: false`, a name that the certificate does not have is taken."""
    host = "localhost"
    with set_up(host=host, verify_ssl=False) as here:
        here.make_pod(here.first)
        with running(here.setup) as agent:
            here.until_enriched(agent, here.first)
            assert agent.stop() == 0


def test_name_that_ceases_to_be_the_servers_works_unverified(set_up: SetUp) -> None:
    """A certificate that is replaced by one without the name in mid-run changes nothing either."""
    with (
        set_up(host=SERVICE, verify_ssl=False) as here,
        ExitStack() as end,
    ):
        here.make_pod(here.first)
        with agent_in(here) as agent:
            here.until_enriched(agent, here.first)
            end.callback(sign_again, here)
            sign_for_another(here)
            here.pipe.cut()
            here.make_pod(here.second)
            here.until_enriched(agent, here.second)
            assert 'shipper_kube_faults_total{reason="tls"} 0.0' in agent.get("/metrics")[1]
            assert agent.stop() == 0


def test_kubeconfig_of_an_administrator_works(set_up: SetUp, api: KubernetesApi) -> None:
    """A kubeconfig with a client certificate beside it is enough."""
    with set_up() as here:
        tree = json.loads(here.setup.config.read_text())
        tree["kubernetes"] = {"kubeconfig": str(api.write_kubeconfig())}
        here.setup.config.write_text(json.dumps(tree))
        here.make_pod(here.first)
        with running(here.setup) as agent:
            here.until_enriched(agent, here.first)
            assert agent.stop() == 0


def test_missing_right_to_namespaces_costs_their_labels_alone(
    set_up: SetUp, api: KubernetesApi
) -> None:
    """Without the rule for namespaces documents have what their pod says; with it, all of it."""
    with set_up() as here, ExitStack() as end:
        here.make_pod(here.first)
        end.callback(api.grant)
        api.grant(rules=RULES[:1])
        began = time.monotonic()
        with running(here.setup) as agent:
            secs, document = here.soon(agent, here.first, since=began)
            assert document["kubernetes"]["labels"] == {"app": here.first}
            assert "namespace_labels" not in document["kubernetes"]
            rule = 'resources: ["namespaces"], verbs: ["get"]'
            agent.until(lambda: rule in agent.get("/readyz")[1], "it says what is missing")
            assert secs < FIRST_DOCUMENT_SECS
            end.close()
            here.until_enriched(agent, here.first)
            assert agent.stop() == 0


def test_pod_finds_its_api_in_the_environment(set_up: SetUp, api: KubernetesApi) -> None:
    """In a cluster nothing needs to be configured; a missing token is a matter of the pod."""
    inside = ("KUBERNETES_SERVICE_HOST=127.0.0.1", f"KUBERNETES_SERVICE_PORT={api.port}")
    with set_up() as here:
        tree = json.loads(here.setup.config.read_text())
        tree["kubernetes"] = {}
        here.setup.config.write_text(json.dumps(tree))
        here.make_pod(here.first)
        with running(here.setup, before=("env", *inside)) as agent:
            _, document = here.soon(agent, here.first)
            assert "labels" not in document["kubernetes"]
            agent.until(lambda: "serviceAccountName" in agent.get("/readyz")[1], "it says why")
            assert agent.stop() == 0
        files = {"token_file": str(here.token_file), "ca_file": str(here.ca_file)}
        here.setup.config.write_text(json.dumps(tree | {"kubernetes": files}))
        with running(here.setup, before=("env", *inside)) as agent:
            here.until_enriched(agent, here.first)
            assert agent.stop() == 0


def test_restart_without_the_api_has_the_metadata(set_up: SetUp, api: KubernetesApi) -> None:
    """What was known is kept: after a restart with the API away, documents have it."""
    with set_up() as here, ExitStack() as end:
        here.make_pod(here.first)
        with running(here.setup) as agent:
            here.until_enriched(agent, here.first)
            agent.until(lambda: kept(here.setup) >= {"pod", "namespace"}, "it is kept")
            agent.process.kill()
            agent.process.wait()
        end.callback(api.grant)
        api.revoke()
        with running(here.setup) as agent:
            _, document = here.soon(agent, here.first)
            assert document["kubernetes"]["labels"] == {"app": here.first}
            assert document["kubernetes"]["namespace_labels"]["team"] == "a"
            assert agent.stop() == 0


def kept(setup: Setup) -> set[str]:
    """Of what kinds something is kept."""
    with closing(read_only(setup.state_dir / "state.db")) as db:
        return {kind for (kind,) in db.execute("SELECT DISTINCT kind FROM known")}
