"""What the owner said on two machines that had not heard of each other, about what a peer may send.

Of two grants of one version what both allow counts, by itself. But a machine that was away has signed other
versions than the one that was not, and the higher number would count alone, whichever word was the later or
the narrower. The machine whose own word is passed over so, or passes over another's, notes the one that lost;
once all that waited for it is here, it signs what that word and the one that stands both allow.
"""

from __future__ import annotations

import json
from typing import Final

from taskferry_protocol.crypto import parse_signed
from taskferry_protocol.ids import Hash
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

#: The setting: words that lost, as [grant, terms] in hexadecimal, by the connection's request.
_KEY: Final = "words apart"


async def note_apart(draft: Draft, bond: Bond, offered: GrantRecord) -> None:
    """Note what is lost by `offered`, the word of another machine of this owner's, or of it.

    What comes here for the first time was not known when ours was signed. Whoever signed a higher version
    that does not name ours cannot have known of it while the relay has not taken it, nor where it is later.
    """
    given, record = bond.given, bond.record
    if given is None or offered.version == given.grant.version:
        return
    ours = [one for one in record.grants if one.grantor == record.mine and await _is_ours(draft, one.raw)]
    if not ours:
        return
    said, mine = recall_grant(offered.raw), recall_grant(ours[0].raw)
    if offered.version < given.grant.version:
        await _note(draft, record.request, offered)
    elif said.prev != mine.hash and (mine.at > said.at or await _is_unheard(draft, bond)):
        await _note(draft, record.request, ours[0])


async def _is_unheard(draft: Draft, bond: Bond) -> bool:
    """Whether the relay has not taken yet what was said here last."""
    request = bond.record.request
    ours = {Publication(Subject.GRANT, request), Publication(Subject.CONNECTION, request)}
    return not ours.isdisjoint(await noted(draft.core.store))


async def _is_ours(draft: Draft, raw: bytes) -> bool:
    mine = (await draft.own_log()).state.devices[draft.core.device].record
    return parse_signed(raw).key == mine.manage


async def _note(draft: Draft, request: Hash, word: GrantRecord) -> None:
    words = json.loads(await draft.setting(_KEY) or b"{}")
    # Of several that are lost one after the other, as those of a machine that was away, the last one.
    words[request.hex()] = [word.raw.hex(), word.terms.hex()]
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
        left = {}
        for text, (raw, terms) in words.items():
            request = Hash(bytes.fromhex(text))
            record = (await core.store.connections((request,))).get(request)
            if record is None or record.state is not ConnectionState.ACCEPTED:
                continue
            bond = Bond(record)
            word = GrantRecord(request, record.mine, 0, bytes.fromhex(raw), bytes.fromhex(terms))
            wish = both(wish_of(bond.given), wish_of(held_allowance((word,), record.mine)))
            mark = draft.mark()
            try:
                if wish != wish_of(bond.given):
                    await permit(draft, bond, wish, by="owner")
            except DaemonRefusal as refused:
                # The key is locked, say: once it is not, the next round signs.
                get_logger().warning("two words about a connection wait", reason=refused.code)
                draft.back_to(mark)
                left[text] = [raw, terms]
        draft.add(PutSetting(_KEY, json.dumps(left).encode()) if left else DropSetting(_KEY))
        await draft.commit()
