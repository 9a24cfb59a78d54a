"""Inputs of vectors, taken for what the vectors say that they are."""

from taskferry_protocol import cbor


def raw(text):
    """The byte string of some hex."""
    return bytes.fromhex(text)


def raws(items):
    """Byte strings from hex."""
    return [bytes.fromhex(item) for item in items]


def decoded(data):
    """The value that some bytes encode."""
    return cbor.decode(data)
