"""What outbound is told."""

from pydantic import Field

from shared.config import Settings


class OutboundSettings(Settings):
    """outbound's own."""

    #: Seconds between two rounds of the rescuer; the other sweeps run each tenth round.
    sweep_seconds: float = Field(default=1.0, ge=0.05, le=60)
