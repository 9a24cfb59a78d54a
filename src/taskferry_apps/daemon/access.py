"""Who may ask: the owner's credential and the agents', known by SHA-256; and answers asked for again."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from typing import Final

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.ids import Hash, Instant, sha256
from taskferry_protocol.records import IdempotencyRecord, PutAnswer, PutToken, RevokeToken, TokenRecord
from taskferry_stores.port import ConflictKind, StoreConflict

from .core import Core
from .describe import token_view
from .draft import Draft
from .names import match_prefix, own_agent, parse_prefix, require_owner
from .port import Caller, DaemonRefusal
from .steps import KEPT_MS, check_same, scope_of
from .views import TokenView

__all__ = ["Access", "new_secret"]

OWNER: Final = Caller(None)
SECRET_BYTES: Final = 32
#: What an agent's credential begins with, so that it is recognised where it should not be.
PREFIX: Final = "tfa_"


def new_secret(raw: bytes) -> str:
    """A credential's text from 32 random bytes."""
    return PREFIX + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Access:
    """Keeps credentials and answers. `owner_digest` is the SHA-256 of the owner's secret."""

    def __init__(self, core: Core, owner_digest: bytes) -> None:
        self._core = core
        self._owner = owner_digest

    async def caller_for(self, secret: str) -> Caller | None:
        """Who holds this credential; None for nobody."""
        digest = sha256(secret.encode("utf-8", "surrogatepass"))
        if hmac.compare_digest(digest, self._owner):
            return OWNER
        token = await self._core.store.token(digest)
        if token is None or token.revoked_at is not None or not hmac.compare_digest(token.digest, digest):
            return None
        return Caller(frozenset(token.agents), token.label)

    async def tokens(self, caller: Caller) -> tuple[TokenView, ...]:
        """All agents' credentials, revoked ones too."""
        require_owner(caller)
        return tuple(token_view(token) for token in await self._core.store.tokens())

    async def create(self, caller: Caller, agents: Sequence[str], label: str) -> tuple[str, TokenView]:
        """A credential for some of the owner's agents; the secret is told once."""
        require_owner(caller)
        if not agents:
            raise DaemonRefusal("bad-value", "Name at least one agent.", detail={"field": "agents"})
        secret = new_secret(self._core.entropy(SECRET_BYTES))
        async with self._core.lock:
            # While it is held nobody withdraws one of them.
            names = {(await own_agent(self._core, caller, agent, "agents")).name for agent in agents}
            draft = Draft(self._core)
            token = TokenRecord(sha256(secret.encode()), label, "agent", tuple(sorted(names)), draft.now)
            draft.add(PutToken(token))
            draft.audit(
                AuditKind.CREDENTIAL_MADE, ", ".join(token.agents), id=token.digest.hex()[:16], label=label
            )
            await draft.commit()
        return secret, token_view(token)

    async def revoke(self, caller: Caller, token: str) -> TokenView:
        """End a credential at once. The beginning of its id is enough, as of every id."""
        require_owner(caller)
        wanted = parse_prefix(token, "credential")
        prefix = wanted if isinstance(wanted, str) else wanted.hex()
        held = {Hash(found.digest): found for found in await self._core.store.tokens()}
        digest = match_prefix(prefix, held, "credential")
        async with self._core.lock:
            draft = Draft(self._core)
            draft.add(RevokeToken(digest, draft.now))
            draft.audit(AuditKind.CREDENTIAL_REVOKED, ", ".join(held[digest].agents), id=digest.hex()[:16])
            await draft.commit()
        return token_view(await self._core.store.token(digest) or held[digest])

    # --- Answers given before

    async def recall(self, caller: Caller, key: str, digest: bytes) -> bytes | None:
        """The answer given under this key; DaemonRefusal(conflict) if the request was another."""
        kept = (await self._core.store.answers(scope_of(caller), (key,))).get(key)
        if kept is None or kept.expires_at <= self._core.now():
            return None
        check_same(kept, digest)
        return kept.response

    async def remember(self, caller: Caller, key: str, digest: bytes, response: bytes) -> None:
        """Keep an answer for a day."""
        expires = Instant(self._core.now() + KEPT_MS)
        record = IdempotencyRecord(scope_of(caller), key, digest, response, expires)
        try:
            await self._core.commit((PutAnswer(record),))
        except StoreConflict as conflict:
            if conflict.kind is not ConflictKind.KEY_USED:
                raise  # two requests under one key at once: the first answer stands
