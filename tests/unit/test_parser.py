"""What the parser's rules read in prompts, wording by wording, and what the network leaves of it."""

from __future__ import annotations

import time
import unicodedata

import pytest

from steering_core.front_end import prompt_as_json
from steering_core.parser import objects, parse, reader
from steering_core.parser.rules import read_by_rules
from steering_core.relations.scene import Scene

WORDINGS = {
    "left_of": (
        "left of", "to the left of", "on the left of", "on the left side of", "at the left of", "in the left of",
        "to the left side of", "to the immediate left of", "on the left-hand side of", "just to the left of",
        "sitting to the left of", "far to the left of", "over to the left of", "to left of",
    ),
    "right_of": (
        "right of", "to the right of", "on the right of", "on the right side of", "directly to the right of",
        "that is to the right of", "standing on the right of",
    ),
    "above": (
        "above", "over", "atop", "on top of", "on the top of", "at the top of", "directly above", "right above",
        "is standing above", "hovers over", "up on top of", "high above", "can be seen above", "on the top side of",
    ),
    "below": (
        "below", "under", "underneath", "beneath", "on the bottom of", "at the bottom of", "just below",
        "which is placed under", "at the very bottom of", "right below",
    ),
    "above_left": (
        "above and to the left of", "above and left of", "above-left of", "to the upper left of", "top-left of",
        "to the left and above", "to the left of and above", "to the top left of", "on top and to the left of",
        "diagonally above and slightly to the left of", "above left of",
    ),
    "above_right": (
        "on the upper right of", "above and to the right of", "at the top right corner of", "over and to the right of",
        "above to the right of",
    ),
    "below_left": ("at the lower left of", "below and to the left of", "under and to the left of", "bottom left of"),
    "below_right": ("below and to the right of", "bottom right of", "to the right and below", "below-right of"),
    "near": (
        "next to", "near", "beside", "on side of", "on the side of", "by the side of", "close to", "adjacent to",
        "alongside", "is right next to", "very close to", "side by side with",
    ),
}  # fmt: skip

