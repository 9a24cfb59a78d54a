"""The 256 words that people compare by reading them to each other (spec/words.txt): one byte a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["WORDS", "same_words", "words_for"]

_TEXT: Final = """
acorn actor adobe agent album alley amber anchor angle ankle apple apron arrow aspen atlas attic
autumn award bacon badge bagel baker bamboo banjo barn basin beach beetle bench berry bicycle birch
blanket blossom boat bolt bonnet border bottle brick broom bucket buffalo button cabin cactus camel
candle carbon castle cedar cello chalk cherry chimney cider cinema circle clock cobra coffee comet
copper coral cotton cousin cradle cricket crystal cuckoo curtain daisy dancer dawn desert diamond
dinner dolphin domino donkey dragon drum duck dune eagle earth echo elbow elephant ember engine
envelope escort fabric falcon farmer feather fence ferry fiddle finger flame flute forest fossil
fountain fox frost galaxy garden gazelle ginger giraffe glacier glove goblet gondola grape guitar
hammer harbor hazel helmet hermit hill honey hotel humid husky igloo index insect iron island ivory
jacket jaguar jasmine jelly jigsaw jungle kayak kernel kettle kitchen kiwi knight koala ladder
lagoon lantern lemon letter lily linen lizard lobster lotus lumber lyric magnet mango maple marble
meadow melon mentor metal mirror mitten monkey mosaic motor muffin museum napkin needle nephew nest
nickel noodle north nugget nutmeg oasis ocean office olive onion opera orange orchid otter oven
oyster paddle panda parrot pebble pencil pepper piano pigeon pillow pirate planet plum pocket poem
potato prism pumpkin puzzle python quartz queen quilt rabbit radio raft rainbow raven ribbon river
robin rocket rope ruby rudder saddle salmon sandal saturn scarf school shadow sheep shovel silver
sketch spider spruce squirrel stone sugar summer sunset swan table tailor tango teapot temple
thunder tiger timber
"""

WORDS: Final[Sequence[str]] = tuple(_TEXT.split())


def words_for(data: bytes) -> tuple[str, ...]:
    """The word of each byte."""
    return tuple(WORDS[byte] for byte in data)


def same_words(typed: str, words: Sequence[str]) -> bool:
    """Whether somebody typed these words, in this order; case, spaces, commas and hyphens do not matter."""
    spaced = "".join(character if character.isalpha() else " " for character in typed)
    return spaced.casefold().split() == list(words)
