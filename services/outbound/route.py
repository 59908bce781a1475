"""Where mail of our own goes: to the smart host, or to the servers that DNS names for a domain. RFC 5321 5.1.

Security: the domain is from a reverse-path, so a stranger chose it. An address that is private, ours, or no single host's is
not connected to, unless the operator named its network.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final

from shared.resolve import NoSuchDomain, Resolver

#: What a notice to nowhere says. RFC 3463 3.5, 3.2.
NO_DOMAIN: Final = "550 5.1.2 "
ONLY_OURSELVES: Final = "550 5.4.6 the mail of that domain would come back to us"


class NoRoute(Exception):
    """There is no way, and there will be none; the text is a 5xx reply of our own making."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One server to try: its name, for the log, and where it listens."""

    name: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Router:
    """Finds hops. `hostname` is our own name."""

    resolver: Resolver
    hostname: str
    smart_host: str = ""
    port: int = 25
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    async def hops(self, domain: str) -> list[Hop]:
        """In the order in which to try them; [] when none can be connected to now. Raises NoRoute and CannotResolve."""
        if self.smart_host:
            host, _, port = self.smart_host.rpartition(":")
            return [Hop(host, host.strip("[]"), int(port))]
        if domain.startswith("["):
            address = domain[1:-1].removeprefix("IPv6:")
            return [Hop(domain, address, self.port)] if self.may_be_reached(address) else []
        try:
            hosts = await self.resolver.mail_hosts(domain)
        except NoSuchDomain as error:
            raise NoRoute(f"{NO_DOMAIN}{error}") from None
        if self.hostname in hosts:  # RFC 5321 5.1: us, and all that are less preferred, would send it back here
            hosts = hosts[: hosts.index(self.hostname)]
            if not hosts:
                raise NoRoute(ONLY_OURSELVES)
        return [
            Hop(host, address, self.port)
            for host in hosts
            for address in await self.resolver.addresses(host)
            if self.may_be_reached(address)
        ]

    def may_be_reached(self, text: str) -> bool:
        """Whether it is one public host, or in a network that the operator named."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        address = mapped or address
        if any(address in network for network in self.networks):
            return True
        return address.is_global and not address.is_multicast


#: When there is no hop that can be connected to: as after any failure that may pass.
NO_HOP: Final = "450 4.4.4 no server of that domain can be reached"
