// What managers sign beside their log: cards, connection statements and grants (identity.md sections 5 to 7).

import { fold } from './account.mjs'
import { decode } from './cbor.mjs'
import { sha256, verify } from './cose.mjs'
import { expectEqual, need, refuse, same, unhex } from './refusal.mjs'
import * as is from './shape.mjs'

const DAYS_30 = 30 * 86_400_000
const hash = is.bstr(32)
const agent = is.tuple(hash, is.name)
const words = (value) => {
  is.list(is.tstr(1, 64), 0, 32)(value)
  is.ascending(value)
}
const CLASSES = ['artifact', 'message', 'task']
// Of a class that is not known nothing passes; those beside it stand.
const NEED_NONE = ['account', 'connection', 'receipt']
const classes = (value) => {
  is.list(is.tstr(1, 16), 0, 16)(value)
  need(!value.some((word) => NEED_NONE.includes(word)), 'bad-value')
  is.ascending(value)
}

// In the order in which the text writes the fields.
const FIELDS = {
  card: {
    agent, version: is.uint(1), at: is.time, log: is.position, display_name: is.tstr(0, 80), tagline: is.tstr(0, 160),
    description: is.tstr(0, 4096), capabilities: words, tags: words, visibility: is.oneOf('public', 'private'),
  },
  'connection-request': {
    from: agent, to: agent, at: is.time, expires_at: is.time, nonce: is.bstr(16), log: is.position,
  },
  'connection-accept': { request: hash, by: agent, peer: agent, at: is.time, log: is.position },
  'connection-end': {
    request: hash, by: agent, peer: agent, kind: is.oneOf('declined', 'revoked', 'blocked'), at: is.time, log: is.position,
  },
  grant: {
    request: hash, from: agent, to: agent, version: is.uint(1), prev: is.nullable(hash), at: is.time,
    until: is.nullable(is.time), classes, rate: is.uint(), largest: is.uint(), terms: hash, log: is.position,
  },
}
const SIGNER = { card: 'agent', 'connection-request': 'from', 'connection-accept': 'by', 'connection-end': 'by', grant: 'from' }
const LIMITS = { card: 8_192 }

const sameAgent = (a, b) => same(a[0], b[0]) && a[1] === b[1]
const between = (one, other, request) =>
  (sameAgent(one, request.get('from')) && sameAgent(other, request.get('to'))) ||
  (sameAgent(one, request.get('to')) && sameAgent(other, request.get('from')))

// A signed document of one kind. `rules` are what the kind asks for besides; who may say it is asked last, by the
// statements that `logOf` finds for the payload.
function read(kind, raw, logOf, rules) {
  const signed = verify(raw, kind, LIMITS[kind])
  const payload = decode(signed.payload)
  is.map({ v: is.version1, ...FIELDS[kind] })(payload)
  rules(payload)
  const log = fold(logOf(payload))
  need(same(payload.get(SIGNER[kind])[0], log.heads[0]), 'wrong-account')
  need(log.managers().some((key) => same(key, signed.key)), 'not-authorized')
  const [length, head] = payload.get('log')
  need(length <= log.heads.length && same(log.heads[Number(length) - 1], head), 'not-an-extension')
  return Object.assign(payload, { hash: signed.hash })
}

const heldLog = (statements) => () => statements.map(unhex)

export const readRequest = (raw, logOf) =>
  read('connection-request', raw, logOf, (payload) => {
    need(!sameAgent(payload.get('from'), payload.get('to')), 'bad-value')
    const life = payload.get('expires_at') - payload.get('at')
    need(life > 0 && life <= DAYS_30, 'bad-time')
  })

function answer(kind, rules) {
  return (raw, request, logOf) =>
    read(kind, raw, logOf, (payload) => {
      need(same(payload.get('request'), request.hash), 'unknown-request')
      rules(payload, request)
    })
}

function answered(reader) {
  return (vector) => {
    const request = readRequest(unhex(vector.request), heldLog(vector.logs.ada))
    reader(unhex(vector.input), request, heldLog(vector.logs[vector.signer]))
  }
}

function accept(payload, request) {
  need(!sameAgent(payload.get('by'), request.get('from')), 'own-request')
  need(sameAgent(payload.get('by'), request.get('to')), 'unknown-request')
  need(sameAgent(payload.get('peer'), request.get('from')), 'unknown-request')
  need(payload.get('at') <= request.get('expires_at'), 'request-expired')
}

