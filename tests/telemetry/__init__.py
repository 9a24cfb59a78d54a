"""Telemetry against a real receiver of OTLP over HTTP, honest and hostile."""
