// Signed structures and keys (taskferry.md section 3).

import { createHash } from 'node:crypto'
import sodium from 'libsodium-wrappers-sumo'
import { encode } from './cbor.mjs'
import { need, same } from './refusal.mjs'

const P = 2n ** 255n - 19n
const text = (value) => new TextEncoder().encode(value)

export const sha256 = (data) => Uint8Array.from(createHash('sha256').update(data).digest())

export function checkSigningKey(key) {
  need(key.length === 32 && sodium.crypto_core_ed25519_is_valid_point(key), 'bad-key')
}

export function checkEncryptionKey(key) {
  need(key.length === 32, 'bad-key')
  need(BigInt(`0x${Buffer.from(key).reverse().toString('hex')}`) < P, 'bad-key')
  const scalar = new Uint8Array(32).fill(9)
  let product = null
  try {
    product = sodium.crypto_scalarmult(scalar, key)
  } catch {
    product = null
  }
  need(product !== null && product.some((byte) => byte !== 0), 'bad-key')
}

// Take a structure apart by writing it again: there is one way to write it.
export function parseSigned(raw, limit = 262_144) {
  need(raw.length <= limit, 'too-large')
  need(raw.length >= 110, 'bad-cose')
  const key = raw.slice(10, 42)
  const signature = raw.slice(-64)
  const tail = raw.length - 66
  for (const head of [1, 2, 3, 5]) {
    const payload = raw.slice(43 + head, tail)
    if (same(structure(key, payload, signature), raw)) return { key, payload, signature, hash: sha256(raw), raw }
  }
  need(false, 'bad-cose')
}

const protectedHeader = (key) => Buffer.concat([unhexed('a20132045820'), key])
const unhexed = (digits) => Buffer.from(digits, 'hex')

function structure(key, payload, signature) {
  const items = [new Uint8Array(protectedHeader(key)), payload, signature].map((item) => encode(item))
  return Buffer.concat([unhexed('d284'), items[0], unhexed('a0'), items[1], items[2]])
}

export function sign(seed, kind, payload) {
  const { publicKey, privateKey } = sodium.crypto_sign_seed_keypair(seed)
  const signature = sodium.crypto_sign_detached(toBeSigned(publicKey, kind, payload), privateKey)
  return new Uint8Array(structure(publicKey, payload, signature))
}

const toBeSigned = (key, kind, payload) =>
  encode(['Signature1', new Uint8Array(protectedHeader(key)), text(`taskferry/1/${kind}`), payload])

export function verify(raw, kind, limit) {
  const signed = parseSigned(raw, limit)
  checkSigningKey(signed.key)
  const message = toBeSigned(signed.key, kind, signed.payload)
  need(sodium.crypto_sign_verify_detached(signed.signature, message, signed.key), 'bad-signature')
  return signed
}
