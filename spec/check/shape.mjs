// Shape: unknown keys, then missing ones, then types and ranges, field by field (taskferry.md section 2).

import { Refusal, need } from './refusal.mjs'

export const TIME_END = 2 ** 53
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/
const NAME = /^[a-z0-9][a-z0-9_-]{0,31}$/
const bytesOf = (text) => Buffer.byteLength(text)

export const isName = (text) => NAME.test(text)

// A reader of one field throws or returns. `fields` maps keys to readers; a `?` at the end of a key: optional.
export function map(fields, { open = false } = {}) {
  const known = Object.entries(fields).map(([key, reader]) => [key.replace('?', ''), reader, key.endsWith('?')])
  return (value) => {
    need(value instanceof Map, 'wrong-type')
    const names = new Set(known.map(([key]) => key))
    if (!open) for (const key of value.keys()) need(names.has(key), 'unknown-field')
    for (const [key, , optional] of known) need(optional || value.has(key), 'missing-field')
    for (const [key, reader] of known) if (value.has(key)) reader(value.get(key))
    return value
  }
}

export function uint(low = 0, high = 2n ** 64n - 1n) {
  return (value) => {
    need(typeof value === 'number' || typeof value === 'bigint', 'wrong-type')
    need(value >= low && value <= high, 'bad-value')
  }
}

export const time = uint(0, TIME_END - 1)

export function bstr(size = null) {
  return (value) => {
    need(value instanceof Uint8Array, 'wrong-type')
    need(size === null || value.length === size, 'bad-value')
  }
}

export function tstr(least, most, { controls = true, pattern = null } = {}) {
  return (value) => {
    need(typeof value === 'string', 'wrong-type')
    need(bytesOf(value) >= least && bytesOf(value) <= most, 'bad-value')
    need(controls || !CONTROL.test(value), 'bad-value')
    need(pattern === null || pattern.test(value), 'bad-value')
  }
}

export function title(value) {
  need(typeof value === 'string', 'wrong-type')
  need([...value].length >= 1 && [...value].length <= 200 && !CONTROL.test(value), 'bad-value')
}

export const name = tstr(1, 32, { pattern: NAME })
export const bool = (value) => need(typeof value === 'boolean', 'wrong-type')
export const nullable = (reader) => (value) => value === null || reader(value)

export function oneOf(...words) {
  return (value) => {
    need(typeof value === 'string', 'wrong-type')
    need(words.includes(value), 'bad-value')
  }
}

export function list(reader, least = 0, most = Infinity) {
  return (value) => {
    need(Array.isArray(value), 'wrong-type')
    need(value.length <= most, 'too-many')
    need(value.length >= least, 'bad-value')
    value.forEach(reader)
  }
}

export function tuple(...readers) {
  return (value) => {
    need(Array.isArray(value), 'wrong-type')
    need(value.length === readers.length, 'bad-value')
    readers.forEach((reader, index) => reader(value[index]))
  }
}

export function ascending(items) {
  const raw = items.map((item) => Buffer.from(item))
  for (let n = 1; n < raw.length; n += 1) need(Buffer.compare(raw[n - 1], raw[n]) < 0, 'not-canonical')
}

export const version1 = (value) => {
  uint()(value)
  need(value === 1, 'unknown-version')
}

export const position = tuple(uint(1), bstr(32))

// What a reader refuses with any code becomes this one.
export function as(code, action) {
  try {
    return action()
  } catch (error) {
    throw error instanceof Refusal ? new Refusal(code) : error
  }
}
