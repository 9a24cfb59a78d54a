"""The daemon: one owner's machine. Core in `service`, its local HTTP API in `api`."""
