// Linking a device, letter by letter, from both sides (identity.md section 11).

import { readFileSync } from 'node:fs'
import sodium from 'libsodium-wrappers-sumo'
import { checkRecord, fold, record } from './account.mjs'
import { keyed } from './blake2b.mjs'
import { decode, encode } from './cbor.mjs'
import { sign } from './cose.mjs'
import { expectEqual, hex, need, refuse, same, unhex } from './refusal.mjs'
import * as is from './shape.mjs'

const LIMIT = 2_048
const MINUTES_10 = 600_000
const WORDS = readFileSync(new URL('../words.txt', import.meta.url), 'utf8').trim().split('\n')
const [GIVEN_UP, COMMITMENT, OFFER, REVEAL, CONSENT, LINKED] = [0, 1, 2, 3, 4, 5]
const hash = is.bstr(32)
const FIELDS = {
  [GIVEN_UP]: [is.tstr(1, 64)],
  [COMMITMENT]: [hash],
  [OFFER]: [hash, record(true)],
  [REVEAL]: [hash, hash, is.position, hash, is.name, is.bool],
  [CONSENT]: [is.bstr()],
  [LINKED]: [is.position],
}

function readLetter(raw) {
  const letter = decode(raw, LIMIT)
  need(Array.isArray(letter), 'wrong-type')
  const [number, ...fields] = letter
  need(typeof number === 'number' && Object.hasOwn(FIELDS, number), 'bad-value')
  is.tuple(...FIELDS[number])(fields)
  return { number, fields }
}

const committed = (nonce, revealed) => keyed(nonce, 'tf1 link commit', encode(revealed))
const lowered = (typed) => typed.toLowerCase().match(/[a-z]+/g) ?? []

// The words that the new machine shows, and those of the managing one.
function wordsOf(nonce, letters) {
  const words = [...keyed(nonce, 'tf1 link words', Buffer.concat(letters))].slice(0, 6).map((byte) => WORDS[byte])
  return { newcomer: words.slice(0, 3), managing: words.slice(3) }
}

function withoutManage(offered, manage) {
  return manage ? offered : new Map([...offered].filter(([key]) => key !== 'manage'))
}

// What both sides have in common: ten minutes, one try, and letters that come in their turn.
class Side {
  constructor(start) {
    this.end = start + MINUTES_10
    this.letters = []
    this.awaited = new Set()
  }

  take(step) {
    need(step.at < this.end, 'expired')
    if ('typed' in step) return this.typed(step.typed)
    const raw = unhex(step.letter)
    const { number, fields } = readLetter(raw)
    if (number === GIVEN_UP) refuse(fields[0])
    need(this.awaited.delete(number), 'unexpected-frame')
    return this.receive[number].call(this, fields, raw)
  }

  typed(text) {
    need(this.awaited.delete('words'), 'unexpected-frame')
    need(lowered(text).join(' ') === this.theirs.join(' '), 'words-differ')
    return this.confirmed()
  }
}

class Newcomer extends Side {
  constructor(vector) {
    super(vector.now_ms)
    const { signing, encryption, manage, label } = vector.keys
    const publicOf = (seed) => sodium.crypto_sign_seed_keypair(unhex(seed)).publicKey
    this.seed = unhex(signing)
    this.device = new Map([
      ['id', publicOf(signing)], ['enc', [1, sodium.crypto_scalarmult_base(unhex(encryption))]], ['label', label],
      ['manage', publicOf(manage)],
    ])
    this.nonce = unhex(vector.nonce)
    this.awaited.add(COMMITMENT)
  }

  receive = {
    [COMMITMENT]: ([commitment], raw) => {
      this.commitment = commitment
      const offer = encode([OFFER, this.nonce, this.device])
      this.letters.push(raw, offer)
      this.awaited.add(REVEAL)
      return [offer]
    },
    [REVEAL]: ([nonce, ...revealed], raw) => {
      need(same(committed(nonce, revealed), this.commitment), 'bad-commit')
      const { newcomer, managing } = wordsOf(nonce, [...this.letters, raw])
      Object.assign(this, { revealed, words: newcomer, theirs: managing })
      this.awaited.add('words')
      return []
    },
    [LINKED]: () => [],
  }

  confirmed() {
    const [account, [length], , , manage] = this.revealed
    const said = new Map([['account', account], ['seq', length], ['device', withoutManage(this.device, manage)]])
    this.awaited.add(LINKED)
    return [encode([CONSENT, sign(this.seed, 'device-consent', encode(said))])]
  }
}

class Managing extends Side {
  constructor(vector) {
    super(vector.now_ms)
    this.account = fold(vector.statements.map(unhex))
    const { heads, name } = this.account
    this.nonce = unhex(vector.nonce)
    this.manage = vector.manage
    this.told = [heads[0], [heads.length, heads.at(-1)], unhex(vector.device), name, vector.manage]
    this.letters.push(encode([COMMITMENT, committed(this.nonce, this.told)]))
    expectEqual(hex(this.letters[0]), vector.first)
    this.awaited.add(OFFER)
  }

  receive = {
    [OFFER]: ([, offered], raw) => {
      checkRecord(offered)
      const reveal = encode([REVEAL, this.nonce, ...this.told])
      const { newcomer, managing } = wordsOf(this.nonce, [...this.letters, raw, reveal])
      Object.assign(this, { offered, words: managing, theirs: newcomer })
      this.awaited.add('words').add(CONSENT)
      return [reveal]
    },
    [CONSENT]: ([consent]) => {
      const device = withoutManage(this.offered, this.manage)
      const place = new Map([['seq', this.account.heads.length]])
      this.account.consent(consent, 'device-consent', device.get('id'), { device }, place)
      return []
    },
  }

  confirmed() {
    return []
  }
}

function play(side, vector) {
  for (const step of vector.steps) expectEqual(side.take(step).map(hex), step.out)
  expectEqual({ words: side.words }, vector.decoded)
  return side
}

export const RUNNERS = {
  'link-new': (vector) => play(new Newcomer(vector), vector),
  'link-managing': (vector) => {
    const side = play(new Managing(vector), vector)
    if (side.awaited.size > 0) throw new Error('words or a consent are missing')
  },
}
