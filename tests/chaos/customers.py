"""Customers: a mail server that writes down what it got and what it said, and a connector in a process of its own."""

import hashlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from localserve.children import Child, Program
from localserve.provider import HERE, Provider
from localserve.provision import make_customer
from localserve.sink import Received, Sink
from shared.protocol import reply as r
from shared.protocol.reply import Reply
from tests.chaos.ledger import Ledger

_RECEIVED = re.compile(rb"Received: .*?\bid ([0-9a-f]{32});.*?\r\n(?=[A-Z])", re.DOTALL)
REFUSED = Reply(554, "5.6.0", ("we do not like it",))


@dataclass(slots=True)
class Customer:
    """One tenant. `has_ledger`: its connectors remember; else they pass octets on, and rule (a) of L4 holds."""

    name: str
    domain: str
    options: tuple[str, ...]
    has_ledger: bool
    connectors: int = 1
    children: list[Child] = field(default_factory=list)


CUSTOMERS = (
    ("north", ("--live", "--every", "1"), True, 1),
    ("south", ("--every", "1", "--tls", "implicit"), True, 1),
    ("east", ("--live", "--every", "1", "--mode", "pipe"), False, 2),  # two sessions share its queue
    ("west", ("--live", "--every", "1"), True, 1),
)


class CustomersServer:
    """Takes mail for one customer, refuses what says so, and now and then drops the line when it has heard the last dot.

    `cut`, when it is set, ends the connectors in the middle of a content, once a message that asks for it.
    """

    cut: Callable[[], None] | None = None

    def __init__(self, customer: str, ledger: Ledger, faults: Ledger) -> None:
        self._customer = customer
        self._ledger = ledger
        self._faults = faults
        self._dropped: set[tuple[str, tuple[str, ...]]] = set()
        self._cut: set[bytes] = set()
        self.sink = Sink(self._answer, hear_part=self._hear_part)

    def _hear_part(self, part: bytes) -> None:
        found = re.search(rb"\r\nMessage-ID: (\S+)\r\nX-Chaos: cut\r\n", part)
        if self.cut is not None and found and found[1] not in self._cut:
            self._cut.add(found[1])
            self.cut()
            raise ConnectionResetError("a server that is cut off in the middle of a content")

    def _answer(self, message: Received) -> Reply:
        self.sink.messages.clear()  # the ledger has them
        name = message.reverse_path.partition("@")[0]
        found = _RECEIVED.match(message.content)
        content = message.content[found.end() :] if found else message.content
        refuses = b"X-Chaos: refuse\r\n" in content
        if b"X-Chaos: drop\r\n" in content and (name, message.forward_paths) not in self._dropped:
            self._dropped.add((name, message.forward_paths))
            for phase in (
                "begins",
                "is over",
            ):  # with octets unread it is a reset, which takes the replies before with it
                self._faults.write(fault=f"{self._customer}'s server drops the line", phase=phase)
            raise ConnectionResetError("a server that falls over before it has kept the message")
        told = REFUSED if refuses else r.S250_OK
        for path in message.forward_paths:
            self._ledger.write(
                customer=self._customer,
                name=name,
                path=path,
                id=found[1].decode() if found else "",
                sha256=hashlib.sha256(content).hexdigest(),
                told=told.code,
            )
        return told


async def start_customer(provider: Provider, customer: Customer, port: int) -> None:
    """Makes its account, and starts its connectors, which are started again whenever they end."""
    user, secret = await make_customer(provider, customer.name, [customer.domain])
    layout = provider.layout
    layout.write_private(layout.root / f"{customer.name}.secret", secret)
    implicit = "implicit" in customer.options
    argv = [
        sys.executable, "-m", "connector", "run",
        "--provider", f"localhost:{provider.ports.odmr_tls if implicit else provider.ports.odmr}",
        "--ca-file", str(provider.ca_file), "--user", user, "--secret-file", str(layout.root / f"{customer.name}.secret"),
        "--deliver", f"127.0.0.1:{port}", *customer.options,
    ]  # fmt: skip
    if customer.has_ledger:
        argv += ["--ledger", str(layout.root / f"{customer.name}.taken")]
    for i in range(customer.connectors):
        child = Child(
            Program(f"connector-{customer.name}-{i}", argv, {"PYTHONUNBUFFERED": "1"}, cwd=HERE), layout, print
        )
        await child.start()
        customer.children.append(child)
