/**
 * Where objects stand on the field, and what is asked of them. What a scene says of an object's place in the picture is
 * where it begins, and no part of the layout.
 *
 * A layout is {points, placed, stated, places, relations}: a point [x, y] for each object of the scene, in [0, 1] with y
 * downward; the objects that a person or a relation has given a place; what the scene says of places in the picture, as
 * far as it stays; the names of the places of those objects that a person has dragged; and the relations between two, as
 * a scene has them. steering_core/layout.py makes the same of a value.
 */

/** Objects closer than this touch: they are near each other. TOUCHING_DISTANCE of steering_core/layout.py. */
const NEAR = 0.2
const TOUCHING = [-0.12, -0.12]
const STEP = 0.4
/** How far from the middle an object begins that is at a side. */
const ASIDE = 0.36
/** From the first to the last of several objects that begin in the center. */
const MIDDLE = 0.36
/** What keeps the names of objects apart that have nothing to do with each other; names are wider than high. */
const GAP = [0.34, 0.22]
const ROUNDS = 200
/** Where else an object may stand that would begin on another, as shifts: the nearest first, and rather up or down. */
const BESIDE = [-3, -2, -1, 0, 1, 2, 3]
  .flatMap((down) => [-1, 0, 1].map((aside) => [aside * GAP[0], down * GAP[1]]))
  .sort(([dx, dy], [x, y]) => Math.hypot(2 * dx, dy) - Math.hypot(2 * x, y))

/** A scene whose relations are those between objects, and whose places are what it says of one object each. */
export function apart({ relations, ...scene }) {
  const ofOne = ([, , other]) => other === null
  return { ...scene, relations: relations.filter((relation) => !ofOne(relation)), places: relations.filter(ofOne) }
}

/** The layout that a widget's value holds; what it does not hold is placed by the relations of the scene. */
export function layoutOf(scene, value) {
  const { held } = scene
  const fixed = new Map(held.map((index, i) => [index, [value.objects[i].x, value.objects[i].y]]))
  fixed.delete(-1)
  const points = arranged(scene, new Map([...stated(scene), ...fixed]))
  if (!fixed.size) {
    return { points, placed: new Set(), stated: scene.places, places: new Map(), relations: scene.relations }
  }
  const asked = value.relations.map(([a, name, b]) => [held[a], name, b === null ? null : held[b]])
  const places = new Map(asked.filter(([a, , b]) => a >= 0 && b === null))
  const kept = asked.filter(([a, , b]) => a >= 0 && b !== null && b >= 0)
  const added = scene.relations.filter(([a, , b]) => !fixed.has(a) || !fixed.has(b))
  const stays = ([index, name]) => !places.has(index) && !isElsewhere(scene, name, fixed.get(index))
  const told = { stated: scene.places.filter(stays), places, relations: [...kept, ...added] }
  return related(scene, { points, placed: new Set(fixed.keys()), ...told })
}

/** What the vocabulary says of a relation or place of this name. */
export function relationNamed(vocabulary, name) {
  return vocabulary.find((known) => known.name === name)
}

/** Whether an object was put where it does not have a place; undefined is nowhere. */
function isElsewhere({ vocabulary }, name, point) {
  if (!point) return false
  const { direction, reach } = relationNamed(vocabulary, name)
  const offset = point.map((along) => along - 0.5)
  if (!direction.some(Boolean)) return Math.hypot(...offset) > reach
  return direction.some((sign, axis) => sign && offset[axis] * sign <= 0)
}

/** The layout after an object was moved, to a place of its own; relations between others stay what they were. */
export function moved(scene, layout, index, [x, y]) {
  const point = [within(x), within(y)]
  return related(scene, {
    points: layout.points.with(index, point),
    placed: new Set(layout.placed).add(index),
    stated: layout.stated.filter(([stated]) => stated !== index),
    places: new Map(layout.places).set(index, placeOf(scene.vocabulary, point)),
    relations: layout.relations.filter(([a, , b]) => a !== index && b !== index),
  })
}

/** What is said of the places in the picture: of those dragged their own, of the others what the scene says. */
export function placesOf({ stated, places }) {
  return [...stated, ...[...places].map(([index, name]) => [index, name, null])]
}

