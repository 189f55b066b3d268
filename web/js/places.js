/**
 * Where objects stand on the field, and the relations between them. What a scene says of an object's place in the
 * picture is where it begins, and no part of the layout.
 *
 * A layout is {points, placed, relations}: a point [x, y] for each object of the scene, in [0, 1] with y downward; the
 * objects that a person or a relation has given a place; and the relations, as a scene has them.
 */

import { positions } from "./scene.js"

/** Objects closer than this touch: they are near each other. */
const NEAR = 0.2
const TOUCHING = [-0.12, -0.12]
const STEP = 0.4
/** How far from the middle an object begins that is at a side. */
const ASIDE = 0.36
/** What keeps the names of objects apart that have nothing to do with each other; names are wider than high. */
const GAP = [0.34, 0.22]
const ROUNDS = 200

/** A scene whose relations are those between objects, and whose places are what it says of one object each. */
export function apart({ relations, ...scene }) {
  const ofOne = ([, , other]) => other === null
  return { ...scene, relations: relations.filter((relation) => !ofOne(relation)), places: relations.filter(ofOne) }
}

/** The layout that a widget's value holds; what it does not hold is placed by the relations of the scene. */
export function layoutOf(scene, value) {
  const held = positions(scene, value)
  const fixed = new Map(held.map((index, i) => [index, [value.objects[i].x, value.objects[i].y]]))
  fixed.delete(-1)
  const points = arranged(scene, new Map([...stated(scene), ...fixed]))
  if (!fixed.size) return { points, placed: new Set(), relations: scene.relations }
  const kept = value.relations.map(([a, relation, b]) => [held[a], relation, held[b]])
  const added = scene.relations.filter(([a, , b]) => !fixed.has(a) || !fixed.has(b))
  return related(scene, points, new Set(fixed.keys()), [...kept, ...added])
}

/** The layout after an object was moved; relations between others stay what they were. */
export function moved(scene, layout, index, [x, y]) {
  const points = layout.points.with(index, [within(x), within(y)])
  const keep = layout.relations.filter(([a, , b]) => a !== index && b !== index)
  return related(scene, points, new Set(layout.placed).add(index), keep)
}

/** The value that holds a layout. */
export function valueOf({ objects }, { points, placed, relations }) {
  if (!placed.size) return {}
  const held = [...placed].sort((a, b) => a - b)
  const rounded = (number) => Math.round(number * 1000) / 1000
  return {
    objects: held.map((index) => ({ ...objects[index], x: rounded(points[index][0]), y: rounded(points[index][1]) })),
    relations: relations.map(([a, relation, b]) => [held.indexOf(a), relation, held.indexOf(b)]),
  }
}

/** Relations for the pairs that the scene relates, and for each other placed object with the nearest one. */
function related(scene, points, placed, keep) {
  const pairs = [...new Map(scene.relations.map(([a, , b]) => [unordered(a, b), [a, b]])).values()]
  const joined = new Set(pairs.flat())
  const lone = new Set([...placed].filter((index) => !joined.has(index)))
  if (!joined.size) {
    const [first] = lone
    const others = points.map((_, index) => index).filter((index) => index !== first)
    joined.add(first)
    lone.delete(first)
    if (!lone.size && others.length) lone.add(closest(points, [first], others)[1])
  }
  while (lone.size) {
    const [a, b] = closest(points, lone, joined)
    pairs.push([a, b])
    joined.add(a)
    lone.delete(a)
  }
  const kept = (a, b) => keep.filter(([c, , d]) => unordered(a, b) === unordered(c, d))
  const relations = pairs.flatMap(([a, b]) => {
    const same = kept(a, b)
    return same.length ? same : [[a, relationOf(scene.vocabulary, offset(points, a, b)), b]]
  })
  return { points, placed: joined, relations }
}

function unordered(a, b) {
  return `${Math.min(a, b)},${Math.max(a, b)}`
}

function offset(points, a, b) {
  return [points[a][0] - points[b][0], points[a][1] - points[b][1]]
}

function closest(points, from, to) {
  const distance = ([a, b]) => Math.hypot(...offset(points, a, b))
  const pairs = [...from].flatMap((a) => [...to].map((b) => [a, b]))
  return pairs.reduce((best, pair) => (distance(pair) < distance(best) ? pair : best))
}

/** The relation whose direction is closest to an offset; of objects that touch, the one without a direction. */
function relationOf(vocabulary, [dx, dy]) {
  if (Math.hypot(dx, dy) < NEAR) return vocabulary.find(({ direction: [x, y] }) => !x && !y).name
  const directed = vocabulary.filter(({ direction: [x, y] }) => x || y)
  const likeness = ({ direction: [x, y] }) => (dx * x + dy * y) / Math.hypot(x, y)
  return directed.reduce((best, relation) => (likeness(relation) > likeness(best) ? relation : best)).name
}

/** Points of the objects that a scene says the place of. */
function stated({ objects, places, vocabulary }) {
  return new Map(
    places.map(([index, name]) => {
      const { direction } = vocabulary.find((known) => known.name === name)
      const isCenter = !direction.some(Boolean)
      const free = onCircle(index, objects.length)
      return [index, direction.map((sign, axis) => (sign || isCenter ? 0.5 + ASIDE * sign : free[axis]))]
    }),
  )
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
  const { direction: [x, y] } = vocabulary.find((relation) => relation.name === name)
  return x || y ? [x * STEP, y * STEP] : TOUCHING
}

/** Moves two objects apart that are too close, along the axis on which less is missing. */
function push(a, b, offset, shift) {
  const missing = offset.map((distance, axis) => GAP[axis] - Math.abs(distance))
  if (Math.min(...missing) <= 0) return
  const axis = missing[0] < missing[1] ? 0 : 1
  shift(a, b, axis, offset[axis] > 0 ? missing[axis] : -missing[axis])
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
