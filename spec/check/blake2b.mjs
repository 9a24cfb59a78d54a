// BLAKE2b-256 under a key and a personal name (envelope.md section 4, identity.md sections 8, 10 and 11).
// The wrappers' function of this purpose takes no message; the one of libsodium that is below it does.

import sodium from 'libsodium-wrappers-sumo'

const SIZE = 32

export function keyed(key, words, message = new Uint8Array()) {
  const library = sodium.libsodium
  const person = new Uint8Array(16)
  person.set(new TextEncoder().encode(words))
  const places = [new Uint8Array(SIZE), message, key, new Uint8Array(16), person].map((bytes) => {
    const place = library._malloc(Math.max(1, bytes.length))
    library.HEAPU8.set(bytes, place)
    return place
  })
  const [out, input, secret, salt, name] = places
  // A length of 64 bits is given as its low and its high half.
  const status = library._crypto_generichash_blake2b_salt_personal(
    out, SIZE, input, message.length, 0, secret, key.length, salt, name,
  )
  const digest = library.HEAPU8.slice(out, out + SIZE)
  places.forEach((place) => library._free(place))
  if (status !== 0) throw new Error('libsodium hashes no such thing')
  return digest
}
