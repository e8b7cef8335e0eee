"""The configuration of what is known of pods: from where, what of it documents get, what pods ask.

Owns: the models of the section `kubernetes`. Does not know: how the API is reached.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from shipper import allowed
from shipper.section import STRICT, Name


class _Section(BaseModel):
    model_config = STRICT


class PatternsConfig(_Section):
    """Which keys are taken: those that one of `include` matches, and none of `exclude`."""

    include: list[Name] = ["*"]
    exclude: list[Name] = []


class NoneByDefaultConfig(_Section):
    """The same where no key is taken unless it is asked for."""

    include: list[Name] = []
    exclude: list[Name] = []


class AnnotationsConfig(_Section):
    """The same for a pod's annotations: none, and never all that `kubectl apply` has noted."""

    include: list[Name] = []
    exclude: list[Name] = ["kubectl.kubernetes.io/last-applied-configuration"]


class FieldsConfig(_Section):
    """What a document says of its pod, beside the names that its file's path has."""

    pod_id: bool = True
    pod_ip: bool = True
    host: bool = True
    container_image: bool = True
    container_image_id: bool = True
    namespace_id: bool = True
    ownerrefs: bool = False
    labels: PatternsConfig = PatternsConfig()
    annotations: AnnotationsConfig = AnnotationsConfig()
    namespace_labels: PatternsConfig = PatternsConfig()
    namespace_annotations: NoneByDefaultConfig = NoneByDefaultConfig()
    dedot: bool = True

    @property
    def of_namespaces(self) -> bool:
        """Whether anything is wanted that only the namespace itself says."""
        patterns = (self.namespace_labels, self.namespace_annotations)
        return self.namespace_id or any(each.include for each in patterns)


class HintsConfig(_Section):
    """Which wishes of pods are granted: for each, globs of namespaces."""

    exclude: list[Name] = []
    exclude_containers: list[Name] = []
    index: list[Name] = []
    fluentbit_exclude: list[Name] = []
    elastic_enabled: list[Name] = []


class KubernetesConfig(_Section):
    """The Kubernetes API, and what becomes of what it says."""

    enabled: Annotated[Literal["auto", True, False], BeforeValidator(allowed.switch)] = "auto"
    url: Annotated[str, AfterValidator(allowed.kubernetes_url)] | None = None
    kubeconfig: Path | None = None
    context: Name | None = None
    scope: Literal["node", "cluster"] = "node"
    token_file: Path | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None
    ca_file: Path | None = None
    verify_ssl: bool = True
    metadata_wait_secs: Annotated[float, Field(ge=0, le=60)] = 2.0
    fields: FieldsConfig = FieldsConfig()
    hints: HintsConfig = HintsConfig()

    @model_validator(mode="after")
    def _one_way_to_the_api(self) -> Self:
        if self.url is not None and self.kubeconfig is not None:
            raise ValueError("url and kubeconfig exclude each other: keep one")
        if self.context is not None and self.kubeconfig is None:
            raise ValueError("context is one of a kubeconfig: name that, too")
        if (self.client_cert_file is None) != (self.client_key_file is None):
            raise ValueError("client_cert_file and client_key_file go together")
        return self
