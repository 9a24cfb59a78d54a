// Suite 1 and the order of opening (envelope.md sections 4 and 5).

import sodium from 'libsodium-wrappers-sumo'
import { keyed } from './blake2b.mjs'
import { decode, encode } from './cbor.mjs'
import { parseSigned } from './cose.mjs'
import { readEnvelope, readParcel } from './envelope.mjs'
import { readContent } from './messages.mjs'
import { expectEqual, hex, need, same, unhex } from './refusal.mjs'

const contentKey = (key) => keyed(key, 'tf1 content')
const commitment = (key) => keyed(key, 'tf1 commit')

function paddedSize(length) {
  const total = 4 + length
  if (total <= 256) return 256
  const exponent = Math.floor(Math.log2(total))
  const step = 2 ** (exponent - Math.floor(Math.log2(exponent)) - 1)
  return Math.ceil(total / step) * step
}

function pad(content) {
  const plain = new Uint8Array(paddedSize(content.length))
  new DataView(plain.buffer).setUint32(0, content.length)
  plain.set(content, 4)
  return plain
}

const encrypt = (key, nonce, content, h) =>
  sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(pad(content), h, null, nonce, contentKey(key))

function wrap(key, recipient, secret) {
  const ephemeral = sodium.crypto_scalarmult_base(secret)
  const nonce = sodium.crypto_generichash(24, Buffer.concat([ephemeral, recipient]))
  return Buffer.concat([ephemeral, sodium.crypto_box_easy(key, nonce, recipient, secret)])
}

function unpad(plain) {
  const length = new DataView(plain.buffer, plain.byteOffset).getUint32(0)
  need(4 + length <= plain.length && plain.length === paddedSize(length), 'bad-padding')
  need(plain.subarray(4 + length).every((byte) => byte === 0), 'bad-padding')
  return plain.slice(4, 4 + length)
}

function attempt(code, action) {
  let result = null
  try {
    result = action()
  } catch {
    result = null
  }
  need(result !== null, code)
  return result
}

// The content of an envelope whose K is known.
export function openWith(envelope, key) {
  need(same(commitment(key), envelope.header.get('commit')), 'bad-commit')
  const plain = attempt('bad-ciphertext', () =>
    sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
      null, envelope.ct, envelope.h, envelope.header.get('nonce'), contentKey(key),
    ),
  )
  return unpad(plain)
}

function open(vector) {
  const { envelope: raw, wraps } = readParcel(decode(unhex(vector.input)))
  const envelope = readEnvelope(raw, null)
  const mine = new Map(vector.keys.map(([pub, secret]) => [pub, unhex(secret)]))
  const found = wraps.find(([key]) => mine.has(hex(key)))
  need(found, 'no-wrap')
  const key = attempt('bad-wrap', () => sodium.crypto_box_seal_open(found[1], found[0], mine.get(hex(found[0]))))
  const content = openWith(envelope, key)
  readContent(content, envelope.header.get('class'))
  expectEqual({ content: hex(content), key: hex(key) }, vector.decoded)
}

function seal(vector) {
  const [key, h] = [unhex(vector.key), unhex(vector.h)]
  const ct = encrypt(key, unhex(vector.nonce), unhex(vector.content), h)
  const raw = unhex(vector.decoded.envelope)
  const [signedH, signedCt] = decode(parseSigned(raw).payload)
  const wraps = vector.recipients.map(([pub, secret]) => {
    const recipient = unhex(pub)
    return [recipient, new Uint8Array(wrap(key, recipient, unhex(secret)))]
  })
  expectEqual([hex(signedH), hex(signedCt)], [vector.h, hex(ct)])
  expectEqual(hex(encode([raw, wraps])), vector.decoded.parcel)
}

export const RUNNERS = {
  padding: (vector) => vector.pairs.forEach(([length, size]) => expectEqual(paddedSize(length), size)),
  derive: (vector) => {
    const key = unhex(vector.input)
    expectEqual({ content_key: hex(contentKey(key)), commit: hex(commitment(key)) }, vector.decoded)
  },
  wrap: (vector) => {
    const sealed = wrap(unhex(vector.key), unhex(vector.recipient[0]), unhex(vector.ephemeral_secret))
    expectEqual(hex(sealed), vector.decoded.sealed)
  },
  cipher: (vector) => {
    const ct = encrypt(unhex(vector.key), unhex(vector.nonce), unhex(vector.content), unhex(vector.h))
    expectEqual(hex(ct), vector.decoded.ct)
  },
  seal,
  open,
}
