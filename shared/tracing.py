"""One message's way as an OpenTelemetry trace, from the MAIL of its sender to the 250 of its customer, over days of queue.

A message's id is its trace's, and the last 64 bits of that its first span's: an id of RFC 9562 5.7 is of a trace id's size
and random at its end, where samplers look (W3C Trace Context 2, 3.2.2.3.2). So each process knows the context of any message
without a column that keeps it or a header that carries it, and all decide alike what to sample. Sessions are the same.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanContext, SpanKind, TraceFlags

from shared import VERSION

#: Seconds for the collector to take what is told; what it does not take is lost, and mail waits for none of it.
EXPORT_TIME: Final = 5.0
_LOW: Final = (1 << 64) - 1


class _Ids(RandomIdGenerator):
    """Random ones, but for the first span of a message or session."""

    def __init__(self) -> None:
        self.first_of: UUID | None = None

    def generate_trace_id(self) -> int:
        return self.first_of.int if self.first_of is not None else super().generate_trace_id()

    def generate_span_id(self) -> int:
        return self.first_of.int & _LOW if self.first_of is not None else super().generate_span_id()


class _Tracing:
    """What a process has of it: nothing until it is told of a collector."""

    def __init__(self) -> None:
        self.provider: TracerProvider | None = None
        self.ids = _Ids()
        self.tracer: trace.Tracer = trace.NoOpTracer()

    def start(self, service: str, endpoint: str, ratio: float) -> None:
        self.provider = TracerProvider(
            TraceIdRatioBased(ratio),
            Resource.create({"service.name": service, "service.namespace": "odmr", "service.version": VERSION}),
            shutdown_on_exit=False,
            id_generator=self.ids,
        )
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIME)
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self.provider.get_tracer("odmr")


_tracing: Final = _Tracing()


def start(service: str, endpoint: str, ratio: float) -> None:
    """From now on spans go to the OTLP collector at this URL; where it is empty nothing is made."""
    if endpoint:
        _tracing.start(service, endpoint, ratio)


def stop() -> None:
    """Tells the collector the rest, which may take EXPORT_TIME."""
    provider, _tracing.provider, _tracing.tracer = _tracing.provider, None, trace.NoOpTracer()
    if provider is not None:
        provider.shutdown()


def first(one: UUID, name: str) -> Span:
    """Begins the first span of a message or session, which its caller `ends`."""
    if _tracing.provider is None:
        return INVALID_SPAN
    _tracing.ids.first_of = one
    try:
        return _tracing.tracer.start_span(name, Context(), SpanKind.SERVER)
    finally:
        _tracing.ids.first_of = None


def begin(one: UUID, name: str, kind: SpanKind, links: Sequence[UUID] = ()) -> Span:
    """Begins a later span of it, in whatever process and however long after; `links` are the ids of others."""
    if _tracing.provider is None:
        return INVALID_SPAN
    context = trace.set_span_in_context(trace.NonRecordingSpan(_context(one)), Context())
    return _tracing.tracer.start_span(name, context, kind, links=[Link(_context(other)) for other in links])


@contextmanager
def span(one: UUID, name: str, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
    """The same around a body."""
    begun = begin(one, name, kind)
    try:
        yield begun
    finally:
        end(begun)


def end(begun: Span, **attributes: str | int | float) -> None:
    """Ends it with what is known by now; one that has ended already stays as it was."""
    if begun.is_recording():
        begun.set_attributes({name.replace("__", "."): value for name, value in attributes.items()})
        begun.end()


def _context(one: UUID) -> SpanContext:
    return SpanContext(one.int, one.int & _LOW, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
