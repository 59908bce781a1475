"""DNS: where mail for a domain goes. The only import of dnspython. RFC 5321 5.1, RFC 7505.

Security: the domains are those of senders' addresses, so the answers are a stranger's: bounded in number and time, and
whoever connects must look at the addresses (services.outbound.route).
"""

import random
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver

#: Seconds for one name. RELIABILITY X5: 5.
LOOK_TIME: Final = 5.0
#: Hosts of one domain, and addresses of one host, that are looked at.
MAX_HOSTS: Final = 10
MAX_ADDRESSES: Final = 4


class NoSuchDomain(Exception):
    """DNS says that there is no mail for this domain, and that it is so."""


class CannotResolve(Exception):
    """Nobody answers now."""


class Resolver:
    """Asks the servers of /etc/resolv.conf, or the one that it is told, as `address:port`."""

    def __init__(self, server: str = "") -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=not server)
        if server:
            host, _, port = server.rpartition(":")
            self._resolver.nameservers = [host.strip("[]")]
            self._resolver.port = int(port)
        self._resolver.lifetime = LOOK_TIME

    async def mail_hosts(self, domain: str) -> list[str]:
        """Names in the order in which to try them: by preference, equal ones shuffled; the domain itself where no MX is.

        Raises NoSuchDomain, also for the null MX of RFC 7505, and CannotResolve.
        """
        try:
            answer = await self._resolver.resolve(domain, "MX")
        except dns.resolver.NoAnswer:
            return [domain]
        except dns.resolver.NXDOMAIN:
            raise NoSuchDomain(f"the domain {domain} does not exist") from None
        except (dns.exception.DNSException, OSError) as error:
            raise CannotResolve(f"{domain}: {type(error).__name__}") from None
        found = [(record.preference, random.random(), record.exchange) for record in answer]  # noqa: S311
        if [exchange for _, _, exchange in found] == [dns.name.root]:
            raise NoSuchDomain(f"the domain {domain} takes no mail (RFC 7505)")
        return [exchange.to_text(omit_final_dot=True) for _, _, exchange in sorted(found)][:MAX_HOSTS]

    async def texts(self, name: str) -> list[str]:
        """TXT records of a name, each as one text; [] when it has none. Raises CannotResolve."""
        try:
            answer = await self._resolver.resolve(name, "TXT")
        except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
            return []
        except (dns.exception.DNSException, OSError) as error:
            raise CannotResolve(f"{name}: {type(error).__name__}") from None
        return [b"".join(record.strings).decode("latin-1") for record in answer][:MAX_HOSTS]

    async def addresses(self, host: str) -> list[str]:
        """IPv6 and IPv4 addresses of a host. [] when it has none. Raises CannotResolve."""
        found: list[str] = []
        for kind in ("AAAA", "A"):
            try:
                answer = await self._resolver.resolve(host, kind)
            except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
                continue
            except (dns.exception.DNSException, OSError) as error:
                raise CannotResolve(f"{host}: {type(error).__name__}") from None
            found += [record.address for record in answer][:MAX_ADDRESSES]
        return found
