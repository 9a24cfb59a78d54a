// The sealed content by type (messages.md).

import { decode } from './cbor.mjs'
import { sha256 } from './cose.mjs'
import { need, same } from './refusal.mjs'
import * as is from './shape.mjs'

const hash = is.bstr(32)
const texts = (least) => is.list(is.tstr(1, 2_048), least, 32)
const prose = is.tstr(0, 65_536)
const contactNote = is.tstr(0, 1_024)
const fileName = (value) => {
  is.tstr(1, 255, { controls: false })(value)
  need(!/[/\\]/.test(value) && value !== '.' && value !== '..', 'bad-value')
}
const media = is.tstr(1, 127, { pattern: /^[\x20-\x7e]*$/ })
const json = (value) => {
  is.tstr(1, 196_608)(value)
  let good = true
  try {
    JSON.parse(value)
    good = depth(value) <= 100
  } catch {
    good = false
  }
  need(good, 'bad-value')
}

// How deep brackets nest; in what JSON.parse has passed, a string is the only other place for one.
function depth(text) {
  let [now, most] = [0, 0]
  for (const token of text.match(/"(?:\\.|[^"\\])*"|[[{\]}]/gs) ?? []) {
    if (token === '[' || token === '{') most = Math.max(most, (now += 1))
    else if (token === ']' || token === '}') now -= 1
  }
  return most
}

const PARTS = {
  text: is.map({ kind: is.tstr(1, 8), text: is.tstr(0, 196_608), name: is.tstr(0, 255) }),
  json: is.map({ kind: is.tstr(1, 8), json, name: is.tstr(0, 255) }),
  file: is.map({ kind: is.tstr(1, 8), name: fileName, media, size: is.uint(), sha256: hash, data: is.bstr() }),
  blob: is.map({
    kind: is.tstr(1, 8), name: fileName, media, size: is.uint(), sha256: hash, blob: hash, key: hash,
    length: is.uint(), chunk: is.uint(1_024, 1_048_576),
  }),
}

function part(value) {
  need(value instanceof Map, 'wrong-type')
  need(value.has('kind'), 'missing-field')
  is.oneOf(...Object.keys(PARTS))(value.get('kind'))
  PARTS[value.get('kind')](value)
  if (value.get('kind') !== 'file') return
  need(value.get('data').length === value.get('size'), 'bad-value')
  need(same(sha256(value.get('data')), value.get('sha256')), 'bad-value')
}

const parts = (least = 0) => is.list(part, least, 32)
const open = (fields) => is.map(fields, { open: true })
const statements = (most) => is.list(is.bstr(), 1, most)
const invite = is.map({ id: is.bstr(16), mac: hash })
const named = { version: is.uint(1), hash }
const agreed = { grant: is.bstr(), terms: is.bstr() }
const outcome = is.oneOf('applied', 'duplicate', 'quarantined', 'offered', 'read', 'processed')

// Type to class and body.
const TYPES = {
  message: ['message', { text: is.tstr(1, 65_536), parts: parts() }],
  connection_request: [
    'connection', { statement: is.bstr(), ...agreed, note: contactNote, log: statements(4_096), 'invite?': invite },
  ],
  connection_accept: ['connection', { statement: is.bstr(), ...agreed, log: statements(4_096) }],
  connection_end: ['connection', { statement: is.bstr(), reason: contactNote, 'again?': is.time }],
  grant_update: ['connection', agreed],
  task_request: [
    'task',
    {
      title: is.title, brief: prose, parts: parts(), requirements: texts(0), deadline: is.nullable(is.time),
      revisions: is.uint(0, 1_000), budget: is.nullable(is.uint()),
    },
  ],
  task_accept: ['task', { note: prose }],
  task_decline: ['task', { reason: prose }],
  task_progress: ['task', { note: prose, percent: is.nullable(is.uint(0, 100)) }],
  artifact_submit: ['artifact', { note: prose, parts: parts(1), answers: is.uint() }],
  revision_request: ['task', { ...named, reasons: texts(1) }],
  task_complete: ['task', { ...named, note: prose }],
  task_cancel: ['task', { reason: prose }],
  task_fail: ['task', { reason: prose }],
  task_expire: ['task', { deadline: is.time }],
  task_seen: ['task', {}],
  task_repeat: ['task', { envelope: is.bstr(), key: is.bstr(32) }],
  receipt: [
    'receipt',
    { items: is.list(is.tuple(hash, outcome, is.nullable(is.tstr(1, 64))), 1, 256), 'tells?': is.bool, 'seen?': is.time },
  ],
  account_update: ['account', { statements: statements(64), from: is.uint() }],
  card_update: ['account', { card: is.bstr() }],
  grant_digest: ['account', { digest: hash, count: is.uint() }],
  action_request: [
    'account',
    {
      task: hash, action: is.tstr(1, 32), agent: is.name, by: is.oneOf('owner', 'agent'), until: is.time, text: prose,
      percent: is.nullable(is.uint(0, 100)), parts: parts(), reasons: texts(0), version: is.nullable(is.uint(1)),
      hash: is.nullable(hash), answers: is.nullable(is.uint()),
    },
  ],
  action_outcome: [
    'account',
    {
      request: hash, outcome: is.oneOf('done', 'refused'), event: is.nullable(hash), state: is.tstr(0, 64),
      code: is.tstr(0, 64), text: is.tstr(0, 2_048), next: is.tstr(0, 2_048),
    },
  ],
}

