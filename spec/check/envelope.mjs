// Envelopes and parcels before they are opened (envelope.md sections 1 to 3).

import { decode } from './cbor.mjs'
import { verify } from './cose.mjs'
import { expectEqual, hex, need, unhex } from './refusal.mjs'
import * as is from './shape.mjs'

export const CLASSES = ['account', 'artifact', 'connection', 'message', 'receipt', 'task']
const DAY = 86_400_000

const reference = is.tuple(is.bstr(32), is.tstr(0, 65))
const text = is.tstr(0, 64)
const header = is.map({
  v: is.uint(),
  id: is.bstr(16),
  class: text,
  from: reference,
  to: reference,
  seq: is.uint(1),
  log: is.position,
  to_log: is.position,
  created_at: is.time,
  expires_at: is.time,
  suite: is.uint(),
  nonce: is.bstr(24),
  commit: is.bstr(32),
})

// Whether `to` names one device of the sender's own account.
const isOwnDevice = ([mine], [account, name]) => hex(mine) === hex(account) && /^~[0-9a-f]{64}$/.test(name)

export function readEnvelope(raw, now) {
  const signed = verify(raw, 'envelope')
  const payload = decode(signed.payload)
  is.tuple(is.bstr(), is.bstr())(payload)
  const [h, ct] = payload
  const members = header(decode(h))
  const get = (key) => members.get(key)
  need(get('v') === 1, 'unknown-version')
  need(CLASSES.includes(get('class')), 'bad-value')
  const id = get('id')
  need(id[6] >> 4 === 7 && id[8] >> 6 === 2, 'bad-value')
  for (const [key, channels] of [['from', false], ['to', get('class') !== 'account']]) {
    const agent = get(key)[1]
    if (get('class') === 'account') need(agent === '' || (key === 'to' && isOwnDevice(get('from'), get('to'))), 'bad-value')
    else need(is.isName(agent) || (channels && agent[0] === '#' && is.isName(agent.slice(1))), 'bad-value')
  }
  need(get('suite') === 1, 'unknown-suite')
  const [created, expires] = [get('created_at'), get('expires_at')]
  need(expires > created && expires <= created + 30 * DAY, 'bad-time')
  need(ct.length >= 272, 'bad-value')
  if (now !== null) {
    need(created <= now + 300_000, 'bad-time')
    need(expires > now, 'expired')
  }
  return { h, ct, header: members, device: signed.key, hash: signed.hash }
}

export function readParcel(value) {
  is.tuple(is.bstr(), is.list(is.tuple(is.bstr(32), is.bstr(80)), 1, 64))(value)
  const [envelope, wraps] = value
  is.ascending(wraps.map(([key]) => key))
  return { envelope, wraps }
}

// Each as new, the same again, or another one in its place (envelope.md section 7). What is refused takes no place.
function duplicates(vector) {
  const taken = new Map()
  const outcomes = vector.input.map((text) => {
    const { header, device, hash } = readEnvelope(unhex(text), vector.now_ms)
    const [account, agent] = header.get('to')
    const names = [hex(header.get('id')), `${hex(account)}/${agent} ${header.get('seq')}`]
    const places = names.map((name) => `${hex(device)} ${name}`)
    const found = places.map((place) => taken.get(place)).filter(Boolean)
    if (found.some((other) => other !== hex(hash))) return 'equivocation'
    places.forEach((place) => taken.set(place, hex(hash)))
    return found.length > 0 ? 'duplicate' : 'new'
  })
  expectEqual({ outcomes }, vector.decoded)
  need(!outcomes.includes('equivocation'), 'equivocation')
}

export const RUNNERS = {
  envelope: (vector) => readEnvelope(unhex(vector.input), vector.now_ms),
  parcel: (vector) => readParcel(decode(unhex(vector.input))),
  duplicates,
}
