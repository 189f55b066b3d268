"""How well each picture of a batch shows a scene, and which of them show it best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..detection.boxes import Found
from ..detection.look import Look, SeenRelation, label_of, seen_relations, surest_centres
from ..tokens import GroundedRelation, GroundedScene
from ..wording import shortened


@dataclass(frozen=True, order=True)
class PictureScore:
    """Of one picture; the greater one shows the scene better.

    Attributes:
        share: of the relations, those that are seen, in [0, 1].
        clearness: by how much the least clear relation holds, in shares of the picture's sides (see
            ``Relation.displacement``); the less, the more it is missed by, and -1 where an object is missing.
    """

    share: float
    clearness: float


@dataclass(frozen=True)
class ScoredPictures:
    """A look at a batch, judged.

    Attributes:
        relations: what became of each.
        scores: of each picture; all alike where none can be judged.
        unjudged: why none can be; empty where some are.
    """

    relations: tuple[SeenRelation, ...]
    scores: tuple[PictureScore, ...]
    unjudged: str = ""

    @property
    def summary(self) -> str:
        """In words: each relation, then each picture's score."""
        if self.unjudged:
            return self.unjudged
        lines = [str(relation) for relation in self.relations]
        return "\n".join(lines + [f"picture {at}: {score.share:.0%}" for at, score in enumerate(self.scores, 1)])

    def best(self, count: int) -> list[int]:
        """Numbers of so many pictures, from 0, the best first; of equal ones the earlier."""
        return sorted(range(len(self.scores)), key=lambda at: self.scores[at], reverse=True)[:count]


def score_pictures(scene: GroundedScene, look: Look) -> ScoredPictures:
    """Judge every picture by every relation that can be judged; they are drawn already, so that none is refused."""
    relations = seen_relations(scene, look)
    judged = [one for one, seen in zip(scene.relations, relations) if seen.seen is not None]
    if not judged:
        why = "; ".join(map(str, relations)) or (
            f'"{shortened(scene.scene.as_written)}" states no relation. State one in the prompt, such as "a dog to the '
            f'left of a cat", or add one with Spatial Relation'
        )
        unjudged = f"No picture can be scored: {why}."
        return ScoredPictures(tuple(relations), (PictureScore(0.0, -1.0),) * len(look.found), unjudged)
    seen = [relation.seen for relation in relations if relation.seen is not None]
    labels = [label_of(phrase, look.labels) for phrase in scene.phrases]
    clearness = [_clearness(judged, labels, picture) for picture in look.found]
    shares = [sum(of_picture) / len(seen) for of_picture in zip(*seen)]
    return ScoredPictures(tuple(relations), tuple(map(PictureScore, shares, clearness)))


def _clearness(relations: Sequence[GroundedRelation], labels: Sequence[str | None], picture: Sequence[Found]) -> float:
    """Of a picture.

    Args:
        labels: the detector's names for the scene's objects.
    """
    centres = surest_centres(labels, picture)

    def of(relation: GroundedRelation) -> float:
        of_ends = [centres[end] for end in relation.ends]
        found = [centre for centre in of_ends if centre is not None]
        return relation.relation.displacement(*found) if len(found) == len(of_ends) else -1.0

    return min(map(of, relations))
