// Account logs: the fold, comparison, and whose position counts (identity.md sections 1 to 4).

import { decode } from './cbor.mjs'
import { checkEncryptionKey, checkSigningKey, parseSigned, verify } from './cose.mjs'
import { Refusal, expectEqual, hex, need, refuse, same, unhex } from './refusal.mjs'
import * as is from './shape.mjs'

const LIMIT = 8_192
const key = is.bstr(32)
const enc = (value) => {
  is.tuple(is.uint(), key)(value)
  need(value[0] === 1, 'unknown-suite')
}
export const record = (managed) =>
  is.map({ id: key, enc, label: is.tstr(1, 64, { controls: false }), [managed ? 'manage' : 'manage?']: key })
const ids = (least) => (value) => {
  is.list(key, least)(value)
  is.ascending(value)
}
const records = (value) => {
  is.list(record(false), 1, 32)(value)
  is.ascending(value.map((one) => one.get('id')))
  need(value.some((one) => one.has('manage')), 'bad-value')
}
const agents = (value) => {
  need(value instanceof Map, 'wrong-type')
  need(value.size <= 64, 'too-many')
  for (const [agent, devices] of value) {
    is.name(agent)
    ids(1)(devices)
  }
}

const FIELDS = {
  create: { name: is.name, device: record(true), consent: is.bstr(), recovery: key },
  add_device: { device: record(false), consent: is.bstr() },
  revoke_device: { device: key, reason: is.tstr(0, 200) },
  retire: { device: key },
  rotate_keys: { device: key, enc },
  set_agent: { agent: is.name, devices: ids(0) },
  set_recovery: { recovery: key, consent: is.bstr() },
  recover: { devices: records, consents: is.list(is.bstr()), agents, recovery: key },
  rename: { name: is.name },
}
const SELF = new Set(['retire', 'rotate_keys'])
const common = { v: is.uint(), type: is.tstr(1, 64), seq: is.uint(), at: is.time }
const chained = { account: key, prev: key }

function readPayload(raw) {
  const payload = decode(raw, LIMIT)
  need(payload instanceof Map, 'wrong-type')
  if (payload.has('v')) need(payload.get('v') === 1, 'unknown-version')
  need(payload.has('type'), 'missing-field')
  const type = payload.get('type')
  need(Object.hasOwn(FIELDS, type), 'unknown-type')
  return is.map({ ...common, ...(type === 'create' ? {} : chained), ...FIELDS[type] })(payload)
}

export function checkRecord(one) {
  checkSigningKey(one.get('id'))
  checkEncryptionKey(one.get('enc')[1])
  if (!one.has('manage')) return
  checkSigningKey(one.get('manage'))
  need(!same(one.get('id'), one.get('manage')), 'bad-key')
}

function kindOf(payload) {
  try {
    return SELF.has(decode(payload).get('type')) ? 'self-statement' : 'statement'
  } catch (error) {
    if (error instanceof Refusal || error instanceof TypeError) return 'statement'
    throw error
  }
}

class Account {
  constructor() {
    this.heads = []
    this.devices = new Map()
    this.agents = new Map()
  }

  take(raw) {
    need(raw.length <= LIMIT, 'too-large')
    const signed = verify(raw, kindOf(parseSigned(raw).payload))
    const payload = readPayload(signed.payload)
    this.place(payload)
    this.authorize(payload, signed.key)
    this.keysAndConsents(payload)
    this[payload.get('type')](payload)
    this.heads.push(signed.hash)
  }

  place(payload) {
    const first = this.heads.length === 0
    need((payload.get('type') === 'create') === first, 'bad-sequence')
    if (!first) need(same(payload.get('account'), this.heads[0]), 'wrong-account')
    need(payload.get('seq') === this.heads.length, 'bad-sequence')
    if (!first) need(same(payload.get('prev'), this.heads.at(-1)), 'broken-chain')
  }

