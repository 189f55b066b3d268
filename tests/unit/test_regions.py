from __future__ import annotations

import itertools
import random

import pytest
import torch

from steering_core.parser import parse
from steering_core.parser.rules import read_by_rules
from steering_core.regions import Region, Regions, regions_of
from steering_core.relations.place import Place
from steering_core.relations.relation import Relation
from steering_core.tokens import GroundedRelation, GroundedScene

HALF, THIRD = 1 / 2, 1 / 3


def scene(prompt: str) -> GroundedScene:
    """A prompt's scene; its objects have no tokens, which regions do not ask for."""
    read = parse(prompt)
    numbers = {span: number for number, span in enumerate(read.objects)}
    relations = (
        GroundedRelation(numbers[r.subject], r.relation, None if r.object is None else numbers[r.object])
        for r in read.relations
    )
    return GroundedScene(read, (), ((),) * len(numbers), tuple(relations))


def related(objects: int, *relations: tuple) -> Regions:
    """The regions of so many objects with relations (subject, relation, object), or (subject, place)."""
    read = read_by_rules(" and ".join(f"a cat {n} on the left" for n in range(objects))).scene
    return regions_of(GroundedScene(read, (), ((),) * objects, tuple(GroundedRelation(*one) for one in relations)))


def boxes(regions: Regions) -> list[tuple[float, ...] | None]:
    return [None if region is None else region.box for region in regions.of_objects]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a dog to the left of a cat", [(0, 0, HALF, 1), (HALF, 0, 1, 1)]),
        ("a dog below a cat", [(0, HALF, 1, 1), (0, 0, 1, HALF)]),
        ("a dog above and to the left of a cat", [(0, 0, HALF, HALF), (HALF, HALF, 1, 1)]),
        ("a dog on the left and a cat on the right", [(0, 0, HALF, 1), (HALF, 0, 1, 1)]),
        ("a lamp in the upper right corner", [(HALF, 0, 1, HALF)]),
        ("a lamp in the center", [(0.25, 0.25, 0.75, 0.75)]),
        # Read as right of the dog and left of the bird.
        ("a cat between a dog and a bird", [(THIRD, 0, 2 * THIRD, 1), (0, 0, THIRD, 1), (2 * THIRD, 0, 1, 1)]),
        ("a dog next to a cat", [None, None]),
    ],
)
def test_the_picture_is_divided_as_the_prompt_says(prompt, expected):
    found = boxes(regions_of(scene(prompt)))
    assert [box and pytest.approx(box) for box in expected] == found


def test_a_row_is_divided_evenly_and_a_shorter_chain_beside_it_by_itself():
    left = Relation.LEFT_OF
    found = related(5, (0, left, 1), (1, left, 2), (3, left, 4))
    widths = [(0, THIRD), (THIRD, 2 * THIRD), (2 * THIRD, 1), (0, HALF), (HALF, 1)]
    assert [region.x for region in found.of_objects] == [pytest.approx(band) for band in widths]
    assert all(region.y == (0, 1) for region in found.of_objects)


@pytest.mark.parametrize("place", [one for one in Place if one is not Place.AT_CENTER])
def test_several_objects_at_one_side_share_it(place):
    dx, dy = place.direction
    axis, relation = (0, Relation.LEFT_OF) if dx else (1, Relation.ABOVE)
    found = related(2, (0, place), (1, place), (0, relation, 1))
    (first, second) = ((region.x, region.y)[axis] for region in found.of_objects)
    begin = 0.5 if (dx, dy)[axis] > 0 else 0.0
    assert first == pytest.approx((begin, begin + 0.25)) and second == pytest.approx((begin + 0.25, begin + 0.5))


def test_what_lies_beside_the_center_leaves_it_the_middle_third():
    found = related(2, (0, Relation.LEFT_OF, 1), (1, Place.AT_CENTER))
    assert found.of_objects[0].x == pytest.approx((0, THIRD))
    assert found.of_objects[1].x == pytest.approx((THIRD, 2 * THIRD))
    assert found.of_objects[1].y == pytest.approx((0.25, 0.75))


