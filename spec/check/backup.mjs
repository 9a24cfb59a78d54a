// Backup files (backup.md): the header, who may open it, and the chunks.

import sodium from 'libsodium-wrappers-sumo'
import { keyed } from './blake2b.mjs'
import { decode } from './cbor.mjs'
import { checkEncryptionKey } from './cose.mjs'
import { expectEqual, hex, need, refuse, same, unhex } from './refusal.mjs'
import { bstr, map, time, uint } from './shape.mjs'

const CHUNK = 65_536
const TAG = 16

function parts(value) {
  need(Array.isArray(value), 'wrong-type')
  need(value.length <= 8, 'too-many')
  need(value.length >= 1, 'bad-value')
  for (const part of value) {
    need(Array.isArray(part), 'wrong-type')
    need(part.length === 2, 'bad-value')
    need(typeof part[0] === 'string', 'wrong-type')
    need(/^[a-z]{1,32}$/.test(part[0]), 'bad-value')
    uint(0, 2 ** 48)(part[1])
  }
  need(new Set(value.map((part) => part[0])).size === value.length, 'bad-value')
}

const COMMON = { v: uint(), at: time, account: bstr(32), parts, lock: () => true }
const LOCKS = {
  recovery: map({ ...COMMON, to: bstr(32), sealed: bstr(80) }),
  passphrase: map({ ...COMMON, salt: bstr(16), ops: uint(1, 16), memory: uint(8_192, 2 ** 30) }),
}

function readHeader(raw) {
  const header = decode(raw, 4_096)
  map({ v: uint() }, { open: true })(header)
  need(header.get('v') === 1, 'unknown-version')
  map({ lock: () => true }, { open: true })(header)
  const lock = header.get('lock')
  need(typeof lock === 'string', 'wrong-type')
  need(Object.hasOwn(LOCKS, lock), 'bad-value')
  return LOCKS[lock](header)
}

function keyOf(header, vector) {
  if (header.get('lock') === 'passphrase') {
    const algorithm = sodium.crypto_pwhash_ALG_ARGON2ID13
    const [salt, ops, memory] = ['salt', 'ops', 'memory'].map((name) => header.get(name))
    return sodium.crypto_pwhash(32, vector.passphrase, salt, Number(ops), Number(memory), algorithm)
  }
  checkEncryptionKey(header.get('to'))
  const secret = keyed(unhex(vector.seed), 'tf1 backup box')
  need(same(sodium.crypto_scalarmult_base(secret), header.get('to')), 'bad-wrap')
  try {
    return sodium.crypto_box_seal_open(header.get('sealed'), header.get('to'), secret)
  } catch {
    return refuse('bad-wrap')
  }
}

function open(chunk, index, final, key) {
  const nonce = new Uint8Array(24)
  new DataView(nonce.buffer).setUint32(19, index)
  nonce[23] = final ? 1 : 0
  try {
    return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, chunk, null, nonce, key)
  } catch {
    return refuse('bad-ciphertext')
  }
}

function read(vector) {
  const data = unhex(vector.input)
  need(data.length >= 12 && same(data.subarray(0, 8), Buffer.from('tfbackup')), 'malformed')
  const length = new DataView(data.buffer, data.byteOffset).getUint32(8)
  need(length <= 4_096, 'too-large')
  const end = 12 + length
  need(data.length >= end, 'malformed')
  const header = readHeader(data.subarray(12, end))
  const key = keyOf(header, vector)
  const bound = sodium.crypto_generichash(32, sodium.crypto_hash_sha256(data.subarray(0, end)), key)
  need(same(keyed(bound, 'tf1 backup comm'), data.subarray(end, end + 32)), 'bad-commit')
  const contentKey = keyed(bound, 'tf1 backup')
  let left = header.get('parts').reduce((sum, part) => sum + Number(part[1]), 0)
  const content = []
  for (let at = end + 32, index = 0, final = false; !final; index += 1) {
    final = left <= CHUNK
    const size = Math.min(left, CHUNK) + TAG
    need(data.length >= at + size, 'malformed')
    content.push(open(data.subarray(at, at + size), index, final, contentKey))
    at += size
    left -= size - TAG
    if (final) need(at === data.length, 'malformed')
  }
  return Buffer.concat(content)
}

export const RUNNERS = {
  backup: (vector) => {
    const content = read(vector)
    expectEqual(hex(content), vector.content)
  },
}