  authorize(payload, signer) {
    const type = payload.get('type')
    const allowed =
      type === 'create' ? [payload.get('device').get('manage')]
      : SELF.has(type) ? [payload.get('device')]
      : type === 'recover' || type === 'set_recovery' ? [this.recovery]
      : [...this.managers(), this.recovery]
    need(allowed.some((one) => same(one, signer)), 'not-authorized')
  }

  keysAndConsents(payload) {
    const type = payload.get('type')
    const listed = type === 'recover' ? payload.get('devices') : payload.get('device') instanceof Map ? [payload.get('device')] : []
    listed.forEach(checkRecord)
    if (payload.has('recovery')) checkSigningKey(payload.get('recovery'))
    if (payload.has('enc')) checkEncryptionKey(payload.get('enc')[1])
    if (type === 'recover') {
      need(same(payload.get('recovery'), this.recovery), 'bad-value')
      need(payload.get('consents').length === listed.length, 'bad-consent')
    }
    listed.forEach((one, index) => {
      const consent = type === 'recover' ? payload.get('consents')[index] : payload.get('consent')
      if (type === 'recover' && consent.length === 0 && this.stands(one)) return
      this.consent(consent, 'device-consent', one.get('id'), { device: one }, payload)
    })
    if (type === 'set_recovery') {
      const recovery = payload.get('recovery')
      this.consent(payload.get('consent'), 'recovery-consent', recovery, { recovery }, payload)
    }
  }

  consent(raw, kind, signer, fields, statement) {
    is.as('bad-consent', () => {
      const signed = verify(raw, kind, LIMIT)
      const said = decode(signed.payload)
      need(said instanceof Map, 'bad-consent')
      const account = this.heads.length === 0 ? null : this.heads[0]
      const expected = { account, seq: statement.get('seq'), ...fields }
      need(same(signed.key, signer), 'bad-consent')
      need(JSON.stringify(plain(said)) === JSON.stringify(plain(expected)), 'bad-consent')
    })
  }

  stands(one) {
    const known = this.devices.get(hex(one.get('id')))
    return known?.status === 'active' && JSON.stringify(plain(known.record)) === JSON.stringify(plain(one))
  }

  // --- Effects -------------------------------------------------------------------------------------------

  create(payload) {
    this.name = payload.get('name')
    this.recovery = payload.get('recovery')
    this.enter(payload.get('device'))
  }

  add_device(payload) {
    this.enter(payload.get('device'))
    need(this.active().length <= 32, 'too-many')
  }

  revoke_device(payload) {
    this.leave(payload.get('device'), 'revoked')
  }

  retire(payload) {
    this.leave(payload.get('device'), 'retired')
  }

  rotate_keys(payload) {
    const one = this.activeDevice(payload.get('device'))
    one.former.push({ enc: hex(one.record.get('enc')[1]), replaced_at: payload.get('at') })
    one.record = new Map([...one.record, ['enc', payload.get('enc')]])
  }

  set_agent(payload) {
    const serving = payload.get('devices')
    serving.forEach((id) => this.activeDevice(id))
    if (serving.length === 0) this.agents.delete(payload.get('agent'))
    else this.agents.set(payload.get('agent'), serving.map(hex))
    need(this.agents.size <= 64, 'too-many')
  }

  set_recovery(payload) {
    this.recovery = payload.get('recovery')
  }

  rename(payload) {
    this.name = payload.get('name')
  }

  recover(payload) {
    const listed = new Set(payload.get('devices').map((one) => hex(one.get('id'))))
    for (const one of payload.get('devices')) {
      if (this.devices.has(hex(one.get('id')))) need(this.stands(one), 'device-exists')
    }
    for (const [id, one] of this.devices) {
      if (one.status === 'active' && !listed.has(id)) this.end(one, 'revoked')
    }
    for (const one of payload.get('devices')) if (!this.devices.has(hex(one.get('id')))) this.enter(one)
    for (const serving of payload.get('agents').values()) serving.forEach((id) => this.activeDevice(id))
    this.agents = new Map([...payload.get('agents')].map(([agent, serving]) => [agent, serving.map(hex)]))
  }

