"""Spans and numbers as OTLP 1 has them (opentelemetry-proto). The only module that needs what is optional."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import isfinite

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from prometheus_client.core import Metric as Family
from prometheus_client.samples import Sample

from taskferry_protocol.ids import Entropy

from .spans import Fact, Span

__all__ = ["encode_numbers", "encode_spans", "rejected_numbers", "rejected_spans"]

SPAN_ID_BYTES = 8
_SCOPE = InstrumentationScope(name="taskferry")


def encode_spans(spans: Sequence[Span], program: Mapping[str, str], entropy: Entropy) -> bytes:
    """An ExportTraceServiceRequest. `program` says what program it is (attributes of the resource)."""
    wire = [
        WireSpan(
            trace_id=span.trace,
            span_id=entropy(SPAN_ID_BYTES),
            name=span.name,
            kind=WireSpan.SPAN_KIND_INTERNAL,
            start_time_unix_nano=span.began,
            end_time_unix_nano=span.ended,
            attributes=_attributes(span.facts, "taskferry."),
            status=Status(code=Status.STATUS_CODE_ERROR, message=span.code) if span.code else None,
        )
        for span in spans
    ]
    of_program = ResourceSpans(
        resource=_resource(program), scope_spans=[ScopeSpans(scope=_SCOPE, spans=wire)]
    )
    return ExportTraceServiceRequest(resource_spans=[of_program]).SerializeToString()


def encode_numbers(families: Iterable[Family], program: Mapping[str, str], since: int, at: int) -> bytes:
    """An ExportMetricsServiceRequest: what is counted since `since`, as it stood `at` (both in ns)."""
    metrics = [metric for family in families if (metric := _metric(family, since, at)) is not None]
    of_program = ResourceMetrics(
        resource=_resource(program), scope_metrics=[ScopeMetrics(scope=_SCOPE, metrics=metrics)]
    )
    return ExportMetricsServiceRequest(resource_metrics=[of_program]).SerializeToString()


def rejected_spans(answer: bytes) -> int:
    """How many the collector says it did not keep. Raises ValueError where it is no such answer."""
    try:
        return ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans
    except DecodeError:
        raise ValueError("no answer of a collector") from None


def rejected_numbers(answer: bytes) -> int:
    """As `rejected_spans`, of data points."""
    try:
        return ExportMetricsServiceResponse.FromString(answer).partial_success.rejected_data_points
    except DecodeError:
        raise ValueError("no answer of a collector") from None


def _attributes(facts: Mapping[str, Fact], prefix: str = "") -> list[KeyValue]:
    return [
        KeyValue(
            key=prefix + name,
            value=AnyValue(int_value=fact) if isinstance(fact, int) else AnyValue(string_value=fact),
        )
        for name, fact in facts.items()
    ]


def _resource(program: Mapping[str, str]) -> Resource:
    return Resource(attributes=_attributes(program))


def _metric(family: Family, since: int, at: int) -> Metric | None:
    """A family of Prometheus; None for the release, which the resource has."""
    metric = Metric(name=family.name, description=family.documentation)
    match family.type:
        case "counter":
            points = [
                _point(sample, since, at) for sample in family.samples if sample.name.endswith("_total")
            ]
            metric.sum.data_points.extend(points)
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        case "gauge" | "gaugehistogram":
            # There is no histogram of how things are now: each of its steps is a level.
            metric.gauge.data_points.extend([_point(sample, 0, at) for sample in family.samples])
        case "histogram":
            metric.histogram.data_points.append(_histogram(family, since, at))
            metric.histogram.aggregation_temporality = (
                AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
            )
        case _:
            return None
    return metric


def _point(sample: Sample, since: int, at: int) -> NumberDataPoint:
    return NumberDataPoint(
        attributes=_attributes(sample.labels),
        start_time_unix_nano=since,
        time_unix_nano=at,
        as_double=sample.value,
    )


def _histogram(family: Family, since: int, at: int) -> HistogramDataPoint:
    """Its one row: this house labels no histogram."""
    steps = [
        (float(sample.labels["le"]), int(sample.value))
        for sample in family.samples
        if sample.name.endswith("_bucket")
    ]
    rising = [0, *(count for _, count in steps)]
    return HistogramDataPoint(
        start_time_unix_nano=since,
        time_unix_nano=at,
        count=rising[-1],
        sum=next((sample.value for sample in family.samples if sample.name.endswith("_sum")), 0.0),
        bucket_counts=[after - before for before, after in pairwise(rising)],
        explicit_bounds=[end for end, _ in steps if isfinite(end)],
    )
