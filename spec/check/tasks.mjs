// The fold over two chains (tasks.md sections 1 to 3).

import { decode } from './cbor.mjs'
import { readContent } from './messages.mjs'
import { expectEqual, hex, need, refuse, unhex } from './refusal.mjs'

const FINAL = new Set(['completed', 'declined', 'cancelled', 'expired', 'failed'])
const STATES = ['sent', 'accepted', 'working', 'submitted', 'revision_requested', 'resubmitted']
// Rows of the table in the order of STATES; '' is an empty cell.
const TABLE = {
  task_accept: ['accepted', '', '', '', '', ''],
  task_decline: ['declined', '', '', '', '', ''],
  task_progress: ['', 'working', 'working', '', 'working', ''],
  artifact_submit: ['', 'submitted', 'submitted', 'resubmitted', 'resubmitted', 'resubmitted'],
  revision_request: ['', '', '', 'revision_requested', '', 'revision_requested'],
  task_complete: ['', '', 'completed', 'completed', 'completed', 'completed'],
  task_cancel: Array(6).fill('cancelled'),
  task_fail: ['', ...Array(5).fill('failed')],
  task_expire: ['expired', 'expired', 'expired', '', 'expired', ''],
}
const OTHER = { requester: 'worker', worker: 'requester' }
const AUTHORS = {
  task_request: ['requester'], revision_request: ['requester'], task_complete: ['requester'],
  task_cancel: ['requester'], task_expire: ['requester'], task_accept: ['worker'], task_decline: ['worker'],
  task_progress: ['worker'], artifact_submit: ['worker'], task_fail: ['worker'], task_seen: ['requester', 'worker'],
}

export function eventOf(listed) {
  const content = decode(unhex(listed.content))
  const link = content.get('link')
  const name = (value) => (value === null ? null : hex(value))
  const [count, last] = link.get('seen')
  return {
    hash: listed.hash, side: listed.side, device: listed.device, at: listed.created_at,
    type: content.get('type'), body: content.get('body'), n: link.get('n'), prev: name(link.get('prev')),
    count, last: name(last), adopt: link.get('adopt') === true,
  }
}

export class Fold {
  constructor(events, revoked, viewer) {
    Object.assign(this, { events, revoked: new Set(revoked), viewer })
    this.taken = { requester: [], worker: [] }
    this.order = []
    this.effects = new Map()
    this.closed = {}
    this.unconfirmed = {}
    this.state = 'sent'
    this.asks = 0
    this.submissions = 0
    this.versions = []
    while (this.advance('requester') || this.advance('worker'));
    this.closeUnknowable()
  }

  advance(side) {
    const event = this.candidate(side)
    if (!event) return false
    const other = this.taken[OTHER[side]]
    if (event.count <= other.length && event.last !== (event.count ? other[event.count - 1].hash : null)) {
      this.closed[side] = 'unknown-seen'
      return false
    }
    if (event.count < (this.taken[side].at(-1)?.count ?? 0)) {
      this.closed[side] = 'bad-link'
      return false
    }
    if (event.count > other.length) return false
    this.taken[side].push(event)
    this.order.push(event)
    this.effects.set(event.hash, this.judge(event))
    return true
  }

  // Whoever writes a side holds all of it.
  closeUnknowable() {
    const bound = this.taken.requester.some((one) => one.count > 0)
    const mine = this.viewer === 'home' ? 'requester' : this.viewer === 'worker' && bound ? 'worker' : null
    const event = mine && this.candidate(OTHER[mine])
    if (!event) return
    const known = this.events.some((one) => one.side === mine && one.n === event.count - 1 && one.hash === event.last)
    if (!known) this.closed[OTHER[mine]] = 'unknown-seen'
  }

  candidate(side) {
    if (this.closed[side]) return null
    const mine = this.taken[side]
    const prev = mine.at(-1)?.hash ?? null
    const found = this.events.filter(
      (one) => one.side === side && one.n === mine.length && one.prev === prev && this.rightDevice(one, mine),
    )
    if (found.length < 2) return found[0] ?? null
    const named = this.named(side, found)
    if (named) return named
    this.unconfirmed[side] ??= mine.length
    return found.reduce((a, b) => (a.hash < b.hash ? a : b))
  }

  rightDevice(event, mine) {
    if (mine.length === 0) return true
    if (event.side === 'worker') return event.device === mine[0].device
    const home = mine.at(-1).device
    if (event.device === home) return true
    return event.adopt && this.revoked.has(home) && mine.some((one) => one.count > 0)
  }

  named(side, found) {
    const held = new Map(this.events.filter((one) => one.side === side).map((one) => [one.hash, one]))
    const request = this.events.find((one) => one.type === 'task_request')
    const adopters = new Set(this.events.filter((one) => one.adopt).map((one) => one.device))
    const mayName = (one) =>
      one.side === 'worker' || one.device === request.device ||
      (this.revoked.has(request.device) && adopters.has(one.device))
    const namers = this.events.filter((one) => one.side !== side && mayName(one))
    namers.sort((a, b) => a.n - b.n || (a.hash < b.hash ? -1 : 1))
    for (const namer of namers) {
      if (held.get(namer.last)?.n !== namer.count - 1) continue
      for (let at = namer.last; held.has(at); at = held.get(at).prev) {
        const hit = found.find((one) => one.hash === at)
        if (hit) return hit
      }
    }
    return null
  }

