"""The dashboard, drawn panel by panel from its JSON, on what a real Prometheus recorded of a running provider."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from localserve.children import Child, Program
from localserve.layout import free_port
from localserve.provider import HERE, Provider
from localserve.provision import client
from localserve.sink import Received, Sink
from shared.protocol.reply import S250_OK, Reply
from tests.flows.customer import call, start
from tests.flows.live import running
from tests.flows.sender import DOMAIN, Ledger, name_of, send_all
from tests.show.lines import NotShown
from tests.waiting import lasts

BOARD = HERE / "deploy" / "observability" / "grafana" / "odmr.json"
RULES = HERE / "deploy" / "observability" / "prometheus" / "rules.yaml"
PICTURE = HERE / "docs" / "dashboard.png"
#: Seconds of mail that are recorded, a scrape every STEP; Grafana's $__rate_interval is four of those.
RECORDED, STEP = 75, 1
RATE_INTERVAL = "8s"
COLUMNS = 3
_UNITS = {
    "s": "seconds",
    "bytes": "octets",
    "Bps": "octets a second",
    "cps": "a second",
    "reqps": "a second",
    "short": "",
}
REFUSED = Reply(554, "5.6.0", ("we do not like it",))


async def dashboard() -> str:
    """Fails when a panel has no data."""
    found = shutil.which("prometheus") or str(HERE / ".tools" / "prometheus" / "usr" / "bin" / "prometheus")
    if not Path(found).is_file():
        raise NotShown("Prometheus is not there: run make peers, which unpacks it")
    board = json.loads(BOARD.read_text())
    async with running(ODMR_SWEEP_SECONDS="1") as provider, _recording(provider, found) as url:
        began = time.time()  # noqa: TID251 - Prometheus' own clock
        await asyncio.gather(_mail(provider), _requests(provider))
        series = {panel["id"]: await _ask(url, panel, began) for panel in board["panels"]}
        alerts = await _alerts(url)
    silent = [panel["title"] for panel in board["panels"] if not series[panel["id"]]]
    if silent:
        raise NotShown(f"{len(silent)} panels of {len(board['panels'])} are empty: {silent}")
    await asyncio.to_thread(_draw, board, series)
    return f"{len(board['panels'])} panels, {sum(map(len, series.values()))} series; {alerts} rules evaluated; docs/dashboard.png"


@asynccontextmanager
async def _recording(provider: Provider, program: str) -> AsyncIterator[str]:
    """A Prometheus that scrapes each service and evaluates our rules; its URL."""
    root, port = provider.layout.root / "prometheus", free_port()
    root.mkdir()
    targets = [f"127.0.0.1:{number}" for number in provider.admin_ports.values()]
    configuration = {
        "global": {"scrape_interval": f"{STEP}s", "evaluation_interval": f"{STEP}s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "odmr", "static_configs": [{"targets": targets}]}],
    }
    file = root / "prometheus.yml"
    file.write_text(json.dumps(configuration))
    argv = [
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={root}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    child = Child(Program("prometheus", argv, {}, cwd=root), provider.layout, print)
    await child.start()
    try:
        async with asyncio.timeout(30), httpx2.AsyncClient(timeout=5) as asking:
            while True:
                try:
                    (await asking.get(f"http://127.0.0.1:{port}/-/ready")).raise_for_status()
                    break
                except httpx2.HTTPError:
                    await lasts(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        await child.stop()


async def _mail(provider: Provider) -> None:
    """A live customer, one that calls now and then and one that logs in wrongly, refusals, mail that nobody fetches."""
    ends = time.monotonic() + RECORDED

    def answer(message: Received) -> Reply:
        sink.messages.clear()
        return REFUSED if name_of(message.content).startswith("refuse") else S250_OK

    sink = Sink(answer)
    async with sink:
        live = await start(provider, sink, command="run", options=("--live", "--every", "1"))
        count = 0
        while time.monotonic() < ends:
            await send_all(provider.ports.smtp, [f"{count}-{i}" for i in range(5 + count % 7)], Ledger(), 30)
            if count % 5 == 0:
                await send_all(provider.ports.smtp, [f"refuse-{count}"], Ledger(), 30)
                await call(provider, sink)
                await call(provider, sink, secret="wrong")  # noqa: S106 - it is to fail
            count += 1
            await lasts(0.5)
        live.terminate()
        await live.communicate()
        await send_all(provider.ports.smtp, ["waits-1", "waits-2"], Ledger(), 30)
        await lasts(5)


async def _requests(provider: Provider) -> None:
    ends = time.monotonic() + RECORDED
    async with client(provider) as api:
        await api.patch(f"/v1/domains/{DOMAIN}", json={"fail_after_seconds": 0})  # so that a refusal makes a notice
        while time.monotonic() < ends:
            for path in ("/v1/whoami", "/v1/customers", "/v1/messages?limit=20", "/v1/customers/ext:nobody"):
                await api.get(path)
            await lasts(0.1)


async def _ask(url: str, panel: dict[str, Any], began: float) -> list[tuple[str, list[float], list[float]]]:
    """Legend, seconds and values of each series of a panel."""
    found = []
    async with httpx2.AsyncClient(timeout=10) as asking:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
            values = {"query": query, "start": began, "end": time.time(), "step": STEP}  # noqa: TID251
            answer = (await asking.get(f"{url}/api/v1/query_range", params=values)).raise_for_status().json()
            for one in answer["data"]["result"]:
                legend = target.get("legendFormat") or ""
                for name, value in one["metric"].items():
                    legend = legend.replace(f"{{{{{name}}}}}", value)
                found.append(
                    (legend, [at - began for at, _ in one["values"]], [float(value) for _, value in one["values"]])
                )
    return found


async def _alerts(url: str) -> int:
    """How many rules there are. Raises NotShown when one cannot be evaluated."""
    async with httpx2.AsyncClient(timeout=10) as asking:
        groups = (await asking.get(f"{url}/api/v1/rules")).raise_for_status().json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    broken = [rule["name"] for rule in rules if rule["health"] != "ok"]
    if broken:
        raise NotShown(f"rules that cannot be evaluated: {broken}")
    return len(rules)


def _draw(board: dict[str, Any], series: dict[int, list[tuple[str, list[float], list[float]]]]) -> None:
    """Each panel where the dashboard has it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = len(board["panels"]) // COLUMNS
    figure = Figure(figsize=(18, 3 * rows), layout="constrained")
    for number, panel in enumerate(board["panels"], 1):
        axes = figure.add_subplot(rows, COLUMNS, number)
        for legend, at, values in series[panel["id"]]:
            axes.plot(at, values, label=legend, linewidth=1.2)
        axes.set_title(panel["title"], fontsize=10)
        unit = panel["fieldConfig"]["defaults"].get("unit", "short")
        axes.set_ylabel(_UNITS.get(unit, unit), fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7, loc="upper left")
    FigureCanvasAgg(figure).print_figure(str(PICTURE), dpi=70)
