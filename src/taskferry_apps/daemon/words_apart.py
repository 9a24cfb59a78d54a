"""What the owner said on two machines that had not heard of each other, about what a peer may send.

Of two grants of one version what both allow counts, by itself. But a machine that was away has signed other
versions than the one that was not, and the higher number would count alone, whichever word was the later or
the narrower. The machine whose own word is passed over so, or passes over another's, notes the one that lost;
once all that waited for it is here, it signs what that word and the one that stands both allow.
"""

from __future__ import annotations

import json
from functools import reduce
from typing import Final

from taskferry_protocol.crypto import parse_signed
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import DeviceId, Hash
from taskferry_protocol.permissions import recall_grant
from taskferry_protocol.records import ConnectionState, DropSetting, GrantRecord, PutSetting

from ..logs import get_logger
from .bonds import Bond
from .core import Core
from .draft import Draft
from .grants import both, held_allowance, wish_of
from .permitting import permit
from .port import DaemonRefusal
from .publications import Publication, Subject, noted

__all__ = ["bring_together", "note_apart"]

#: The setting: words that lost, as grant and terms in hexadecimal, by the connection's request and by signer;
#: after the two the code of what a word waits for, if it does.
_KEY: Final = "words apart"


async def note_apart(draft: Draft, bond: Bond, offered: GrantRecord, teller: DeviceId | None = None) -> None:
    """Note what is lost by `offered`, the word of another machine of this owner's, or of it.

    What its signer, the `teller`, says here for the first time was not known when ours was signed: anybody
    else may show again what was said long ago. Whoever signed a higher version that does not name ours cannot
    have known of it while the relay has not taken it, nor where it is later.
    """
    given, record = bond.given, bond.record
    if given is None or offered.version == given.grant.version:
        return
    ours = [one for one in record.grants if one.grantor == record.mine and await _is_of(draft, one.raw)]
    if not ours:
        return
    said, mine = recall_grant(offered.raw), recall_grant(ours[0].raw)
    if offered.version < given.grant.version:
        if teller is not None and await _is_of(draft, offered.raw, teller) and said.hash != mine.prev:
            await _note(draft, record.request, offered)
    elif said.prev != mine.hash and (mine.at > said.at or await _is_unheard(draft, bond)):
        await _note(draft, record.request, ours[0])


async def _is_unheard(draft: Draft, bond: Bond) -> bool:
    """Whether the relay has not taken yet what was said here last."""
    request = bond.record.request
    ours = {Publication(Subject.GRANT, request), Publication(Subject.CONNECTION, request)}
    return not ours.isdisjoint(await noted(draft.core.store))


async def _is_of(draft: Draft, raw: bytes, device: DeviceId | None = None) -> bool:
    """Whether a device of this owner's, by default this one, has signed it."""
    signer = (await draft.own_log()).state.devices[device or draft.core.device].record
    return parse_signed(raw).key == signer.manage


async def _note(draft: Draft, request: Hash, word: GrantRecord) -> None:
    words = json.loads(await draft.setting(_KEY) or b"{}")
    # Of several that one machine loses one after the other, as one that was away does, the last one.
    name = f"{request.hex()}/{parse_signed(word.raw).key.hex()}"
    words[name] = [word.raw.hex(), word.terms.hex()]
    draft.add(PutSetting(_KEY, json.dumps(words).encode()))


async def bring_together(core: Core) -> None:
    """Sign what is noted, now that nothing more is on its way from before. The lock must be free."""
    if core.suspended:
        return  # another copy of this device may be at work: nothing is signed now
    async with core.lock:
        draft = Draft(core)
        words = json.loads(await draft.setting(_KEY) or b"{}")
        if not words:
            return
        left: dict[str, list[str]] = {}
        for request in dict.fromkeys(name.partition("/")[0] for name in words):
            rows = {name: row for name, row in words.items() if name.partition("/")[0] == request}
            waits_for = await _bring_together(draft, Hash(bytes.fromhex(request)), list(rows.values()))
            if waits_for:
                left |= {name: [*row[:2], waits_for] for name, row in rows.items()}
                if any(row[2:] != [waits_for] for row in rows.values()):
                    get_logger().warning("words about a connection wait", reason=waits_for)
        if left != words:
            draft.add(PutSetting(_KEY, json.dumps(left).encode()) if left else DropSetting(_KEY))
        await draft.commit()


async def _bring_together(draft: Draft, request: Hash, rows: list[list[str]]) -> str:
    """Sign what all words about one connection allow; the code of what has to be waited for, if it has."""
    record = (await draft.core.store.connections((request,))).get(request)
    if record is None or record.state is not ConnectionState.ACCEPTED:
        return ""
    bond = Bond(record)
    words = [
        GrantRecord(request, record.mine, 0, bytes.fromhex(raw), bytes.fromhex(terms))
        for raw, terms, *_ in rows
    ]
    said = [wish_of(held_allowance((word,), record.mine)) for word in words]
    wish = reduce(both, said, wish_of(bond.given))
    if wish == wish_of(bond.given):
        return ""
    mark = draft.mark()
    try:
        await permit(draft, bond, wish, by="owner")
    except DaemonRefusal as refused:
        draft.back_to(mark)
        # Whoever may no longer sign leaves it to those who may; a key that is locked will be unlocked.
        return "" if refused.code == RejectCode.NOT_AUTHORIZED.value else refused.code
    return ""
