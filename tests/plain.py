"""What clients of servers on this machine say of TLS, which these do not speak."""

from __future__ import annotations

import ssl
from typing import Final

__all__ = ["NO_AUTHORITIES"]

#: For httpx's `verify`: a client that is not told reads all authorities of the machine, which takes 20 ms.
NO_AUTHORITIES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
