// Invites: the statement, its link, whether one is what the other leads to, and who may use it (identity.md section 8).

import { fold } from './account.mjs'
import { keyed } from './blake2b.mjs'
import { decode } from './cbor.mjs'
import { sha256, verify } from './cose.mjs'
import { expectEqual, hex, need, same, unhex } from './refusal.mjs'
import * as is from './shape.mjs'

const LIMIT = 1_024
const LIFETIME = 90 * 24 * 60 * 60_000
const PORTS = 65_535
const HOST = '(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\\[[0-9a-f:.]{2,45}\\])(?::([1-9][0-9]{0,4}))?'
const LINK = new RegExp(
  `^taskferry://(${HOST})/invite/([\\w-]{22})#account=([\\w-]{43})&secret=([\\w-]{22})$`,
)
const shape = is.map({
  v: is.version1,
  agent: is.tuple(is.bstr(32), is.name),
  id: is.bstr(16),
  check: is.bstr(32),
  uses: is.uint(1, 1_000),
  expires_at: is.time,
  at: is.time,
  log: is.position,
})

function readInvite(vector) {
  const account = fold(vector.statements.map(unhex))
  const signed = verify(unhex(vector.input), 'invite', LIMIT)
  const invite = decode(signed.payload)
  shape(invite)
  const life = Number(invite.get('expires_at')) - Number(invite.get('at'))
  need(life > 0 && life <= LIFETIME, 'bad-time')
  need(same(invite.get('agent')[0], account.heads[0]), 'wrong-account')
  const managers = account.active().map((one) => one.record.get('manage')).filter(Boolean)
  need(managers.some((key) => same(key, signed.key)), 'not-authorized')
  const [length, head] = invite.get('log')
  const held = account.heads[Number(length) - 1]
  need(held && same(held, head), 'not-an-extension')
  return invite
}

function bytes(text) {
  const read = Buffer.from(text, 'base64url')
  // The last character has spare bits; one secret has one spelling.
  need(read.toString('base64url') === text, 'bad-value')
  return Uint8Array.from(read)
}

function readLink(text) {
  const found = text.length <= 512 ? LINK.exec(text) : null
  need(found && Number(found[2] ?? 0) <= PORTS, 'bad-value')
  return { relay: found[1], id: bytes(found[3]), account: bytes(found[4]), secret: bytes(found[5]) }
}

function opened(vector) {
  const invite = readInvite(vector)
  const link = readLink(vector.link)
  need(same(invite.get('agent')[0], link.account), 'wrong-account')
  need(same(invite.get('id'), link.id) && same(invite.get('check'), sha256(link.secret)), 'unknown-invite')
  need(vector.now_ms < Number(invite.get('expires_at')), 'expired')
}

const macOf = (secret, request) => keyed(Buffer.concat([secret, new Uint8Array(16)]), 'tf1 invite', request)

function use({ held, asked, secret, request, mac, now_ms: now }) {
  need(held !== null && held.agent === asked && !held.revoked, 'unknown-invite')
  need(hex(macOf(unhex(secret), unhex(request))) === mac, 'unknown-invite')
  need(now < held.expires_at, 'expired')
  need(held.used < held.uses, 'invite-used')
}

export const RUNNERS = {
  invite: readInvite,
  'invite-link': (vector) => {
    const { relay, id, account, secret } = readLink(vector.input)
    expectEqual({ relay, id: hex(id), account: hex(account), secret: hex(secret) }, vector.decoded)
  },
  'invite-opened': opened,
  'invite-mac': ({ secret, request, decoded }) =>
    expectEqual({ mac: hex(macOf(unhex(secret), unhex(request))) }, decoded),
  'invite-use': use,
}
