"""How the values are made of which a relay makes some for every message.

To the type checker they are frozen, as all values here are. At run time nothing guards them: attrs makes a
frozen object by a call for each field, which takes three times as long.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

__all__ = ["value"]

if TYPE_CHECKING:
    from attrs import frozen as value
else:
    value = partial(attrs.define, unsafe_hash=True)