def test_an_object_between_two_sides_gets_the_part_between_them():
    left = Relation.LEFT_OF
    found = related(3, (0, Place.AT_LEFT), (2, Place.AT_RIGHT), (0, left, 1), (1, left, 2))
    assert [region.x for region in found.of_objects] == [
        pytest.approx(band) for band in ((0, THIRD), (THIRD, 2 * THIRD), (2 * THIRD, 1))
    ]


@pytest.mark.parametrize(
    "contradiction",
    [
        [(0, Relation.LEFT_OF, 1), (1, Relation.LEFT_OF, 0)],
        [(0, Relation.ABOVE, 1), (1, Relation.BELOW_RIGHT, 0), (0, Relation.BELOW, 1)],
        [(0, Place.AT_LEFT), (0, Place.AT_RIGHT), (1, Place.AT_LEFT), (1, Place.AT_RIGHT)],
        [(0, Place.AT_LEFT), (1, Place.AT_RIGHT), (1, Relation.LEFT_OF, 0)],
        [(0, Place.AT_CENTER), (1, Place.AT_CENTER), (0, Relation.LEFT_OF, 1)],
    ],
)
def test_contradictory_objects_stay_unbound_and_the_others_do_not(contradiction):
    found = related(5, *contradiction, (2, Relation.LEFT_OF, 3), (4, Place.AT_CENTER), (2, Relation.NEAR, 1))
    assert found.contradictory == {0, 1}
    assert boxes(found)[:2] == [None, None] and None not in boxes(found)[2:]
    assert str(found).count("contradict one another") == 2


def test_all_that_is_asked_for_holds_between_any_two_regions():
    """Random scenes that some arrangement fulfils: so none is contradictory."""
    rng = random.Random(0)
    for objects in (2, 3, 5, 8):
        for _ in range(40):
            centres = [(rng.random(), rng.random()) for _ in range(objects)]
            pairs = rng.sample(list(itertools.permutations(range(objects), 2)), objects)
            said = [
                (a, relation, b) for a, b in pairs for relation in Relation if relation.holds(centres[a], centres[b])
            ]
            said += [
                (n, place)
                for n in range(0, objects, 2)
                for place in Place
                if place is not Place.AT_CENTER and place.holds(centres[n])
            ]
            found = related(objects, *said)
            assert not found.contradictory
            for subject, relation, *other in said:
                bands = found.of_objects[subject], found.of_objects[other[0]] if other else None
                for axis, sign in enumerate(relation.direction):
                    begin, end = (bands[0].x, bands[0].y)[axis]
                    low, high = (0.5, 0.5) if bands[1] is None else (bands[1].x, bands[1].y)[axis]
                    assert sign >= 0 or end <= low + 1e-9
                    assert sign <= 0 or begin >= high - 1e-9


def test_a_long_chain_takes_no_more_time_for_each_of_its_objects():
    count = 3000
    found = related(count, *((n, Relation.LEFT_OF, n + 1) for n in range(count - 1)))
    assert found.of_objects[-1].x == pytest.approx((1 - 1 / count, 1))


def test_cells_lie_in_a_region_by_their_middles():
    left = Region(x=(0, 0.5)).cells(2, 4)
    assert left.tolist() == 2 * [[True, True, False, False]]
    assert torch.equal(left, ~Region(x=(0.5, 1)).cells(2, 4))
    thirds = [Region(y=(n / 3, (n + 1) / 3)).cells(5, 1).flatten() for n in range(3)]
    assert torch.stack(thirds).sum(dim=0).tolist() == [1] * 5


def test_a_region_smaller_than_a_cell_has_one():
    cells = [Region(x=(n / 7, (n + 1) / 7)).cells(1, 2).sum().item() for n in range(7)]
    assert cells == [1] * 7


def test_regions_are_said_in_words():
    told = str(regions_of(scene("a dog above and to the left of a cat, a lamp in the center, a fish next to a bird")))
    assert "dog in the left half and upper half" in told and "middle half" in told
    assert "not bird, no side is said" in told
    assert str(Region(x=(0.25, 0.5))) == "25% to 50% of the width"