#: The objects of VISOR and GenEval.
COCO = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove,
skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple,
sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining
table, toilet, tv, tv remote, laptop, computer mouse, computer keyboard, cell phone, microwave, oven,
toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush
"""

SENTENCES = [
    # Lists, and what stands apart from them.
    ("a lamp on a table and a clock on the wall", "lamp above table"),
    ("a bird above a tree and a dog inside a house", "bird above tree"),
    ("a table with a book, a pen and a cup on it", "book above table; pen above table; cup above table"),
    ("a man, a woman and a child on a bench", "man above bench; woman above bench; child above bench"),
    ("On the shelf are a jar, a clock and a radio.", "jar above shelf; clock above shelf; radio above shelf"),
    ("On the desk next to the bed stands a lamp.", "desk near bed; lamp above desk"),
    ("a boy and his robot side by side", "boy near robot"),
    ("a vase of tulips and roses stands on a stool", "vase above stool"),
    # What pronouns stand for.
    ("a bowl on a counter, chopsticks beside it", "bowl above counter; chopsticks near bowl"),
    ("A boat floats above a city, and beneath it hangs a lantern.", "boat above city; lantern below boat"),
    ("To the left of the tray stands a jug, to the right a cup.", "jug left_of tray; cup right_of tray"),
    ("a robot, a bird on its shoulder, a deer beside it", "bird above shoulder; deer near robot"),
    ("a turtle on its back", ""),
    ("The captain, a tall woman, stands next to a cannon.", "captain near cannon"),
    # Labels and lettering.
    ("Barcode: bottom right. Masthead: top.", "Barcode at_bottom_right; Masthead at_top"),
    ("Subject: a kettle\nPlacement: on a stove\nBehind: a window", "kettle above stove; window behind kettle"),
    ('poster, text "SALE" at the top', "text at_top"),
    ('a sign that says "cats above dogs"', ""),
    ("a cabin by the lake, a portrait by the master", "cabin near lake"),
    ("a woman walking her dog, a tall building behind her", "tall building behind woman"),
    # between
    ("a cat between a dog and a bird", "cat right_of dog; cat left_of bird"),
    ("a cat is sitting in between a red dog and the bird.", "cat right_of red dog; cat left_of bird"),
    ("a cat between a dog and a bird above a table", "cat right_of dog; cat left_of bird; bird above table"),
    ("a cat between two dogs", "cat near dogs"),
    ("a cat flanked by a dog and a bird", "cat right_of dog; cat left_of bird"),
    ("a difference between a dog and a cat", ""),
    # chains and conjunctions
    ("a frog above a sneaker below a teapot", "frog above sneaker; sneaker below teapot"),
    ("a dog left of a cat and a car above a bus", "dog left_of cat; car above bus"),
    ("a dog left of a cat, and a car above a bus", "dog left_of cat; car above bus"),
    ("a dog left of a cat, a car above a bus", "dog left_of cat; car above bus"),
    ("a dog left of a cat while a bird flies above a house", "dog left_of cat; bird above house"),
    ("a dog and a cat above a table", "dog above table; cat above table"),
    ("a dog above a table and a cat", "dog above table; dog above cat"),
    ("a dog above a cat and a bird is flying", "dog above cat"),
    ("a dog above a cat, which is to the left of a bird", "dog above cat; cat left_of bird"),
    ("a dog above a cat that is left of a bird", "dog above cat; cat left_of bird"),
    ("a dog above a cat and to the left of a bird", "dog above cat; dog left_of bird"),
    ("a dog is above a cat and is left of a bird", "dog above cat; dog left_of bird"),
    ("a dog, above a cat, is left of a bird", "dog above cat; dog left_of bird"),
    ("a dog not above a cat but left of a bird", "dog left_of bird"),
    ("a dog above a cat and a car and to the left of a bird", "dog above cat; dog above car; dog left_of bird"),
    ("a dog left of a cat above a car right of a bus", "dog left_of cat; cat above car; car right_of bus"),
    # inverted order and places
    ("To the left of a cat is a dog", "dog left_of cat"),
    ("above the car there is a bird", "bird above car"),
    ("Above the car, a bird flies.", "bird above car"),
    ("Under the table sleeps a dog", "dog below table"),
    ("below a table a dog is sleeping", "dog below table"),
    ("To the left of a cat is a dog above a bird", "dog left_of cat; dog above bird"),
    ("a dog and a car. On top of the car sits a cat", "cat above car"),
    ("a dog on the left and a cat on the right", "dog at_left; cat at_right"),
    ("a cat on the right, a dog on the left", "cat at_right; dog at_left"),
    ("on the left a dog, on the right a cat", "dog at_left; cat at_right"),
    ("On the left is a dog and on the right is a cat", "dog at_left; cat at_right"),
    ("on the left, a dog and on the right, a cat", "dog at_left; cat at_right"),
    ("a dog on the left side of the image and a cat on the right side of the image", "dog at_left; cat at_right"),
    ("a dog in the top left corner and a cat in the bottom right corner", "dog at_top_left; cat at_bottom_right"),
    ("a dog in the lower left and a cat in the upper right corner", "dog at_bottom_left; cat at_top_right"),
    ("a dog on the left, a bird in the middle and a cat on the right", "dog at_left; bird at_center; cat at_right"),
    ("a dog at the top and a cat at the bottom", "dog at_top; cat at_bottom"),
    ("a dog in the top center, a cat in the lower half", "dog at_top; cat at_bottom"),
    ("a dog on the left and a cat at the top", "dog at_left; cat at_top"),
    ("a dog on the left side of the image", "dog at_left"),
    ("a dog off to the left of the frame", "dog at_left"),
    ("a dog in the right upper corner, a cat left bottom", "dog at_top_right; cat at_bottom_left"),
    ("a dog far left, a cat far right", "dog at_left; cat at_right"),
    ("a dog up in the left corner, a cat low in the right corner", "dog at_top_left; cat at_bottom_right"),
    ("a dog lower half, a cat upper third", "dog at_bottom; cat at_top"),
    ("a dog on the left of a cat on the right", "dog left_of cat; cat at_right"),
    ("a dog above a cat in the lower right corner", "dog above cat; cat at_bottom_right"),
    ("a dog in the center, a cat to the left of the dog", "dog at_center; cat left_of dog"),
    ("left: a dog, right: a cat", "dog at_left; cat at_right"),
    ("a room, top left corner: a dog ; Bottom: cat", "dog at_top_left; cat at_bottom"),
    ("a dog left, a cat right", "dog at_left; cat at_right"),
    ("in the middle of the square there is a dog", "dog at_center"),
    ("a girl holding a balloon on the left", "girl at_left"),
    ("a girl with a hat, on the left a dog", "dog at_left"),
    # of what is beside others
    ("a dog to the left and a cat to the right", "dog left_of cat"),
    ("a dog on top and a cat at the bottom", "dog above cat; cat at_bottom"),
    ("a dog to the left, a cat on the right", "dog left_of cat; cat at_right"),
    # depth, which is no place
    ("a dog in front of a cat", "dog in_front_of cat"),
    ("a dog right behind a cat, a bird behind it", "dog behind cat; bird behind cat"),
    ("behind a cat stands a dog", "dog behind cat"),
    ("a dog in front of a cat, a barn behind them", "dog in_front_of cat; barn behind dog"),
    ("a dog in the foreground and a cat in the misty background", "dog in_foreground; cat in_background"),
    ("a dog with a cat in the background", "cat in_background"),
    ("foreground: a dog, background: a cat", "dog in_foreground; cat in_background"),
    ("a dog above a cat behind a bird", "dog above cat; cat behind bird"),
    # what is not to be drawn
    ("a moon, avoid text at the bottom, a dog on the left", "dog at_left"),
    ("don't place a lamp left of the bed. A cat on the bed", "cat above bed"),
    ("(avoid text) a cat above a dog", "cat above dog"),
    ("Don't show people - a cat above a dog", "cat above dog"),
    ("Leave space above the cat and put the dog to the left of the cat", "dog left_of cat"),
    ("leaving room for a title and a dog to the left of a car", "dog left_of car"),
    ("leaving the room to the left of a man, a dog", "dog left_of man"),
    ("a never-ending road to the left of a house", "never-ending road left_of house"),
    ("leave some space for text on the left, a dog on the right", "dog at_right"),
    ("a street with nothing on the left and a bus on the right", "bus at_right"),
    ("a street, nothing on the left, a bus on the right", "bus at_right"),
    ("a fox that never sleeps to the left of a hare", "fox left_of hare"),
    ("a fish in the foreground, a bed in the background", "fish in_foreground; bed in_background"),
    ("anything but a dog to the left of a cat", ""),
    # in their order
    ("from left to right: a cat, a dog, a bird", "cat left_of dog; dog left_of bird"),
    ("left to right: cat, dog and bird", "cat left_of dog; dog left_of bird"),
    ("Shelf, from right to left: a jar of honey, a pepper mill", "jar right_of pepper mill"),
    ("from top to bottom a moon, a red cloud and a tree", "moon above red cloud; red cloud above tree"),
    ("from left to right: a photo of a cat, a pair of dogs and a bird", "cat left_of dogs; dogs left_of bird"),
    ("from left to right:\na cat\na dog\na bird", "cat left_of dog; dog left_of bird"),
    ("from left to right: a man with a hat and a cane, a boy", "man left_of boy"),
    ("from left to right: a man and his dog, a woman and her cat", ""),
    ("from left to right: Alice (red hair), Bob (blue hair)", ""),
    ("from left to right, the sky turns from blue to red, a tree", ""),
    ("From left to right: a child, a man, all in blue, plain wall", "child left_of man"),
    ("from left to right stand: a baker, a butcher", "baker left_of butcher"),
    ("left to right: a singer, a drummer, a wall behind them", "singer left_of drummer; wall behind drummer"),
    ("top row, left to right: acorn, hedgehog — bottom row: a fox", "acorn left_of hedgehog"),
    ("From left to right: Athos in blue, Porthos in red", "Athos left_of Porthos"),
    ("a cat, a dog and a bird from left to right", "cat left_of dog; dog left_of bird"),
    ("masterpiece, a cat and a dog lined up in a row, right to left, sunset", "cat right_of dog"),
    ("three friends, a knight, an elf and a dwarf, from left to right", "knight left_of elf; elf left_of dwarf"),
    ("a cup of tea, a plate and a pair of spoons from left to right", "cup left_of plate; plate left_of spoons"),
    ("a shelf with a vase and a clock from left to right", "vase left_of clock"),
    ("a man and his dog, a woman and her cat, from left to right", ""),
    ("a cat and a dog running from left to right", ""),
    ("a gradient of red, green and blue from left to right", ""),
    ("a man walking from left to right, a dog", ""),
    ("a river from left to right with a mill", ""),
    # one above, the other below
    ("the moon above, the sea below", "moon above sea"),
    ("a knight standing below and a dragon flying above", "knight below dragon"),
    ("a city, smog below, gulls above", ""),
    ("a lamp above a table, a cat below", "lamp above table"),
    ("a comet above and to the right of a tower", "comet above_right tower"),
    ("moon above, sea below, a bird between them", "moon above sea; bird below moon; bird above sea"),
    ("a cat on top, a dog below, a bird between them", "cat above dog; bird below cat; bird above dog"),
    ("a bird between the sky and a boat", ""),
    # sentences
    ("A dog is left of a cat. A car is above a bus.", "dog left_of cat; car above bus"),
    ("a dog. above a cat", ""),
    ("a dog! A cat above a bird", "cat above bird"),
    ("a dog left of a cat; a car above a bus", "dog left_of cat; car above bus"),
    ("a dog left of a cat\na car above a bus\nphotorealistic", "dog left_of cat; car above bus"),
    ("a dog to the left\nof a cat", "dog left_of cat"),
    ("a dog on the left side\nof a cat\na bird", "dog left_of cat"),
    ("a dog above\na cat", "dog above cat"),
    ("a dog\n\nabove a cat", ""),
    ("a dog BREAK a cat above a bird", "cat above bird"),
    ("a dog on\tthe   left  of \n a  cat", "dog left_of cat"),
    ("A DOG ABOVE A CAT", "DOG above CAT"),
    # spans
    ("two dogs above some cats", "dogs above cats"),
    ("3 dogs above my cat", "dogs above cat"),
    ("this dog above his other cat", "dog above other cat"),
    ("a small red fire hydrant above the woman's umbrella", "small red fire hydrant above woman's umbrella"),
    ("a dog's bowl under the dogs' bed", "dog's bowl below dogs' bed"),
    ("a half-eaten apple left of a t-shirt", "half-eaten apple left_of t-shirt"),
    ("a man wearing a hat to the left of a tree", "man left_of tree"),
    ("a man wearing sunglasses left of a tree with a swing", "man left_of tree"),
    ("a cat in a box above a table", "cat above table"),
    ("a cat above a table in a field", "cat above table"),
    ("a dog sitting to the left of a cat sleeping on a mat", "dog left_of cat; cat above mat"),
    ("a butterfly above a building", "butterfly above building"),
    ("a red flying bird above a hard rocking chair", "red flying bird above hard rocking chair"),
    ("two flies over a trash can", "flies above trash can"),
    ("a cup of coffee above a pair of shoes", "cup above shoes"),
    ("a man is playing guitar above a table", "man above table"),
    ("one of the dogs above a cat", "dogs above cat"),
    ("a boy kicked a ball over a fence", "boy above fence"),
    ("a dog left of a cat peacefully sleeping", "dog left_of cat"),
    ("a St. Bernard above a cat", "St. Bernard above cat"),
    ("une fenêtre above a café", "une fenêtre above café"),
    # style
    ("a photo of a dog above a cat", "dog above cat"),
    ("an image of a dog and a cat above a table", "dog above table; cat above table"),
    ("oil painting of a dog above a cat, highly detailed, 4k, trending on artstation", "dog above cat"),
    ("masterpiece, best quality, a dog above a cat, 8k", "dog above cat"),
    ("a digital illustration of a dog above a cat", "dog above cat"),
    ("a close-up photo of a group of dogs left of a cat", "dogs left_of cat"),
    ("a painting to the left of a vase", "painting left_of vase"),
    ("a vase next to a painting of a dog", "vase near painting"),
    ("a kitchen with a clock above a stove", "clock above stove"),
    ("In a field, a dog above a cat", "dog above cat"),
    ("in a field a dog above a cat", "dog above cat"),
    # weights and brackets
    ("(dog:1.2) above (cat:0.8)", "dog above cat"),
    ("((red dog)) left of a cat", "red dog left_of cat"),
    ("a (small dog:1.3) [below] {a cat}", "small dog below cat"),
    ("a small (red dog:1.2) above a cat", "red dog above cat"),
    ("(red:1.2) dog above a cat", "dog above cat"),
    ("(a dog above a cat:1.3), (best quality:1.2)", "dog above cat"),
    ("a dog \\(animal\\) above \\(a cat\\)", "dog above cat"),
    ("{red|blue} dog above {a cat|a small bird}", "dog above small bird"),
    ("a {cat|dog} at the top", "dog at_top"),
    ("<lora:style:0.8> a dog, embedding:good.pt a cat above a bird", "cat above bird"),
    ("a dog (to the left of:1.4) a cat", "dog left_of cat"),
    ("a robot (chrome:1.3) above a small (red:1.1) (cat:1.2)", "robot above cat"),
    ("the moon (1.4) above the lake [2]", "moon above lake"),
    ("foreground: a dog above a cat", "dog above cat; dog in_foreground"),
    ("[a dog:0.7] above a __pet__, a bird", ""),
    # on
    ("a dog on a chair", "dog above chair"),
    ("a dog resting on the roof, on the roof a cat", "dog above roof; cat above roof"),
    ("cat on table", "cat above table"),
    ("a dog hanging on a chair", ""),
    ("a logo on a chair", ""),
    # places side by side
    (
        "a tree in the foreground on the left side, mountains in the background",
        "tree at_left; tree in_foreground; mountains in_background",
    ),
    (
        "a rock in the foreground in the lower left corner, a ship in the background",
        "rock at_bottom_left; rock in_foreground; ship in_background",
    ),
    (
        "on the left in the foreground a fox, on the right in the background a barn",
        "fox at_left; barn at_right; fox in_foreground; barn in_background",
    ),
    (
        "a red ball in the foreground on the left, a blue cube in the background on the right",
        "red ball at_left; blue cube at_right; red ball in_foreground; blue cube in_background",
    ),
    (
        "a fox to the left in the foreground, a dog to the right in the background",
        "fox left_of dog; fox in_foreground; dog in_background",
    ),
    ("a fox with a scarf in the foreground on the left", "fox in_foreground"),
    # the same object twice, pronouns
    ("a dog above a cat and a dog below a bird", "dog above cat; dog below bird"),
    ("a dog, and above it a cat", "cat above dog"),
    ("a dog above a cat and to the left of it", "dog above cat; dog left_of cat"),
    ("a dog left of a cat, a bird above it", "dog left_of cat; bird above cat"),
    ("a table and a lamp above it", "lamp above table"),
    ("a dog next to a cat, and above the cat is a bird", "dog near cat; bird above cat"),
    ("flat lay of a knife on the left of a plate", "knife left_of plate"),
    # Sides of what the picture shows as a whole are its own.
    ("a bookshelf on the right side of the room", "bookshelf at_right"),
    ("bed on the left of the bedroom, desk on the right", "bed at_left; desk at_right"),
    ("a tree on the left of the house", "tree left_of house"),
    # What is not to be drawn, under a heading of its own.
    ("a cat on a chair\nNegative prompt: dog on the left, text at top", "cat above chair"),
    ("**Negative prompt:** dog on the left\n\na cat on the right", "cat at_right"),
    ("Positive: a moose left of a lake / Negative: a moose above a lake", "moose left_of lake"),
    ('{"prompt": "a cat left of a dog", "negative_prompt": "a cat right of a dog"}', "cat left_of dog"),
    ('{"avoid": "text on the left", "prompt": "a cat above a dog"}', "cat above dog"),
    ("a cat on a chair --no dog on the left --ar 3:2", "cat above chair"),
    ("Avoid: text on the left. A dog on the right", "dog at_right"),
    ("negative space on the left, a dog on the right", "dog at_right"),
    ("a photo negative: a dog above a cat", "dog above cat"),
]

NO_RELATION = [
    "two dogs, one on the left and one on the right",
    "", " ", "()", "a man left alone", "the right answer", "above all, a cat", "a cat on top form", "right now a dog",
    "a dog turned left", "left-handed man", "a dog over the years", "a house under construction", "near future",
    "a city in the near future", "a power level over 9000", "by the way, a cat", "a bright dog",
    "an overview of a city", "upright piano", "a car left in a garage", "a cat with its left paw raised",
    "a red right hand", "game over", "next to nothing", "a dog and a cat", "a dog not above a cat",
    "a dog under a starry night sky", "flowers all over a field", "a man looking to the left and a dog to the right",
    "a sword in the left hand and a shield in the right hand", "above", "left of", "a dog above", "above a cat",
    "between a dog and a cat", "a cat above it", "the above image", "a dog on fire",
    "a dog on the beach", "a cat on a white background", "a man on a mission",
    "a show on May 5", "a dog with a bow on the left", "a tower with a clock at the top", "a cake with candles on top",
    "a boat in the middle of a lake", "a politician on the right", "a dog left behind", "dog left, town left in ruins",
    "a dog turned left, then right", "a dog to the left", "light behind the scenes", "a dog in front of the camera",
    "a dog not behind a cat", "a dog in front of a white background", "negative space on the right", "a left: 2",
    "a dog at the center of attention", "(left:1.2) dog",
    "no cars in front of a shop", "no cat on the left", "a bench with none of the cats on it",
    "a cat (no dog) above a table", "a vase [no flowers] on a table",
    "left behind: one mitten in the snow",
    "never a dog on the left", "avoid text at the bottom", "a garden, please do not put a lamp left of the bench",
    "an above average dog", "a dog on the right side of history",
    "a hero below himself", "leftover pizza",
    "a man over 30 years old", "a spider far up in the left corner of a window",
    'movie poster "Girl on the Left"', 'headline: "Man found below bridge"', '{"title": "The Fox Under the Hill"}',
    'a banner with "moon over town"', "a scar on the left side of his face", "a logo on the left side of a jacket",
    "a man right behind the wheel", "directly in front of the camera", "high over the moon",
    "flowers to the left or right of a dog", "a bird above or below a tree", "all that is left of the ship",
    "perhaps a fox under the porch, or on top of it", "{null: on the left}",
]  # fmt: skip


def read(prompt: str) -> str:
    """What rules read, relations and places before depth."""
    return said_by(read_by_rules(prompt).scene)


def parsed(prompt: str) -> str:
    """What is read after the network has judged."""
    return said_by(parse(prompt))


def said_by(scene: Scene) -> str:
    said, prompt = [], scene.prompt
    for relation in (*scene.relations, *scene.depth):
        for span in (relation.subject, relation.object):
            assert span is None or (span.text and prompt[span.start : span.end] == span.text)
        of = f" {relation.object.text}" if relation.object else ""
        said.append(f"{relation.subject.text} {relation.relation.value}{of}")
    return "; ".join(said)


@pytest.mark.parametrize(("relation", "words"), [(r, words) for r, wordings in WORDINGS.items() for words in wordings])
def test_wordings(relation: str, words: str) -> None:
    assert read(f"A photo of a red dog {words} the cat's bowl") == f"red dog {relation} cat's bowl"


@pytest.mark.parametrize(("prompt", "relations"), SENTENCES)
def test_sentences(prompt: str, relations: str) -> None:
    assert read(prompt) == relations


@pytest.mark.parametrize("prompt", NO_RELATION)
def test_no_relation(prompt: str) -> None:
    assert read(prompt) == ""


@pytest.mark.parametrize("name", [" ".join(name.split()) for name in COCO.split(",")])
def test_benchmark_objects(name: str) -> None:
    assert parsed(f"a photo of a {name} to the left of a dog") == f"{name} left_of dog"
    assert parsed(f"a photo of a purple {name} above a {name}") == f"purple {name} above {name}"
    assert parsed(f"a dog and a {name} below a cat") == f"dog below cat; {name} below cat"
    assert parsed(f"a {name} left of a bee and a {name} right of a bee") == f"{name} left_of bee; {name} right_of bee"


def test_mentions_of_the_same_object_are_told_apart() -> None:
    first, second = parse("a dog above a cat and a dog below a bird").relations
    assert (first.subject.start, second.subject.start) == (2, 24)


@pytest.mark.parametrize(
    ("prompt", "things"),
    [
        ("a cup to the left of a book, a clock above the book", "cup, book, clock"),
        ("A black cat sleeps on a sofa. The cat is to the left of a lamp.", "black cat, sofa, lamp"),
        ("a red book and a blue book, a cup above the book", "red book, blue book, cup, book"),
        ("the dog on the left, the dog on the right", "dog, dog"),
        ("The cat is to the left of the dog. The dog is above the mouse.", "cat, dog, mouse"),
        ("the cat on the left of the dog, the dog on the right of the cat", "cat, dog"),
        ("cat left of dog, dog above mouse", "cat, dog, mouse"),
        ("dog on the left, dog on the right", "dog, dog"),
        ("the dog left of the tree, the dog right of the tree", "dog, tree, tree"),
        ("the cat behind the sofa, the cat in front of the sofa", "cat, sofa, sofa"),
        ("a lamp to the left of a bed and another lamp to the right of the bed", "lamp, bed, lamp"),
        ("a candle to the left of a cake, a cherry on top of the cake", "candle, cake, cherry"),
        ("1girl on the left, 1girl in the center, 1girl on the right", "1girl, 1girl, 1girl"),
        ("the cup on the left, the cup in the middle, the cup on the right", "cup, cup, cup"),
        ("cup on a table, cup on a chair", "cup, table, cup, chair"),
        ("window above bed, window above desk", "window, bed, window, desk"),
        ("tree, house, tree left of house, tree right of house", "tree, house, tree, house, tree, house"),
        ("from left to right: cup, fork, spoon, cup", "cup, fork, spoon, cup"),
        ("a dog above a cat, a dog below a cat", "dog, cat, dog, cat"),
        ("a dog above the dog", "dog, dog"),
        ("two dogs on the left, the dogs above a rug", "dogs, rug"),
    ],
)
def test_a_thing_that_is_named_again_is_one(prompt: str, things: str) -> None:
    assert ", ".join(span.text for span in objects(prompt)) == things
    assert {span.start for span in parse(prompt).objects} <= {span.start for span in objects(prompt)}


def test_a_pronoun_has_the_span_of_its_phrase() -> None:
    (relation,) = parse("a dog, and above it a cat").relations
    assert relation.object.start == 2


def test_lower_casing_that_lengthens_the_text_keeps_spans() -> None:
    assert read("\u0130\u0130\u0130, an \u0130ris above a cat") == "\u0130ris above cat"


def test_letters_whose_accents_stand_apart_are_of_their_word() -> None:
    prompt = "a crème brûlée to the left of a jalapeño"
    apart = unicodedata.normalize("NFD", prompt)
    (composed,), (decomposed,) = parse(prompt).relations, parse(apart).relations
    assert unicodedata.normalize("NFC", str(decomposed)) == str(composed)


def test_only_strings_are_parsed() -> None:
    with pytest.raises(TypeError):
        parse(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "piece",
    [
        "a dog above a cat and ", "a dog left of a cat. ", "dog ", "right over ", "to the ", "(", "<", ":1", "1", "\n ",
        "a-", "on the left ", "left: ", "a dog left, ", "behind ", "of ", "it ", "photo of ", "above it ", "left-",
        "\\(", "'", ", and ", " ", "*", "# ", "lamp on lamp ", "position: ", 'says "', "(a) ", "a b c: ", "\n- ",
        "a \ud800 above ", "e\u0301", "a\0b above ", ":   1", "far just a bit ", "((a dog:1.2) ", "{a|",
        "left to right ", "a cat, left to right: ",
        "a cat and a dog left to right, ", "a cat above, a dog below, ", "avoid text ", ". avoid a dog left of a cat",
        "the dog above the cat, ",
    ],
)  # fmt: skip
def test_long_prompts_take_linear_time(piece: str) -> None:
    started = time.process_time()
    prompt = piece * (60_000 // len(piece))
    parse(prompt)
    objects(prompt)
    assert time.process_time() - started < 10  # one second, where the time for twice the text is twice as long


def test_long_conjunctions_do_not_multiply() -> None:
    dogs = "a dog and " * 3000 + "a dog"
    assert len(parse(f"{dogs} above {dogs}").relations) < 200


def test_ten_thousand_words() -> None:
    prompt = "a dog to the left of a cat, a bird above it " * 910
    started = time.process_time()
    scene = parse(prompt)
    assert time.process_time() - started < 5
    assert len(scene.relations) > 1800


def test_a_prompt_is_read_once(monkeypatch):
    """A front end asks for its objects and its relations at each key."""
    read = []
    monkeypatch.setattr(reader, "read_by_rules", lambda prompt: read.append(prompt) or read_by_rules(prompt))
    prompt = "a teal kettle above an ochre crate"
    prompt_as_json(prompt)
    assert parse(prompt) == parse(prompt) and objects(prompt)
    assert read == [prompt]
    with pytest.raises(TypeError, match="list"):
        parse([prompt])


@pytest.mark.parametrize(
    "prompt",
    [
        'a t-shirt with the text "Cats above dogs"',
        'a poster that says "cat above dog"',
        "flowers to the left or the right of a dog",
        "a bird above or below a tree",
        "Negative prompt: a dog on the left",
    ],
)
def test_the_network_adds_nothing_of_what_is_written_left_open_or_unwanted(prompt: str) -> None:
    assert parsed(prompt) == ""
