"""Reads the spatial relations that a text-to-image prompt states in English.

The prompt is cut into words and sentences, relation wordings are matched word by word against one
table, and the words between them are split into noun phrases. How phrases and relations belong
together is then a matter of the small words at the seams; ``parse`` states the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .relations import Relation, Scene, Span, SpatialRelation


def parse(prompt: str) -> Scene:
    """Find the spatial relations of a prompt, in time linear in its length.

    Reading rules:

    - A relation ties the noun phrases around it; nothing is tied across the end of a sentence
      (``. ! ? ;``, an empty line, ``BREAK``). A line break elsewhere reads as a comma.
    - The subject is the head of its phrase: in "a cat in a box above a table" the cat. A photo or
      a painting "of" something, a group "of", a room "with" give way to what they show or hold.
    - "A above B below C" is a chain: B is the subject of the second relation, and of any that
      "which is" introduces. After "and" or a comma the first subject goes on: "A above B and left
      of C". If a noun phrase follows the "and", it is a subject when a relation follows it
      ("A above B and C left of D"), else one more object ("A above B and C").
    - "Above A is B", "above A there is B" and "above A, B" are B above A.
    - "X between A and B" reads from left to right: X is right of A and left of B.
    - "A on the left and B on the right" relates neighbours whose places in the image differ.
    - "it" and "them" stand for the head phrase last named in the sentence.
    - "not above", figures of speech and objects without a place ("under construction", "over the
      years", "under a starry sky") state no relation.

    Spans hold adjectives, compounds and possessives, but no determiners and no prompt weights;
    emphasis that divides a phrase, as in "(red:1.2) dog", leaves the part with the noun.

    Returns:
        The scene; its relations are in reading order, and none if the prompt states none.

    Raises:
        TypeError: the prompt is not a string.
    """
    found = (relation for words in _sentences(prompt) for relation in _read(prompt, words))
    return Scene(prompt, tuple(dict.fromkeys(found)))


# --- Vocabulary ------------------------------------------------------------------------------


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Direction words and the axis, x or y, that each fixes.
_X = {"left": -1, "right": 1, "center": 0, "centre": 0, "middle": 0}
_Y = dict.fromkeys(("above", "over", "atop", "top", "upper"), -1) | dict.fromkeys(
    ("below", "under", "underneath", "beneath", "bottom", "lower"), 1
)
_BY_DIRECTION = {relation.direction: relation for relation in Relation}

_DETERMINERS = _set(
    """a an the this that these those some any each every another both several many few my your his her its our their
    one two three four five six seven eight nine ten eleven twelve dozen"""
)
_PRONOUNS = _set("it them him he she they")
_RELATIVES = _set("which that who where whose")
_LINKS = _set("and & plus or")
_COORDINATORS = _LINKS | _set(", but while whereas then")
_COPULAS = _set("is are was were be stands sits lies hangs floats hovers rests flies sleeps sat stood lay appears perches")
_PREPOSITIONS = _set(
    """of with without in on at to by from into onto inside outside through behind against during for like across along
    around among amid before after toward towards off up down out upon within near above below over under"""
)
_TRANSITIVES = _set(
    """wearing holding carrying riding eating chasing pulling pushing watching kicking throwing catching showing featuring
    depicting containing made dressed wears holds carries rides eats chases shows has have looks walks runs jumps swims
    plays leans soars grows looms set put seen kept hung"""
)
_ADVERBS = _set("there here also now again not only just very directly right left together away apart too has been being")
_JOINTS = (
    _RELATIVES - {"that"} | _COORDINATORS | _COPULAS | _PREPOSITIONS | _TRANSITIVES | _ADVERBS - {"very", "left", "right"}
) | _set("will would should must could may might i we you as than so if when because \\(")

#: Nouns that end like participles.
_NOUNS_LIKE_VERBS = _set(
    """building ceiling painting drawing ring king wing string swing clothing wedding railing earring lightning pudding
    evening morning thing spring sling sibling duckling dumpling awning viking icing bed seed shed sled weed reed steed
    breed moped feed speed red biped"""
)
_NOUN_ENDINGS_LIKE_ADVERBS = ("fly", "family", "lily", "elly", "doily", "anomaly", "assembly", "bully", "ally")

#: Nouns that give way to the phrase after "of", as subject and as object.
_MEASURES = _set("group pair couple bunch herd flock pile piece slice number lot row stack set one kind type")
#: Nouns that give way to the phrase after one of ``_SHOWING``, except as the object of a relation.
_FRAMES = _set(
    """photo photograph picture image painting drawing illustration render rendering sketch art artwork shot view scene
    close-up closeup up portrait watercolor depiction snapshot cartoon poster still screenshot print
    room kitchen bedroom bathroom street landscape park garden forest beach field city office"""
)
_SHOWING = _set("of with where showing featuring depicting containing")
#: Head nouns that have no place in an image.
_PLACELESS = _set(
    """all nothing none everything anything other others way year years time times weeks days months decade decades
    century centuries hours minutes future past construction control attack pressure influence stress arrest repair
    repairs development renovation accord course age old zero average freezing light lights lighting sunlight moonlight
    daylight starlight candlelight rain sky skies cover circumstances conditions supervision distance death perfection
    expectations budget end impossible"""
)

# --- Wordings --------------------------------------------------------------------------------

_SOFTLY = (
    r"(?:(?:directly|just|immediately|slightly|somewhat|diagonally|exactly|closely|positioned|high|low|far|well|way|up"
    r"|down|off|very|right|over|a bit|a little) ){0,3}"
)
_THE = r"(?:(?:the|its|their|his|her) )?(?:(?:far|very|immediate|direct|extreme) )?"
_TO_THE = rf"(?:(?:to|on|at|in|by|towards?) )?{_THE}"
_SIDE = r"(?:left|right)"
_PART = r"(?: hand side| side| edge| part| half| corner)?"
_UPRIGHT = r"(?:above|over|atop|below|underneath|under|beneath)"
_END = rf"(?:on|at|to) {_THE}(?:top|bottom){_PART}"
_IMAGE = r"(?: of (?:the|an?|this) (?:image|picture|photo|photograph|frame|scene|screen|canvas|shot|composition))"

#: What relates two phrases, the longer wording first; the direction words in it say which relation it is.
_WORDINGS = (
    rf"(?:{_UPRIGHT}|{_END}(?: of)?) and {_SOFTLY}{_TO_THE}{_SIDE}{_PART} of",
    rf"{_UPRIGHT} (?:to the )?{_SIDE}{_PART} of",
    rf"(?:to {_THE})?{_SIDE}{_PART}(?: of)? and {_SOFTLY}{_UPRIGHT}(?: of)?",
    rf"{_TO_THE}(?:upper|lower|top|bottom) {_SIDE}{_PART} of",
    rf"{_TO_THE}{_SIDE}{_PART} of",
    rf"{_END} of",
    r"side by side with|(?:on|at|by|to) (?:the |one )?side of|in (?:the )?(?:vicinity of|proximity (?:of|to))",
    r"next to|near(?: to)?|nearby(?: to)?|beside|close to|adjacent to|alongside(?: of)?",
    r"(?:in )?between",
    rf"{_UPRIGHT}(?: of)?",
)
_IDIOMS = (
    r"all over|over and over|over (?:there|here)|over (?:the|his|her|its|their|one's) shoulders?|the (?:near|above|below)",
    r"(?:looking|facing|turned|turning|pointing|looks|turns|points)(?: (?:to|towards?))? (?:the |his |her |its )?"
    rf"{_SIDE}(?! (?:side )?of)",
)
_CENTERED = rf"(?:(?:(?:upper|lower|top|bottom) )?{_SIDE}|top|bottom|center|centre|middle){_PART}"
#: A place in the image stands alone: "in the left hand" and "on top form" are none.
_ALONE = rf"(?=$| (?:{'|'.join(map(re.escape, sorted(_JOINTS | _DETERMINERS)))}|\w+ing)(?!\S))"
_MARK = re.compile(
    rf"(?<!\S)(?:(?P<idiom>{'|'.join(_IDIOMS)})|(?P<framed>(?:on|at|in) {_THE}{_CENTERED}{_IMAGE})"
    rf"|(?P<negation>not )?{_SOFTLY}(?P<relation>{'|'.join(_WORDINGS)})"
    rf"|(?P<place>(?:on|at|to|in) {_THE}{_CENTERED}{_ALONE}))(?!\S)"
)
_TOKEN = re.compile(
    r"""(?P<weight>:\s*[-+]?(?:\d+(?:\.\d*)?|\.\d+)\s*(?=\)))
    | (?P<end>[.!?;。！？；]|\n[^\S\n]*\n|\b(?-i:BREAK)\b(?!-))
    | (?P<line>\n)
    | (?P<pause>[,:|，、–—]|-(?=\s)|<[^<>]*>|embedding:\S+)
    | (?P<word>\b(?:st|mr|mrs|ms|dr)\.(?=\ \w)|\d+(?:[.,]\d+)*\w*|\w+(?:['’-]\w+)*|&|\\\()""",
    re.VERBOSE | re.IGNORECASE,
)
#: Words that a line may break after, or before, without a pause.
_HANGING = _DETERMINERS | _COPULAS | _PREPOSITIONS | _X.keys() | _Y.keys() | {"and", "next", "close", "adjacent", "beside"}
