"""What a relay or a daemon tells a collector of OpenTelemetry, if whoever runs it wants that."""