/** The value that holds a layout, and which objects of the scene were taken off. */
export function valueOf({ objects, removed }, { points, placed, places, relations }) {
  if (!placed.size) return withRemoved({}, removed)
  const held = [...placed].sort((a, b) => a - b)
  const at = (index) => held.indexOf(index)
  const ofOne = [...places].map(([index, name]) => [at(index), name, null]).sort(([a], [b]) => a - b)
  const value = {
    objects: held.map((index) => atPoint(objects[index], points[index])),
    relations: [...ofOne, ...relations.map(([a, relation, b]) => [at(a), relation, at(b)])],
  }
  return withRemoved(value, removed)
}

/** An object of a value, at a point. */
function atPoint(object, point) {
  const [x, y] = point.map((along) => Math.round(along * 1000) / 1000)
  return { ...object, x, y }
}

/** The value with other objects taken off; of none it does not tell. */
function withRemoved({ removed: before, ...value }, removed) {
  return removed.length ? { ...value, removed } : value
}

/** The value with one object more, by words of the prompt, of which nothing is asked yet. */
export function withObject(scene, layout, object) {
  const value = valueOf(scene, layout)
  const point = onCircle(scene.objects.length, scene.objects.length + 1)
  const objects = [...(value.objects ?? []), atPoint(object, point)]
  return withRemoved({ objects, relations: value.relations ?? [] }, without(scene.removed, object))
}

/** The value without an object. */
export function withoutObject(scene, layout, index) {
  const value = valueOf(scene, layout)
  const gone = [...layout.placed].sort((a, b) => a - b).indexOf(index)
  const shifted = (at) => (at > gone ? at - 1 : at)
  const isLeft = ([a, , b]) => a !== gone && b !== gone
  const objects = value.objects?.filter((_, at) => at !== gone)
  const relations = value.relations?.filter(isLeft).map(([a, name, b]) => [shifted(a), name, b && shifted(b)])
  return withRemoved(objects && gone >= 0 ? { objects, relations } : value, takenOff(scene, index))
}

/** The value in which an object is another, by words of the prompt, and what is asked of it stays. */
export function withName(scene, layout, index, object) {
  const placed = new Set([...layout.placed, index, ...layout.relations.flatMap(([a, , b]) => [a, b])])
  // What the prompt says of its place is said of other words.
  const stated = layout.stated.filter(([stated]) => stated === index)
  const places = new Map([...stated, ...layout.places])
  const value = valueOf(scene, { ...layout, placed, places })
  const at = [...placed].sort((a, b) => a - b).indexOf(index)
  const { x, y } = value.objects[at]
  const removed = without(takenOff(scene, index), object)
  return withRemoved({ ...value, objects: value.objects.with(at, { ...object, x, y }) }, removed)
}

/** The objects of the prompt that were taken off, once this one is. */
function takenOff({ objects, own, removed }, index) {
  return index < own ? [...removed, objects[index]] : removed
}

function without(removed, object) {
  return removed.filter((one) => one !== object)
}

/** The layout with a relation for each pair that the scene relates; those that it has of others stay. */
function related(scene, layout) {
  const { points, relations: keep } = layout
  const pairs = new Map(scene.relations.map(([a, , b]) => [unordered(a, b), [a, b]]))
  const ofPairs = [...pairs].flatMap(([pair, [a, b]]) => {
    const same = keep.filter(([c, , d]) => unordered(c, d) === pair)
    return same.length ? same : [[a, relationOf(scene.vocabulary, offset(points, a, b)), b]]
  })
  const relations = [...ofPairs, ...keep.filter(([a, , b]) => !pairs.has(unordered(a, b)))]
  return { ...layout, placed: new Set([...layout.placed, ...relations.flatMap(([a, , b]) => [a, b])]), relations }
}

function unordered(a, b) {
  return `${Math.min(a, b)},${Math.max(a, b)}`
}

function offset(points, a, b) {
  return [points[a][0] - points[b][0], points[a][1] - points[b][1]]
}

/** The relation whose direction is closest to an offset; of objects that touch, the one without a direction. */
function relationOf(vocabulary, offset) {
  return likest(
    vocabulary.filter(({ place }) => !place),
    offset,
    NEAR,
  )
}

/** The place in the picture that is closest to a point. */
function placeOf(vocabulary, [x, y]) {
  const places = vocabulary.filter(({ place }) => place)
  const { reach } = places.find(({ direction }) => !direction.some(Boolean))
  return likest(places, [x - 0.5, y - 0.5], reach)
}