function end(payload, request) {
  need(between(payload.get('by'), payload.get('peer'), request), 'unknown-request')
}

export const readAccept = answer('connection-accept', accept)
const readEnd = answer('connection-end', end)

// --- Grants: those of one version count together ------------------------------------------------------------

const readGrant = (raw, logOf) =>
  read('grant', raw, logOf, (payload) =>
    need((payload.get('version') === 1) === (payload.get('prev') === null), 'bad-grant'),
  )

function newer(held, grant) {
  if (held.length === 0) return [grant]
  const [version, offered] = [held[0].get('version'), grant.get('version')]
  need(offered >= version, 'stale-grant')
  if (offered === version) {
    if (held.some((one) => same(one.hash, grant.hash))) return held
    need(held.length < 8, 'too-many')
    return [...held, grant]
  }
  if (offered === version + 1) need(held.some((one) => same(one.hash, grant.get('prev'))), 'bad-grant')
  return [grant]
}

const least = (values) => values.reduce((a, b) => (b < a ? b : a))

function together(grants) {
  const ends = grants.map((one) => one.get('until')).filter((until) => until !== null)
  const [first, ...others] = grants.map((one) => one.get('classes'))
  return {
    version: grants[0].get('version'),
    until: ends.length === 0 ? null : least(ends),
    classes: first.filter((word) => CLASSES.includes(word) && others.every((list) => list.includes(word))),
    rate: least(grants.map((one) => one.get('rate'))),
    largest: least(grants.map((one) => one.get('largest'))),
  }
}

const TERMS = {
  salt: is.bstr(16), 'auto_trigger?': is.bool, 'human_gate?': is.bool, 'task_budget?': is.uint(), 'largest_artifact?': is.uint(),
}
const KNOWN_TERMS = Object.keys(TERMS).map((key) => key.replace('?', ''))

function readTerms(wanted, sealed) {
  // With one set of terms there is no choice.
  const raw = sealed.find((one) => same(sha256(one), wanted)) ?? sealed[0]
  need(same(sha256(raw), wanted), 'bad-grant')
  const terms = is.map(TERMS, { open: true })(decode(raw))
  // What is not known may narrow the rest: then all of it means the least.
  const whole = [...terms.keys()].every((key) => KNOWN_TERMS.includes(key))
  const or = (key, otherwise) => (whole && terms.has(key) ? terms.get(key) : otherwise)
  return {
    auto_trigger: or('auto_trigger', false), human_gate: or('human_gate', true),
    task_budget: or('task_budget', 0), largest_artifact: or('largest_artifact', 65_536),
  }
}

function grant(vector) {
  const request = readRequest(unhex(vector.request), heldLog(vector.request_statements))
  let current = []
  for (const raw of vector.grants.map(unhex)) {
    const offered = readGrant(raw, heldLog(vector.statements))
    need(same(offered.get('request'), request.hash), 'unknown-request')
    need(between(offered.get('from'), offered.get('to'), request), 'bad-grant')
    current = newer(current, offered)
  }
  const agreed = current.map((one) => readTerms(one.get('terms'), vector.terms.map(unhex)))
  const allowed = together(current)
  if (vector.asks) permit(allowed, vector.asks, vector.now_ms)
  if (!vector.decoded) return
  expectEqual(
    {
      ...allowed,
      auto_trigger: agreed.every((one) => one.auto_trigger),
      human_gate: agreed.some((one) => one.human_gate),
      task_budget: least(agreed.map((one) => one.task_budget)),
      largest_artifact: least(agreed.map((one) => one.largest_artifact)),
    },
    vector.decoded,
  )
}

function permit(allowed, asks, now) {
  if (!CLASSES.includes(asks.class)) return
  const fits = allowed.classes.includes(asks.class) && asks.size <= allowed.largest
  if (!fits || (allowed.until !== null && now >= allowed.until)) refuse('not-permitted')
}

export const RUNNERS = {
  card: (vector) => read('card', unhex(vector.input), heldLog(vector.statements), () => {}),
  'connection-request': (vector) => readRequest(unhex(vector.input), heldLog(vector.logs[vector.signer])),
  'connection-accept': answered(readAccept),
  'connection-end': answered(readEnd),
  grant,
}
