/**
 * Where objects begin on the field that nobody has put anywhere: in the places and as in the relations that a scene says
 * of them. Points are [x, y] in [0, 1] with y downward; offsets are differences of such.
 */

import { hasDirection, isIn, relationNamed } from "./vocabulary.js"

/** How two objects begin that are related: so far in the relation's direction, or without one beside each other. */
const DISTANCE = 0.4
const BESIDE_EACH_OTHER = [-0.12, -0.12]
/** How far from the middle an object begins that is at a side, or of which nothing is said. */
const ASIDE = 0.36
/** From the first to the last of several objects that begin in the center. */
const MIDDLE = 0.36
/** What keeps the names of objects apart that have nothing to do with each other; names are wider than high. */
const GAP = [0.34, 0.22]
/** So many objects have that much room; more have less each, so that none hides another on a larger node. */
const ROOMY = 12
const ROUNDS = 200
/** Where else an object may stand that would begin on another, as shifts: the nearest first, and rather up or down. */
const ELSEWHERE = [-3, -2, -1, 0, 1, 2, 3]
  .flatMap((down) => [-1, 0, 1].map((aside) => [aside * GAP[0], down * GAP[1]]))
  .sort(([dx, dy], [x, y]) => Math.hypot(2 * dx, dy) - Math.hypot(2 * x, y))

/**
 * A point for each object of a scene: objects pull and push each other until they rest.
 *
 * @param {Map<number, [number, number]>} put the points at which a hand has put objects, which stay
 */
export function arranged(scene, put) {
  const { objects, relations, vocabulary } = scene
  const fixed = new Map([...inTheirPlaces(scene), ...put])
  const points = objects.map((_, index) => fixed.get(index) ?? onCircle(index, objects.length))
  const bonds = relations.map(([a, name, b]) => [a, b, wantedOffset(relationNamed(vocabulary, name))])
  const isBond = (a, b) => bonds.some(([c, d]) => (c === a && d === b) || (c === b && d === a))
  const gap = GAP.map((along) => along * Math.min(1, Math.sqrt(ROOMY / objects.length)))
  const pairs = points.flatMap((_, b) => [...Array(b).keys()].map((a) => [a, b]))
  const strangers = pairs.filter(([a, b]) => !isBond(a, b))
  const shift = (a, b, axis, by) => {
    const share = fixed.has(a) || fixed.has(b) ? by : by / 2
    if (!fixed.has(a)) points[a][axis] = within(points[a][axis] + share)
    if (!fixed.has(b)) points[b][axis] = within(points[b][axis] - share)
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const [a, b, wanted] of bonds) {
      for (const axis of [0, 1]) shift(a, b, axis, wanted[axis] - offset(points[a], points[b])[axis])
    }
    for (const [a, b] of strangers) push(a, b, offset(points[a], points[b]), gap, shift)
  }
  return fixed.size ? points : centred(points)
}

/** Where one more object begins: as far from all others as it can, and of places as far the one nearest to the middle. */
export function freePoint(points) {
  const along = [0.1, 0.3, 0.5, 0.7, 0.9]
  const places = along.flatMap((x) => along.map((y) => [x, y]))
  const room = (place) => Math.min(...points.map((point) => between(place, point)))
  const far = (place) => between(place, [0.5, 0.5])
  return places.sort((one, other) => room(other) - room(one) || far(one) - far(other))[0]
}

/** How far two points are from each other, in the gaps that names want, which are wider than high. */
function between(one, other) {
  return Math.hypot(...offset(one, other).map((along, axis) => along / GAP[axis]))
}

/** Where the next object begins of as many: they stand in a circle, the first on the left. */
function onCircle(index, count) {
  const angle = (2 * Math.PI * index) / count
  const radius = count > 1 ? ASIDE : 0
  return [0.5 - radius * Math.cos(angle), 0.5 - radius * Math.sin(angle)]
}

/** What is nearest to a number within the field. */
export function within(along) {
  return Math.min(Math.max(along, 0), 1)
}

/** Points of the objects that a scene says the place of; those of one place stand beside each other in it. */
function inTheirPlaces({ objects, places, vocabulary }) {
  const points = new Map()
  const known = places.map(([index, name]) => [index, relationNamed(vocabulary, name)])
  const inMiddle = known.filter(([, place]) => !hasDirection(place))
  inMiddle.forEach(([index], at) => points.set(index, [0.5, 0.5 + besideInMiddle(at, inMiddle.length)]))
  for (const [index, place] of known.filter(([, place]) => hasDirection(place))) {
    const free = onCircle(index, objects.length)
    const first = place.direction.map((sign, axis) => (sign ? 0.5 + ASIDE * sign : free[axis]))
    const isOnField = (point) => point.every((along) => along === within(along))
    const isClear = (point) => [...points.values()].every((other) => Math.min(...overlap(offset(point, other), GAP)) < 1e-9)
    const others = ELSEWHERE.map((shift) => first.map((along, axis) => along + shift[axis]))
    points.set(index, others.find((point) => isOnField(point) && isIn(place, point) && isClear(point)) ?? first)
  }
  return points
}

/** How far below the middle one of several objects begins that are all in the center. */
function besideInMiddle(at, count) {
  return count > 1 ? (at - (count - 1) / 2) * Math.min(GAP[1], MIDDLE / (count - 1)) : 0
}

function wantedOffset(relation) {
  return hasDirection(relation) ? relation.direction.map((sign) => sign * DISTANCE) : BESIDE_EACH_OTHER
}

/** Moves two objects apart that are too close, along the axis on which less is missing. */
function push(a, b, apart, gap, shift) {
  const by = overlap(apart, gap)
  if (Math.min(...by) <= 0) return
  const axis = by[0] < by[1] ? 0 : 1
  shift(a, b, axis, apart[axis] > 0 ? by[axis] : -by[axis])
}

/** How far two objects reach over each other along each axis, below 0 where there is room between them. */
function overlap(apart, gap) {
  return apart.map((distance, axis) => gap[axis] - Math.abs(distance))
}

function offset([x, y], [toX, toY]) {
  return [x - toX, y - toY]
}

function centred(points) {
  const middle = [0, 1].map((axis) => {
    const along = points.map((point) => point[axis])
    return (Math.min(...along) + Math.max(...along)) / 2
  })
  return points.map((point) => point.map((along, axis) => along + 0.5 - middle[axis]))
}
