/** What the vocabulary of relations and places means: which one a name is, and which one fits where objects stand. */

/** Objects closer than this, in widths of the field, are near each other, as steering_core.layout has it. */
const TOUCHING_DISTANCE = 0.2

/** What the vocabulary says of a relation or place of this name. */
export function relationNamed(vocabulary, name) {
  return vocabulary.find((known) => known.name === name)
}

/** Whether a relation or place is in a direction; without one it is near, or the middle. */
export function hasDirection({ direction }) {
  return direction.some(Boolean)
}

/** Whether a point is in a place. */
export function isIn(place, point) {
  const offset = fromMiddle(point)
  if (!hasDirection(place)) return Math.hypot(...offset) <= place.reach
  return place.direction.every((sign, axis) => !sign || offset[axis] * sign > 0)
}

/** The name of the relation whose direction is closest to how two points lie; of points that touch, the one of none. */
export function relationBetween(vocabulary, [x, y], [toX, toY]) {
  const relations = vocabulary.filter(({ place }) => !place)
  return likest(relations, [x - toX, y - toY], TOUCHING_DISTANCE)
}

/** The name of the place in the picture that is closest to a point. */
export function placeAt(vocabulary, point) {
  const places = vocabulary.filter(({ place }) => place)
  const middle = places.find((place) => !hasDirection(place))
  return likest(places, fromMiddle(point), middle.reach)
}

/** The name of the one whose direction is closest to an offset; of one without a direction within a distance. */
function likest(choices, [dx, dy], close) {
  if (Math.hypot(dx, dy) < close) return choices.find((one) => !hasDirection(one)).name
  const likeness = ({ direction: [x, y] }) => (dx * x + dy * y) / Math.hypot(x, y)
  return choices.filter(hasDirection).reduce((best, one) => (likeness(one) > likeness(best) ? one : best)).name
}

function fromMiddle(point) {
  return point.map((along) => along - 0.5)
}
