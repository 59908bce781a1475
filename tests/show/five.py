"""`make show-5`: it runs where its users run it: compose, Kubernetes, and seen from outside."""

from tests.show.dashboard import dashboard
from tests.show.idling import idling
from tests.show.lines import Line, main, pytest
from tests.show.restarts import restarts


async def compose() -> str:
    """Needs a Docker engine; it starts none."""
    return pytest("tests/compose", "-rs")


async def kubernetes() -> str:
    """What kubectl makes of each overlay."""
    return pytest("tests/checks/test_kubernetes.py", "-rs")


LINES = [
    Line(
        1,
        "docker compose: mail in and out by fetchmail and the connector's image; a kill of each, down and up lose nothing",
        compose,
    ),
    Line(
        2, "each overlay: kubectl kustomize, kubernetes-validate --strict, and each rule of running there", kubernetes
    ),
    Line(3, "20 restarts of each service by SIGTERM under load, drain 5 s: no duplicate, no SMTP 5xx", restarts),
    Line(4, "10,000 idle live sessions on one odmr process: memory each, time to push to any of them", idling),
    Line(5, "the dashboard, panel by panel from its JSON, on recorded metrics", dashboard),
]

if __name__ == "__main__":
    main(5, LINES)
