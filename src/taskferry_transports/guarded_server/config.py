"""Every limit of the guarded server, each with its reason."""

from __future__ import annotations

import ssl

import attrs

from taskferry_transports.counting import counted_as
from taskferry_transports.port import DEFAULT_MAX_FRAME, Liveness


@attrs.frozen
class GuardConfig:
    """Where the server listens and how much any client may take from it. Times in seconds, sizes in bytes."""

    bind: tuple[str, ...] = ("127.0.0.1:0",)
    """`host:port` or `[v6]:port`; port 0 lets the system choose one, which `serve` reports."""
    tls: ssl.SSLContext | None = None
    """A server-side context. HTTP/2 is not spoken, so it should offer no other protocol than http/1.1."""
    backlog: int = 512
    """Connections that the system may hold before we take them: a reconnecting crowd arrives all at once."""

    max_connections: int = 8192
    """At 48 KiB an idle connection this is under half a gibibyte. Each takes a file descriptor, too."""
    max_connections_per_peer: int = 256
    """One address (for IPv6: one /64) may not take every place; an office behind one address fits."""
    uncounted_peers: frozenset[str] = frozenset({"127.0.0.1", "::1"})
    """Addresses without a limit of their own: this machine's programs, and reverse proxies that run on it."""
    trusted_proxies: frozenset[str] = frozenset()
    """Reverse proxies of the operator. Only from them is the last X-Forwarded-For entry believed."""

    max_frame: int = DEFAULT_MAX_FRAME
    """The largest WebSocket message. Checked on every fragment, before it is kept."""
    receive_buffer: int = 262_144
    """Bytes of received frames that wait for a slow handler, per connection; then reading stops."""
    receive_frames: int = 64
    """Frames that wait for a slow handler, per connection, so that tiny ones do not pile up either."""
    max_head: int = 16_384
    """A request's line and headers. Browsers and proxies stay under 8 KiB."""
    max_body: int = 1_048_576
    """A request's body, declared or not. Larger things travel as chunks."""
    body_limits: tuple[tuple[str, int], ...] = ()
    """(path prefix, bytes) for paths with a body limit of their own; the longest prefix that fits counts."""
    bodies_total: int = 67_108_864
    """Bytes held for all request bodies that are longer than 64 KiB; past it, reading waits for answers. One
    address may hold a quarter. Anybody may begin one, also before anything is proved."""
    frames_total: int = 33_554_432
    """The same for all unfinished WebSocket messages that are longer than 64 KiB."""

    tls_timeout: float = 10.0
    """For the TLS handshake."""
    head_timeout: float = 10.0
    """From the first byte of a request to the end of its headers: whoever drips bytes is not a browser."""
    body_timeout: float = 30.0
    """For the whole body: `max_body` in that time needs 35 kB/s."""
    message_timeout: float = 30.0
    """For a whole WebSocket message longer than 64 KiB, so that its memory is held for no longer."""
    idle_timeout: float = 30.0
    """For a kept-alive HTTP connection between requests. WebSockets are not idle: they ping."""
    send_timeout: float = 30.0
    """For each 64 KiB sent: a peer that takes less is gone, or holds our memory on purpose."""
    handler_timeout: float = 30.0
    """How long a handler may go on after its peer has gone, to finish what it was storing."""
    linger: float = 1.0
    """How long we read on after our last word. Closing with unread bytes would destroy it on the way."""
    grace: float = 5.0
    """How long handlers may take to end once the server drains."""
    liveness: Liveness = attrs.field(factory=Liveness)
    """When a silent WebSocket counts as gone."""

    def counted(self, host: str) -> str:
        """The name under which an address is counted; empty for one without a limit of its own."""
        return "" if host in self.uncounted_peers or host in self.trusted_proxies else counted_as(host)

    @property
    def largest_body(self) -> int:
        """The largest body that a request may have at any path."""
        return max((self.max_body, *(limit for _, limit in self.body_limits)))

    def body_limit(self, path: str) -> int:
        """The largest body that a request for `path` may have."""
        best = ("", self.max_body)
        for prefix, limit in self.body_limits:
            if path.startswith(prefix) and len(prefix) > len(best[0]):
                best = (prefix, limit)
        return best[1]
