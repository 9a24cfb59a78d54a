// Refusals with the codes of taskferry.md section 4, and the small things that every check needs.

export class Refusal extends Error {
  constructor(code) {
    super(code)
    this.code = code
  }
}

export function refuse(code) {
  throw new Refusal(code)
}

export function need(condition, code) {
  if (!condition) refuse(code)
}

export const unhex = (text) => Uint8Array.from(Buffer.from(text, 'hex'))
export const hex = (bytes) => Buffer.from(bytes).toString('hex')
export const same = (a, b) => Buffer.compare(a, b) === 0

// A check that the vector itself asks for: what is accepted must come out as it says.
export function expectEqual(actual, expected) {
  const [a, b] = [JSON.stringify(sorted(actual)), JSON.stringify(sorted(expected))]
  if (a !== b) throw new Error(`is ${a.slice(0, 2000)}, expected ${b.slice(0, 2000)}`)
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))
}
