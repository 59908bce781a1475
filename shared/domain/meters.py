"""What is counted for billing: names as OpenMeter advises them, plural and with their unit."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Meter:
    """`kind` is `period` for what is summed over a time, `snapshot` for what is there at one moment."""

    name: str
    unit: str
    kind: str
    description: str


METERS: Final = (
    Meter("messages_received", "message", "period", "Recipients of a domain that mail was taken for."),
    Meter("bytes_received", "byte", "period", "Octets of that mail, for each recipient."),
    Meter(
        "messages_delivered",
        "message",
        "period",
        "Recipients that the customer's server took; a repeat counts once.",
    ),
    Meter("bytes_delivered", "byte", "period", "Octets of that mail, for each recipient."),
    Meter("messages_expired", "message", "period", "Recipients whose mail nobody fetched within the retention time."),
    Meter("session_seconds", "second", "period", "Seconds that turned sessions lasted, counted when they end."),
    Meter("stored_messages", "message", "snapshot", "Recipients whose mail is kept now."),
    Meter("stored_bytes", "byte", "snapshot", "Octets of that mail."),
    Meter("active_domains", "domain", "snapshot", "Domains that mail is taken for now."),
)
PERIOD_METERS: Final = frozenset(meter.name for meter in METERS if meter.kind == "period")
