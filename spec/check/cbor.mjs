// Strict CBOR (taskferry.md section 2): a walk that finds the fault, and cborg as a second opinion on what passes.

import { decode as read, encode as write, rfc8949EncodeOptions } from 'cborg'
import { need, refuse, same } from './refusal.mjs'

const DEPTH = 12
const PRECEDENCE = ['too-deep', 'forbidden-item', 'not-canonical']
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export const encode = (value) => write(value, rfc8949EncodeOptions)

export function decode(data, limit = 1_048_576) {
  need(data.length <= limit, 'too-large')
  const walk = new Walk(data)
  walk.item(1)
  need(walk.at === data.length, 'malformed')
  const fault = PRECEDENCE.find((code) => walk.faults.has(code))
  if (fault) refuse(fault)
  const value = read(data, {
    strict: true,
    allowIndefinite: false,
    allowUndefined: false,
    allowNaN: false,
    allowInfinity: false,
    rejectDuplicateMapKeys: true,
    useMaps: true,
  })
  if (!same(encode(value), data)) throw new Error('cborg writes it otherwise')
  return value
}

class Walk {
  constructor(data) {
    this.data = data
    this.at = 0
    this.faults = new Set()
  }

  take(count) {
    need(BigInt(this.at) + BigInt(count) <= BigInt(this.data.length), 'malformed')
    this.at += Number(count)
    return this.data.subarray(this.at - Number(count), this.at)
  }

  head() {
    const first = this.take(1)[0]
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

  // The major type of one item. Far below the limit the walk stops: what follows does not matter.
  item(depth) {
    if (depth > 3 * DEPTH) refuse('too-deep')
    const [major, info, number] = this.head()
    if (major === 2 || major === 3) this.string(major, number)
    else if (major === 4 || major === 5) {
      if (depth > DEPTH) this.faults.add('too-deep')
      if (major === 4) this.array(number, depth)
      else this.map(number, depth)
    } else if (major === 6) {
      this.faults.add('forbidden-item')
      this.item(depth + 1)
    } else if (major === 7) this.simple(info, number)
    return major
  }

  string(major, number) {
    const check = (piece) => {
      if (major !== 3) return
      try {
        utf8.decode(piece)
      } catch {
        refuse('malformed')
      }
    }
    if (number !== null) return check(this.take(number))
    while (!this.ended()) {
      const [inner, , size] = this.head()
      need(inner === major && size !== null, 'malformed')
      check(this.take(size))
    }
  }

  ended() {
    if (this.data[this.at] !== 0xff) return false
    this.at += 1
    return true
  }

  array(number, depth) {
    for (let n = 0n; number === null ? !this.ended() : n < number; n += 1n) this.item(depth + 1)
  }

  map(number, depth) {
    let before = null
    for (let n = 0n; number === null ? !this.ended() : n < number; n += 1n) {
      const start = this.at
      if (this.item(depth + 1) !== 3) this.faults.add('forbidden-item')
      const key = this.data.subarray(start, this.at)
      if (before !== null && Buffer.compare(key, before) <= 0) this.faults.add('not-canonical')
      before = key
      this.item(depth + 1)
    }
  }

  simple(info, number) {
    if (info >= 20 && info <= 22) return
    need(info !== 24 || number >= 32n, 'malformed')
    this.faults.add('forbidden-item')
  }
}
