"""What kubectl makes of each overlay: Kubernetes' own schemas take it, and each rule of running there holds."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from localserve.layout import SERVICES
from localserve.provider import HERE
from services.api.settings import ApiSettings
from services.auth.settings import AuthSettings
from services.inbound.settings import InboundSettings
from services.odmr.settings import OdmrSettings
from services.outbound.settings import OutboundSettings
from shared.config import Settings

VERSION = "1.37"
OVERLAYS = ("dev", "production", "behind-a-balancer")
#: Kinds of operators, whose schemas are not Kubernetes'.
OTHERS = {"Cluster", "Certificate", "ServiceMonitor"}
SETTINGS: dict[str, type[Settings]] = {
    "api": ApiSettings,
    "auth": AuthSettings,
    "inbound": InboundSettings,
    "odmr": OdmrSettings,
    "outbound": OutboundSettings,
}
Object = dict[str, Any]
_made: dict[str, list[Object]] = {}


def objects(overlay: str) -> list[Object]:
    """All of them, as kubectl writes them."""
    if overlay not in _made:
        kubectl = str(Path(sys.executable).with_name("kubectl"))
        folder = HERE / "deploy" / "kubernetes" / "overlays" / overlay
        done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=True)
        _made[overlay] = list(yaml.safe_load_all(done.stdout))
    return _made[overlay]


def kind(overlay: str, *kinds: str) -> dict[str, Object]:
    """Those of a kind, by name."""
    return {one["metadata"]["name"]: one for one in objects(overlay) if one["kind"] in kinds}


def pods(overlay: str) -> dict[str, Object]:
    """The pod of each that runs some."""
    return {name: one["spec"]["template"] for name, one in kind(overlay, "Deployment", "StatefulSet", "Job").items()}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_takes_each_object(overlay: str) -> None:
    assert len(objects(overlay)) > 15
    for one in objects(overlay):
        if one["kind"] not in OTHERS:
            kubernetes_validate.validate(one, VERSION, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_runs_as_root_or_writes_to_its_root(overlay: str) -> None:
    for name, pod in pods(overlay).items():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] and spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            closed = container["securityContext"]
            assert closed["readOnlyRootFilesystem"] and not closed["allowPrivilegeEscalation"], name
            assert closed["capabilities"] == {"drop": ["ALL"]} and container["resources"]["limits"]["memory"], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_files_that_only_their_service_has(overlay: str) -> None:
    assert not kind(overlay, "Secret")
    for name, pod in pods(overlay).items():
        mounted = {one["secret"]["secretName"] for one in pod["spec"]["volumes"] if "secret" in one}
        assert mounted <= {f"odmr-{'api' if name.startswith('migrate') else name}", "odmr-tls"}, name
        for container in pod["spec"]["containers"]:
            for variable in container.get("env", []):
                is_secret = re.search("KEY|SECRET|PASSWORD|_URL", variable["name"])
                assert "valueFrom" not in variable and (not is_secret or variable["name"].endswith("_FILE")), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_setting_is_one(overlay: str) -> None:
    [shared] = kind(overlay, "ConfigMap").values()
    known = {name for settings in SETTINGS.values() for name in settings.model_fields}
    for service in SERVICES:
        [container] = pods(overlay)[service]["spec"]["containers"]
        assert container["args"] == [f"services.{service}"]
        own = {one["name"]: one["value"] for one in container.get("env", [])}
        for name in own:
            assert name.removeprefix("ODMR_").removesuffix("_FILE").lower() in SETTINGS[service].model_fields, name
    assert {name.removeprefix("ODMR_").removesuffix("_FILE").lower() for name in shared["data"]} <= known


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_selector_and_port_leads_somewhere(overlay: str) -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(overlay).items()}
    ports = {
        name: {port["name"] for one in pod["spec"]["containers"] for port in one.get("ports", [])}
        for name, pod in pods(overlay).items()
    }
    for name, service in kind(overlay, "Service").items():
        chosen = [who for who, has in labels.items() if service["spec"]["selector"].items() <= has.items()]
        assert len(chosen) == 1, name
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports[chosen[0]], name
    for name, one in kind(overlay, "PodDisruptionBudget").items():
        assert (
            one["spec"]["maxUnavailable"] == 1
            and one["spec"]["selector"]["matchLabels"].items() <= labels[name].items()
        )
    for name, one in kind(overlay, "HorizontalPodAutoscaler").items():
        assert one["spec"]["scaleTargetRef"]["name"] == name and name in labels


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_and_a_drain_that_ends_before_the_pod_is_killed(overlay: str) -> None:
    for service in SERVICES:
        spec = pods(overlay)[service]["spec"]
        [container] = spec["containers"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
        assert {container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "readiness")} == {"/readyz"}
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        drains = next(
            (float(one["value"]) for one in container.get("env", []) if one["name"] == "ODMR_DRAIN_SECONDS"), 0.0
        )
        assert sleep + drains < spec["terminationGracePeriodSeconds"], service
        assert spec["topologySpreadConstraints"], service
    [odmr] = pods(overlay)["odmr"]["spec"]["containers"]
    assert (
        float(next(one["value"] for one in odmr["env"] if one["name"] == "ODMR_DRAIN_SECONDS")) >= 600
    )  # RFC 5321's last dot


def test_in_production_the_clients_own_address_arrives() -> None:
    services = kind("production", "Service")
    for name, port in (("inbound", 25), ("odmr", 366)):
        spec = services[name]["spec"]
        assert (spec["type"], spec["externalTrafficPolicy"]) == ("LoadBalancer", "Local")
        assert port in {one["port"] for one in spec["ports"]}
    assert services["api"]["spec"].get("type", "ClusterIP") == "ClusterIP"


def test_behind_a_balancer_each_port_takes_its_word_and_from_named_networks_alone() -> None:
    overlay = "behind-a-balancer"
    for name, listen in (
        ("inbound", {"ODMR_SMTP_PROXY_LISTEN"}),
        ("odmr", {f"ODMR_ODMR_{x}PROXY_LISTEN" for x in ("", "TLS_", "CERTIFICATE_")}),
    ):
        [container] = pods(overlay)[name]["spec"]["containers"]
        own = {one["name"]: one["value"] for one in container["env"]}
        assert listen <= own.keys() and own["ODMR_PROXY_NETWORKS"]
        proxied = {int(own[one].rpartition(":")[2]) for one in listen}
        numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
        led = {numbers[port["targetPort"]] for port in kind(overlay, "Service")[name]["spec"]["ports"]}
        assert led == proxied, name
        opened = {
            port["port"] for rule in kind(overlay, "NetworkPolicy")[name]["spec"]["ingress"] for port in rule["ports"]
        }
        assert proxied <= opened, name


def test_in_production_there_are_two_of_each_and_odmr_grows_with_its_sessions() -> None:
    for service in SERVICES:
        assert kind("production", "Deployment")[service]["spec"]["replicas"] >= 2
        assert service in kind("production", "PodDisruptionBudget")
    metrics = kind("production", "HorizontalPodAutoscaler")["odmr"]["spec"]["metrics"]
    assert "odmr_sessions_active" in str(metrics) and "cpu" in str(metrics)


def test_in_production_nothing_may_be_reached_that_is_not_named() -> None:
    policies = kind("production", "NetworkPolicy")
    assert policies["deny-all"]["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policies["deny-all"]["spec"] and "egress" not in policies["deny-all"]["spec"]
    for service in SERVICES:
        [container] = pods("production")[service]["spec"]["containers"]
        opened = {port["port"] for rule in policies[service]["spec"]["ingress"] for port in rule["ports"]}
        assert opened == {port["containerPort"] for port in container["ports"]}, service
    told = {name for name, one in policies.items() if "4318" in str(one["spec"].get("egress"))}
    assert told == {"inbound", "odmr"}  # which messages pass
    outside = {
        name for name, one in policies.items()
        for rule in one["spec"].get("egress", []) if "ipBlock" in str(rule.get("to"))
    }  # fmt: skip
    assert outside == {"outbound", "api"}


def test_the_job_is_named_by_the_version() -> None:
    version = re.search(r'^version = "(.*)"', (HERE / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"migrate-{version[1].replace('.', '-')}" in kind("production", "Job")
    images = {one["image"] for pod in pods("production").values() for one in pod["spec"]["containers"]}
    assert f"odmr-provider:{version[1]}" in images