  judge(event) {
    if (event.type === 'task_request') {
      this.terms = event.body
      return 'effective'
    }
    if (event.type === 'task_seen') return 'none'
    if (event.type === 'artifact_submit') this.submissions += 1
    if (FINAL.has(this.state)) return 'superseded'
    let to = TABLE[event.type][STATES.indexOf(this.state)]
    if (to === '' || !this.allowed(event)) return 'superseded'
    if (event.type === 'artifact_submit') {
      this.versions.push([this.submissions, event.hash])
      if (event.body.get('answers') < this.asks) return 'kept'
      if (this.state === 'working' && this.asks > 0) to = 'resubmitted'
    }
    if (event.type === 'revision_request') this.asks += 1
    this.state = to
    return 'effective'
  }

  allowed({ type, body, at }) {
    const [number, hash] = this.versions.at(-1) ?? [0, '']
    const newest = () => body.get('version') === number && hex(body.get('hash')) === hash
    if (type === 'artifact_submit') return body.get('answers') <= this.asks
    if (type === 'revision_request') return newest() && this.asks < this.terms.get('revisions')
    if (type === 'task_complete') return newest() && (this.state !== 'working' || this.asks > 0)
    const deadline = this.terms.get('deadline')
    return type !== 'task_expire' || (deadline !== null && body.get('deadline') === deadline && at >= deadline)
  }

  refused() {
    const codes = {}
    for (const side of ['requester', 'worker']) {
      const mine = this.taken[side]
      const chosen = this.candidate(side)
      const rest = this.events.filter((one) => one.side === side && !mine.includes(one)).sort((a, b) => a.n - b.n)
      for (const event of rest) {
        if (this.closed[side] && event.n >= mine.length) codes[event.hash] = this.closed[side]
        else if (event.n < mine.length || (event.n === mine.length && event !== chosen)) codes[event.hash] = 'fork'
        else if (codes[event.prev]) codes[event.hash] = 'fork'
      }
    }
    return codes
  }

  outcome() {
    const refused = this.refused()
    const waiting = this.events.filter((one) => !this.effects.has(one.hash) && !refused[one.hash])
    const unconfirmed = this.order.filter((one) => one.n >= (this.unconfirmed[one.side] ?? Infinity))
    const outcome = {
      state: this.order.length ? this.state : null,
      asks: this.asks,
      versions: this.versions,
      taken: this.order.map((one) => [one.hash, this.effects.get(one.hash)]),
      waiting: waiting.map((one) => one.hash).sort(),
      gaps: this.gaps(waiting, refused),
      refused,
      unconfirmed: unconfirmed.map((one) => one.hash),
    }
    if (unconfirmed.length > 0) return outcome
    const noticed = Math.max(0, ...this.taken.worker.map((one) => one.count))
    const doubtful = this.order.findIndex((one) => one.adopt && one.n >= noticed)
    const firm = doubtful < 0 ? this.order : this.order.slice(0, doubtful)
    const seen = Math.max(0, ...firm.filter((one) => one.side === 'requester').map((one) => one.count))
    const settled = firm.filter((one) => this.viewer === 'home' || one.side === 'requester' || one.n < seen)
    const deciding = this.order.findLast((one) => this.effects.get(one.hash) === 'effective')
    const sure = settled.includes(deciding)
    return { ...outcome, final: FINAL.has(this.state) && sure, settled: settled.map((one) => one.hash) }
  }

  gaps(waiting, refused) {
    const held = new Set(this.events.filter((one) => !refused[one.hash]).map((one) => `${one.side} ${one.n}`))
    const missing = new Map()
    for (const event of waiting) {
      for (const [side, end] of [[event.side, event.n], [OTHER[event.side], event.count]]) {
        for (let n = this.taken[side].length; n < end; n += 1) {
          if (!held.has(`${side} ${n}`)) missing.set(`${side} ${n}`, [side, n])
        }
      }
    }
    return [...missing.values()].sort((a, b) => (a[0] === b[0] ? a[1] - b[1] : a[0] < b[0] ? -1 : 1))
  }
}

function foldVector(vector) {
  const events = vector.events.map(eventOf)
  const fold = new Fold(events, vector.revoked, vector.viewer)
  expectEqual(fold.outcome(), vector.decoded)
  for (const arrival of vector.arrivals ?? []) {
    const again = new Fold(arrival.map((index) => events[index]), vector.revoked, vector.viewer)
    expectEqual(again.outcome(), vector.decoded)
  }
  const code = fold.refused()[vector.about]
  if (code) refuse(code)
  need(fold.effects.get(vector.about) !== 'superseded', 'superseded')
}

// May this side's event stand in the task?
export function checkEvent(content, author, task) {
  const [type, link] = [content.get('type'), content.get('link')]
  need(AUTHORS[type].includes(author), 'wrong-party')
  if (author === 'requester' && type !== 'task_request') need(link.get('n') > 0, 'bad-link')
  need(type === 'task_request' || hex(link.get('task')) === task, 'unknown-task')
}

function oneEvent(vector) {
  const type = decode(unhex(vector.input)).get('type')
  const content = readContent(unhex(vector.input), type === 'artifact_submit' ? 'artifact' : type === 'message' ? 'message' : 'task')
  checkEvent(content, vector.author, vector.task)
}

export const RUNNERS = { 'task-fold': foldVector, 'task-event': oneEvent }
