"""The daemon's local HTTP API: JSON for programs of this machine, described by its own OpenAPI document."""

from .app import create_api, guard_config

__all__ = ["create_api", "guard_config"]