const SHARED = {
  account: is.map({
    kind: is.tstr(1, 16), account: hash, name: is.name, trust: is.tstr(1, 32), held: is.tstr(0, 512), from: is.uint(),
    statements: statements(64),
  }),
  card: is.map({ kind: is.tstr(1, 16), card: is.bstr() }),
  connection: is.map({
    kind: is.tstr(1, 16), request: is.bstr(), accept: is.bstr(), end: is.bstr(), note: contactNote, at: is.time,
    grants: is.list(is.tuple(is.bstr(), is.bstr()), 0, 8), 'again?': is.time,
  }),
  message: is.map({ kind: is.tstr(1, 16), envelope: is.bstr(), key: hash }),
  label: is.map({ kind: is.tstr(1, 16), device: hash, label: is.tstr(1, 64), 'at?': is.time }),
  agent: is.map({ kind: is.tstr(1, 16), agent: is.name, mode: is.tstr(1, 32), never: texts(0), at: is.time }),
}

function shared(value) {
  need(value instanceof Map, 'wrong-type')
  need(value.has('kind'), 'missing-field')
  is.oneOf(...Object.keys(SHARED))(value.get('kind'))
  SHARED[value.get('kind')](value)
}

TYPES.device_share = ['account', { items: is.list(shared, 0, 256), done: is.uint(), total: is.uint() }]

const isEvent = (type) => type.startsWith('task_') && type !== 'task_repeat'
export const EVENTS = new Set([...Object.keys(TYPES).filter(isEvent), 'artifact_submit', 'revision_request'])
const WORKERS = new Set(['task_accept', 'task_decline', 'task_progress', 'artifact_submit', 'task_fail'])
const linkShape = is.map({
  task: is.nullable(hash), n: is.uint(), prev: is.nullable(hash), seen: is.tuple(is.uint(), is.nullable(hash)),
  'adopt?': is.bool,
})

function checkLink(link, type) {
  linkShape(link)
  const [task, n, prev, [count, last]] = ['task', 'n', 'prev', 'seen'].map((key) => link.get(key))
  const good =
    (n === 0) === (prev === null) &&
    (count === 0) === (last === null) &&
    (task === null) === (type === 'task_request') &&
    (task !== null || (n === 0 && count === 0)) &&
    (!link.has('adopt') || (link.get('adopt') === true && n > 0 && !WORKERS.has(type))) &&
    (!WORKERS.has(type) || count > 0)
  need(good, 'bad-link')
}

export function readContent(raw, cls) {
  const content = decode(raw, 262_144)
  need(content instanceof Map, 'wrong-type')
  const keys = ['type', 'minor', 'conv', 'hop', 'cause', 'body']
  for (const key of keys) need(content.has(key), 'missing-field')
  const type = content.get('type')
  need(typeof type === 'string', 'wrong-type')
  need(Object.hasOwn(TYPES, type), 'unknown-type')
  is.uint()(content.get('minor'))
  is.bstr(16)(content.get('conv'))
  is.uint(0, 16)(content.get('hop'))
  is.list(hash, 0, 8)(content.get('cause'))
  open(TYPES[type][1])(content.get('body'))
  if (content.has('reply')) hash(content.get('reply'))
  if (EVENTS.has(type)) {
    need(content.has('link'), 'missing-field')
    checkLink(content.get('link'), type)
  } else need(!content.has('link'), 'bad-link')
  need(TYPES[type][0] === cls, 'class-mismatch')
  return content
}
