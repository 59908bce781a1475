"""Dashboards and alerts name what there is, and Prometheus' own tool takes the rules."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from localserve.provider import HERE
from shared import metrics

DEPLOY = HERE / "deploy" / "observability"
RULES = DEPLOY / "prometheus" / "rules.yaml"


def _named(text: str) -> set[str]:
    return set(re.findall(r"\bodmr_\w+", text))


def test_each_metric_of_the_dashboard_exists() -> None:
    board = json.loads((DEPLOY / "grafana" / "odmr.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(expressions) > 15
    for expression in expressions:
        assert _named(expression) and _named(expression) <= metrics.names(), expression


def test_each_metric_of_the_rules_exists() -> None:
    text = RULES.read_text()
    assert text.count("- alert:") > 10 and _named(text) <= metrics.names()


def test_each_metric_is_looked_at() -> None:
    """A figure that nobody sees costs time with each message and tells nothing."""
    seen = _named(RULES.read_text()) | _named((DEPLOY / "grafana" / "odmr.json").read_text())
    for family in metrics.REGISTRY.collect():
        assert any(name.startswith(family.name) for name in seen), family.name


def test_each_alert_is_explained() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    explained = re.findall(r"^\| (Odmr\w+) \|", (HERE / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert sorted(alerts) == sorted(explained)


def test_prometheus_takes_the_rules() -> None:
    found = shutil.which("promtool") or str(HERE / ".tools" / "prometheus" / "usr" / "bin" / "promtool")
    if not Path(found).is_file():
        pytest.skip("promtool is not there: run make peers, which unpacks it")
    for words in (["check", "rules", str(RULES)], ["check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")]):
        done = subprocess.run([found, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_no_label_names_a_customer_or_a_domain() -> None:
    for collector in metrics.REGISTRY._collector_to_names:
        labels = set(getattr(collector, "_labelnames", ()))
        assert not labels & {"customer", "domain", "customer_id", "address", "peer", "user"}, labels