/** The name of the one whose direction is closest to an offset; of one without a direction within a distance. */
function likest(choices, [dx, dy], close) {
  if (Math.hypot(dx, dy) < close) return choices.find(({ direction }) => !direction.some(Boolean)).name
  const directed = choices.filter(({ direction }) => direction.some(Boolean))
  const likeness = ({ direction: [x, y] }) => (dx * x + dy * y) / Math.hypot(x, y)
  return directed.reduce((best, one) => (likeness(one) > likeness(best) ? one : best)).name
}

/** Points of the objects that a scene says the place of; those of one place stand beside each other in it. */
function stated({ objects, places, vocabulary }) {
  const points = new Map()
  const isMiddle = ([, name]) => !relationNamed(vocabulary, name).direction.some(Boolean)
  const inMiddle = places.filter(isMiddle).map(([index]) => index)
  inMiddle.forEach((index, at) => points.set(index, [0.5, 0.5 + besideInMiddle(at, inMiddle.length)]))
  for (const [index, name] of places.filter((place) => !isMiddle(place))) {
    const { direction } = relationNamed(vocabulary, name)
    const free = onCircle(index, objects.length)
    const first = direction.map((sign, axis) => (sign ? 0.5 + ASIDE * sign : free[axis]))
    const isIn = (point) => point.every((along, axis) => along === within(along)) && !isElsewhere({ vocabulary }, name, point)
    const isClear = (point) =>
      [...points.values()].every((other) => Math.min(...missing(point.map((along, axis) => along - other[axis]))) < 1e-9)
    const beside = BESIDE.map((shift) => first.map((along, axis) => along + shift[axis]))
    points.set(index, beside.find((point) => isIn(point) && isClear(point)) ?? first)
  }
  return points
}

/** How far below the middle one of several objects begins that are all in the center. */
function besideInMiddle(at, count) {
  return count > 1 ? (at - (count - 1) / 2) * Math.min(GAP[1], MIDDLE / (count - 1)) : 0
}

/** Points that the relations of a scene ask for: objects pull and push each other until they rest. */
function arranged({ objects, relations, vocabulary }, fixed) {
  const points = objects.map((_, index) => fixed.get(index) ?? onCircle(index, objects.length))
  const bonds = relations.map(([a, name, b]) => [a, b, wantedOffset(vocabulary, name)])
  const bound = new Set(bonds.map(([a, b]) => unordered(a, b)))
  const strangers = points.flatMap((_, b) => points.slice(0, b).map((_, a) => [a, b]))
  const apart = strangers.filter(([a, b]) => !bound.has(unordered(a, b)))
  const shift = (a, b, axis, by) => {
    const share = fixed.has(a) || fixed.has(b) ? by : by / 2
    if (!fixed.has(a)) points[a][axis] = within(points[a][axis] + share)
    if (!fixed.has(b)) points[b][axis] = within(points[b][axis] - share)
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const [a, b, wanted] of bonds) {
      for (const axis of [0, 1]) shift(a, b, axis, wanted[axis] - offset(points, a, b)[axis])
    }
    for (const [a, b] of apart) push(a, b, offset(points, a, b), shift)
  }
  return fixed.size ? points : centred(points)
}

function wantedOffset(vocabulary, name) {
  const { direction: [x, y] } = relationNamed(vocabulary, name)
  return x || y ? [x * STEP, y * STEP] : TOUCHING
}

/** Moves two objects apart that are too close, along the axis on which less is missing. */
function push(a, b, offset, shift) {
  const by = missing(offset)
  if (Math.min(...by) <= 0) return
  const axis = by[0] < by[1] ? 0 : 1
  shift(a, b, axis, offset[axis] > 0 ? by[axis] : -by[axis])
}

/** What is missing on each axis until two objects do not lie on each other. */
function missing(offset) {
  return offset.map((distance, axis) => GAP[axis] - Math.abs(distance))
}

/** Where an object is to begin: they stand in a circle, the first on the left. */
function onCircle(index, count) {
  const angle = (2 * Math.PI * index) / count
  const radius = count > 1 ? 0.36 : 0
  return [0.5 - radius * Math.cos(angle), 0.5 - radius * Math.sin(angle)]
}

function centred(points) {
  const middle = [0, 1].map((axis) => {
    const along = points.map((point) => point[axis])
    return (Math.min(...along) + Math.max(...along)) / 2
  })
  return points.map((point) => point.map((along, axis) => along + 0.5 - middle[axis]))
}

function within(along) {
  return Math.min(Math.max(along, 0), 1)
}
