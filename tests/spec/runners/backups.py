"""Backup files, opened whole."""

from taskferry_protocol.backups import (
    COMMIT_BYTES,
    HEAD_BYTES,
    Opener,
    RecoveryLock,
    header_length,
    key_by_passphrase,
    key_by_recovery,
    read_header,
)


def run_backup(vector):
    """The content of a file, by a seed or a passphrase."""
    data = bytes.fromhex(vector["input"])
    length = HEAD_BYTES + header_length(data[:HEAD_BYTES])
    opening, commit = data[:length], data[length : length + COMMIT_BYTES]
    header = read_header(opening)
    if isinstance(header.lock, RecoveryLock):
        key = key_by_recovery(header.lock, bytes.fromhex(vector["seed"]))
    else:
        key = key_by_passphrase(header.lock, vector["passphrase"])
    opener = Opener(opening, commit, header, key)
    content = opener.feed(data[length + COMMIT_BYTES :])
    opener.finish()
    assert content.hex() == vector["content"]


RUNNERS = {"backup": run_backup}
