"""Parts of tasks, artifacts and messages: from what an agent sends, and to what an agent reads."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.ids import sha256
from taskferry_protocol.limits import PART_TEXT_BYTES, PARTS
from taskferry_protocol.messages import BlobPart, FilePart, JsonPart, Part, TextPart

from .body import Json, compact
from .errors import too_large
from .fields import Choice, Form, Listed, Nested, Text, Values, bad_value, optional, required, wrong_type
from .kinds import AnyJson, Base64

__all__ = ["ATTACHED_BYTES", "FILES", "PARTS_FIELD", "artifact_part", "attached", "json_part", "part_object"]

#: Decoded bytes of all files of one request. What fits an envelope is less; the refusal names the limit.
ATTACHED_BYTES: Final = 400 * 1024

_FILE_NAME: Final = Text(255, 1, pattern=r"[^/\\\x00-\x1f\x7f-\x9f]+", wanted="a plain file name")
_MEDIA: Final = Text(127, 1, pattern=r"[ -~]+", wanted="a media type such as text/markdown")
_PART_NAME: Final = Text(255)
_PLAIN: Final = "application/octet-stream"

_NAME: Final = required("name", _FILE_NAME, "A plain file name, without a path.")
_OF_MEDIA: Final = optional("media", _MEDIA, "Its media type.", _PLAIN)
_DATA: Final = required("data_base64", Base64(), "The bytes.")

#: Small files that travel inside the envelope.
FILES: Final = optional(
    "files",
    Listed(Nested(Form.of(_NAME, _OF_MEDIA, _DATA)), PARTS),
    f"Files, at most {ATTACHED_BYTES} bytes decoded in all.",
    (),
)

_KIND: Final = required("kind", Choice(("text", "json", "file")), "What the part holds.")
_TEXT: Final = optional("text", Text(PART_TEXT_BYTES), "Of a text part.", None)
_JSON: Final = optional("json", AnyJson(), "Of a json part: any value but null.", None)
_ANY_NAME: Final = optional("name", _PART_NAME, "A name; files need one.", "")
_ANY_DATA: Final = optional("data_base64", Base64(), "Of a file part.", None)

#: Parts in an order of the caller's choosing; `files` come after them.
PARTS_FIELD: Final = optional(
    "parts",
    Listed(Nested(Form.of(_KIND, _TEXT, _JSON, _ANY_NAME, _OF_MEDIA, _ANY_DATA)), PARTS),
    "Text, JSON and files in a chosen order.",
    (),
)


def attached(parts: tuple[Values, ...], files: tuple[Values, ...]) -> tuple[Part, ...]:
    """The parts that `parts` and `files` stand for. Raises DaemonRefusal: bad-value, too-large."""
    made = [_any_part(given, f"parts[{index}]") for index, given in enumerate(parts)]
    made += [
        _file(given[_NAME], given[_OF_MEDIA], given[_DATA], f"files[{index}].name")
        for index, given in enumerate(files)
    ]
    if len(made) > PARTS:
        raise bad_value("files", f"At most {PARTS} parts fit in one message.")
    if sum(part.size for part in made if isinstance(part, FilePart)) > ATTACHED_BYTES:
        raise too_large(ATTACHED_BYTES, "files")
    return tuple(made)


def _any_part(given: Values, where: str) -> Part:
    kind, name = given[_KIND], given[_ANY_NAME]
    text, value, data = given[_TEXT], given[_JSON], given[_ANY_DATA]
    if kind == "text" and text is not None:
        return TextPart(text, name)
    if kind == "json" and value is not None:
        return json_part(value, f"{where}.json", name)
    if kind == "file" and data is not None:
        _FILE_NAME.read(name, f"{where}.name")
        return _file(name, given[_OF_MEDIA], data, f"{where}.name")
    wanted = "data_base64" if kind == "file" else kind
    raise bad_value(f"{where}.{wanted}", f"A part of kind {kind} needs {wanted}.")


def _file(name: str, media: str, data: bytes, where: str) -> FilePart:
    if name in (".", ".."):
        raise bad_value(where, f"{where} must be a plain file name.")
    return FilePart(name, media, len(data), sha256(data), data)


def json_part(value: Json, where: str, name: str = "") -> JsonPart:
    """A value as a part. Raises DaemonRefusal(too-large)."""
    encoded = compact(value)
    if len(encoded) > PART_TEXT_BYTES:
        raise too_large(PART_TEXT_BYTES, where)
    return JsonPart(encoded.decode(), name)


def artifact_part(kind: str, content: Json, name: str) -> Part:
    """The part that an artifact's `content` stands for.

    `kind` is `json` for any value, `file` for base64, anything else (text, markdown, diff, …) or none for a
    text; a value of those that is no text is JSON. Raises DaemonRefusal.
    """
    if kind == "json" or (kind != "file" and not isinstance(content, str)):
        return json_part(content, "content", name)
    if not isinstance(content, str):
        raise wrong_type("content", f"a text, as the artifact's type is {kind}")
    if kind == "file":
        if not name:
            raise bad_value("name", "A file needs a name.")
        _FILE_NAME.read(name, "name")
        data = Base64().read(content, "content")
        if len(data) > ATTACHED_BYTES:
            raise too_large(ATTACHED_BYTES, "content")
        return _file(name, _PLAIN, data, "name")
    if len(content.encode()) > PART_TEXT_BYTES:
        raise too_large(PART_TEXT_BYTES, "content")
    return TextPart(content, name)


def part_object(index: int, part: Part) -> dict[str, object]:
    """A part as it is shown: text and JSON as they are, of files what is known of them.

    `part` is the number by which the download path knows it.
    """
    shown: dict[str, object] = {"part": index, "name": part.name, "size": part.size}
    match part:
        case TextPart():
            return {"kind": "text", **shown, "text": part.text}
        case JsonPart():
            return {"kind": "json", **shown, "json": part.json}
        case FilePart():
            return {"kind": "file", **shown, "media": part.media, "sha256": part.sha256.hex()}
        case BlobPart():
            return {"kind": "blob", **shown, "media": part.media, "sha256": part.sha256.hex()}
