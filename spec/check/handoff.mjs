// The export of a task (tasks.md section 4): whatever it rests on is in it.

import { fold } from './account.mjs'
import { decode } from './cbor.mjs'
import { readAccept, readRequest } from './documents.mjs'
import { readEnvelope } from './envelope.mjs'
import { EVENTS, readContent } from './messages.mjs'
import { expectEqual, hex, need, refuse, same, unhex } from './refusal.mjs'
import { openWith } from './sealing.mjs'
import * as is from './shape.mjs'
import { Fold, checkEvent, eventOf } from './tasks.mjs'

const LIMIT = 67_108_864
const ITEMS = 1_048_576
const FORMAT = 'taskferry-handoff/1'

const kept = is.tuple(is.bstr(), is.bstr(32))
const logs = (value) => {
  need(value instanceof Map, 'wrong-type')
  for (const statements of value.values()) is.list(is.bstr(), 1, 4_096)(statements)
}
const connection = (value) => {
  is.list(is.bstr())(value)
  need(value.length === 0 || value.length === 2, 'bad-value')
}
const format = (value) => {
  is.tstr(0, 64)(value)
  need(value === FORMAT, 'unknown-version')
}
const shape = is.map({
  format, task: is.bstr(32), exported_at: is.time, logs, events: is.list(kept, 1), connection, receipts: is.list(kept),
})

const named = ([account, agent]) => `${hex(account)} ${agent}`

// The logs by account, each as it is and as of a position that somebody quotes.
class Logs {
  constructor(members) {
    this.raw = members
    this.folded = new Map()
    for (const [id, statements] of members) {
      const account = fold(statements)
      need(hex(account.heads[0]) === id, 'wrong-account')
      this.folded.set(id, account)
    }
  }

  statementsAt(account, [length, head]) {
    const whole = this.folded.get(hex(account))
    need(whole, 'unknown-account')
    const there = whole.heads[Number(length) - 1]
    need(there && same(there, head), 'not-an-extension')
    return this.raw.get(hex(account)).slice(0, Number(length))
  }

  // That the device served the agent at the position which its envelope quotes.
  checkSender({ header, device }) {
    const [account, agent] = header.get('from')
    const then = fold(this.statementsAt(account, header.get('log')))
    const found = then.devices.get(hex(device))
    need(found, 'unknown-device')
    need(found.status === 'active', 'device-gone')
    if (agent !== '') need(then.agents.get(agent)?.includes(hex(device)), 'unknown-agent')
  }

  revoked() {
    return [...this.folded.values()].flatMap((account) =>
      [...account.devices].filter(([, one]) => one.status === 'revoked').map(([id]) => id),
    )
  }
}

function open([raw, key], held) {
  const envelope = readEnvelope(raw, null)
  held.checkSender(envelope)
  const content = openWith(envelope, key)
  return { ...envelope, raw: content, content: readContent(content, envelope.header.get('class')) }
}

// Requester and worker: the request says it; where it is missing, whoever the first event is from.
function partiesOf(events) {
  const { header } = events.find((one) => one.content.get('type') === 'task_request') ?? events[0]
  return { requester: named(header.get('from')), worker: named(header.get('to')) }
}

function sideOf({ header }, parties) {
  const [from, to] = [named(header.get('from')), named(header.get('to'))]
  if (from === parties.requester && to === parties.worker) return 'requester'
  if (from === parties.worker && to === parties.requester) return 'worker'
  return refuse('wrong-party')
}

function checkConnection([rawRequest, rawAccept], held, parties) {
  const request = readRequest(rawRequest, (payload) => held.statementsAt(payload.get('from')[0], payload.get('log')))
  const ends = [named(request.get('from')), named(request.get('to'))]
  need(ends.includes(parties.requester) && ends.includes(parties.worker), 'unknown-request')
  readAccept(rawAccept, request, (payload) => held.statementsAt(payload.get('by')[0], payload.get('log')))
}

function handoff(vector) {
  const members = shape(decode(unhex(vector.input), LIMIT, ITEMS))
  const task = hex(members.get('task'))
  const held = new Logs(members.get('logs'))
  const events = members.get('events').map((one) => open(one, held))
  for (const { content } of events) need(EVENTS.has(content.get('type')), 'unknown-task')
  const parties = partiesOf(events)
  const listed = events.map((one) => {
    const side = sideOf(one, parties)
    checkEvent(one.content, side, task)
    need(one.content.get('type') !== 'task_request' || hex(one.hash) === task, 'unknown-task')
    const [created, device] = [one.header.get('created_at'), hex(one.device)]
    return eventOf({ hash: hex(one.hash), side, device, created_at: created, content: hex(one.raw) })
  })
  for (const one of members.get('receipts').map((receipt) => open(receipt, held))) {
    need(one.content.get('type') === 'receipt', 'class-mismatch')
    sideOf(one, parties)
  }
  if (members.get('connection').length > 0) checkConnection(members.get('connection'), held, parties)
  const { state, gaps } = new Fold(listed, held.revoked(), 'elsewhere').outcome()
  expectEqual({ task, accounts: [...held.folded.keys()].sort(), state, gaps }, vector.decoded)
}

export const RUNNERS = { handoff }