  enter(one) {
    const id = hex(one.get('id'))
    need(!this.devices.has(id), 'device-exists')
    this.devices.set(id, { record: one, status: 'active', since: this.heads.length, until: null, former: [] })
  }

  managers() {
    return this.active().filter((one) => one.record.has('manage')).map((one) => one.record.get('manage'))
  }

  active() {
    return [...this.devices.values()].filter((one) => one.status === 'active')
  }

  activeDevice(id) {
    const one = this.devices.get(hex(id))
    need(one, 'unknown-device')
    need(one.status === 'active', 'device-gone')
    return one
  }

  leave(id, status) {
    this.end(this.activeDevice(id), status)
    for (const [agent, serving] of this.agents) {
      const left = serving.filter((one) => one !== hex(id))
      if (left.length === 0) this.agents.delete(agent)
      else this.agents.set(agent, left)
    }
  }

  end(one, status) {
    one.status = status
    one.until = this.heads.length
  }

  state() {
    const devices = [...this.devices].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, one]) => ({
      id,
      enc: [1, hex(one.record.get('enc')[1])],
      label: one.record.get('label'),
      manage: one.record.has('manage') ? hex(one.record.get('manage')) : null,
      status: one.status,
      since: one.since,
      until: one.until,
      former: one.former,
    }))
    return {
      account: hex(this.heads[0]), name: this.name, length: this.heads.length, head: hex(this.heads.at(-1)),
      recovery: hex(this.recovery), devices, agents: Object.fromEntries(this.agents),
    }
  }
}

function plain(value) {
  if (value instanceof Uint8Array) return { hex: hex(value) }
  if (Array.isArray(value)) return value.map(plain)
  const pairs = value instanceof Map ? [...value] : value !== null && typeof value === 'object' ? Object.entries(value) : null
  if (pairs === null) return value
  return Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, inner]) => [name, plain(inner)]))
}

export function fold(statements) {
  need(statements.length > 0, 'empty-log')
  const account = new Account()
  statements.forEach((raw) => account.take(raw))
  return account
}

function compare(vector) {
  const [pinned, offered] = [vector.pinned, vector.offered].map((log) => fold(log.map(unhex)))
  need(same(pinned.heads[0], offered.heads[0]), 'pinned-otherwise')
  let shared = 0
  const [ours, theirs] = [vector.pinned, vector.offered]
  while (shared < ours.length && shared < theirs.length && ours[shared] === theirs[shared]) shared += 1
  const relation = () => {
    if (shared === ours.length) return shared === theirs.length ? 'same' : 'extension'
    if (shared === theirs.length) return 'behind'
    const { recovery } = fold(ours.slice(0, shared).map(unhex))
    const [mine, their] = [ours, theirs].map((log) =>
      log.slice(shared).map((raw) => same(parseSigned(unhex(raw)).key, recovery)),
    )
    if (their[0] && !mine.includes(true)) return 'wins'
    if (mine[0] && !their.includes(true)) return 'loses'
    return refuse('forked')
  }
  expectEqual({ relation: relation() }, vector.decoded)
}

function quoted(vector) {
  const account = fold(vector.statements.map(unhex))
  const [length, head] = vector.position
  need(account.heads[length - 1] && hex(account.heads[length - 1]) === head, 'not-an-extension')
  const device = account.devices.get(vector.device)
  need(device && length > device.since, 'unknown-device')
  need(device.status !== 'revoked' && !(device.status === 'retired' && length > device.until), 'device-gone')
}

export const RUNNERS = {
  'account-log': (vector) => expectEqual(fold(vector.input.map(unhex)).state(), vector.decoded),
  'account-compare': compare,
  'account-position': quoted,
}
