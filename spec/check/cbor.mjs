// Strict CBOR (taskferry.md section 2): a walk that finds value or fault; what passes, cborg must write alike.
// (cborg does not read it: its text decoder drops a byte order mark.)

import { encode as write, rfc8949EncodeOptions } from 'cborg'
import { need, refuse, same } from './refusal.mjs'

const DEPTH = 12
const ITEMS = 32_768
const PRECEDENCE = ['too-deep', 'forbidden-item', 'not-canonical']
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export const encode = (value) => write(value, rfc8949EncodeOptions)

export function decode(data, limit = 1_048_576, items = ITEMS) {
  need(data.length <= limit, 'too-large')
  const walk = new Walk(data, items)
  const [, value] = walk.item(1)
  need(walk.at === data.length, 'malformed')
  const fault = PRECEDENCE.find((code) => walk.faults.has(code))
  if (fault) refuse(fault)
  if (!same(encode(value), data)) throw new Error('cborg writes it otherwise')
  return value
}

class Walk {
  constructor(data, items) {
    this.data = data
    this.items = items
    this.at = 0
    this.faults = new Set()
    this.count = 0
  }

  take(count) {
    need(BigInt(this.at) + BigInt(count) <= BigInt(this.data.length), 'malformed')
    this.at += Number(count)
    return this.data.subarray(this.at - Number(count), this.at)
  }

  head() {
    const first = this.take(1)[0]
    this.count += 1
    need(this.count <= this.items, 'too-many')
    const [major, info] = [first >> 5, first & 31]
    if (info < 24) return [major, info, BigInt(info)]
    if (info === 31 && major >= 2 && major <= 5) {
      this.faults.add('not-canonical')
      return [major, info, null]
    }
    need(info < 28, 'malformed')
    const size = 1 << (info - 24)
    let number = 0n
    for (const byte of this.take(size)) number = (number << 8n) | BigInt(byte)
    const least = size === 1 ? 24n : 1n << BigInt(4 * size)
    if (major !== 7 && number < least) this.faults.add('not-canonical')
    return [major, info, number]
  }

  // Major type and value of one item. Far below the limit the walk stops: what follows does not matter.
  item(depth) {
    if (depth > 3 * DEPTH) refuse('too-deep')
    const [major, info, number] = this.head()
    if ((major === 4 || major === 5) && depth > DEPTH) this.faults.add('too-deep')
    switch (major) {
      case 0:
        return [major, small(number)]
      case 1:
        return [major, small(-1n - number)]
      case 2:
      case 3:
        return [major, this.string(major, number)]
      case 4:
        return [major, this.array(number, depth)]
      case 5:
        return [major, this.map(number, depth)]
      case 6:
        this.faults.add('forbidden-item')
        return [major, this.item(depth + 1)[1]]
      default:
        return [major, this.simple(info, number)]
    }
  }

  string(major, number) {
    const whole = (piece) => (major === 3 ? textOf(piece) : piece.slice())
    if (number !== null) return whole(this.take(number))
    while (!this.ended()) {
      const [inner, , size] = this.head()
      need(inner === major && size !== null, 'malformed')
      whole(this.take(size))
    }
    return null
  }

  ended() {
    if (this.data[this.at] !== 0xff) return false
    this.at += 1
    return true
  }

  array(number, depth) {
    const items = []
    for (let n = 0n; number === null ? !this.ended() : n < number; n += 1n) items.push(this.item(depth + 1)[1])
    return items
  }

  map(number, depth) {
    const members = new Map()
    let before = null
    for (let n = 0n; number === null ? !this.ended() : n < number; n += 1n) {
      const start = this.at
      const [major, name] = this.item(depth + 1)
      if (major !== 3) this.faults.add('forbidden-item')
      const key = this.data.subarray(start, this.at)
      if (before !== null && Buffer.compare(key, before) <= 0) this.faults.add('not-canonical')
      before = key
      members.set(name, this.item(depth + 1)[1])
    }
    return members
  }

  simple(info, number) {
    if (info >= 20 && info <= 22) return [false, true, null][info - 20]
    need(info !== 24 || number >= 32n, 'malformed')
    this.faults.add('forbidden-item')
    return null
  }
}

const small = (number) => (BigInt.asIntN(54, number) === number ? Number(number) : number)

function textOf(piece) {
  try {
    return utf8.decode(piece)
  } catch {
    return refuse('malformed')
  }
}
