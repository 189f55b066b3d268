/**
 * The layout that a value of Scene Layout holds, and the values of changed ones: where objects stand on the field, and
 * what is asked of them. What a scene says of an object's place in the picture is where it begins, and no part of it.
 *
 * A layout is {points, placed, stated, places, relations}: a point [x, y] for each object of the scene, in [0, 1] with y
 * downward; the objects that a person or a relation has given a place; what the scene says of places in the picture, as
 * far as it stays; the names of the places of those objects that a person has dragged; and the relations between two, as
 * a scene has them. steering_core/layout.py makes the same of a value.
 */

import { arranged, freePoint, within } from "./arrangement.js"
import { isIn, placeAt, relationBetween, relationNamed } from "./vocabulary.js"

/** A scene whose relations are those between objects, and whose places are what it says of one object each. */
export function apart({ relations, ...scene }) {
  const ofOne = ([, , other]) => other === null
  return { ...scene, relations: relations.filter((relation) => !ofOne(relation)), places: relations.filter(ofOne) }
}

/** The layout that a widget's value holds; what it does not hold is placed by the relations of the scene. */
export function layoutOf(scene, value) {
  const { held } = scene
  const put = new Map(held.map((index, i) => [index, [value.objects[i].x, value.objects[i].y]]))
  put.delete(-1)
  const points = arranged(scene, put)
  if (!put.size) {
    return { points, placed: new Set(), stated: scene.places, places: new Map(), relations: scene.relations }
  }
  const asked = value.relations.map(([a, name, b]) => [held[a], name, b === null ? null : held[b]])
  const places = new Map(asked.filter(([a, , b]) => a >= 0 && b === null))
  const kept = asked.filter(([a, , b]) => a >= 0 && b !== null && b >= 0)
  const added = scene.relations.filter(([a, , b]) => !put.has(a) || !put.has(b))
  const isThere = (index, name) => !put.has(index) || isIn(relationNamed(scene.vocabulary, name), put.get(index))
  const stated = scene.places.filter(([index, name]) => !places.has(index) && isThere(index, name))
  return related(scene, { points, placed: new Set(put.keys()), stated, places, relations: [...kept, ...added] })
}

/** The layout after an object was moved, to a place of its own; relations between others stay what they were. */
export function moved(scene, layout, index, [x, y]) {
  const point = [within(x), within(y)]
  return related(scene, {
    points: layout.points.with(index, point),
    placed: new Set(layout.placed).add(index),
    stated: layout.stated.filter(([a]) => a !== index),
    places: new Map(layout.places).set(index, placeAt(scene.vocabulary, point)),
    relations: layout.relations.filter(([a, , b]) => a !== index && b !== index),
  })
}

/** What is said of the places in the picture: of those dragged their own, of the others what the scene says. */
export function placesOf({ stated, places }) {
  return [...stated, ...[...places].map(([index, name]) => [index, name, null])]
}

/** Whether a layout asks something of an object, by its index. */
export function asksOf(layout, index) {
  return [...placesOf(layout), ...layout.relations].some(([a, , b]) => a === index || b === index)
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

/**
 * The value with one object more: one that was taken off, of which the prompt tells again, or one by words of the prompt,
 * of which nothing is asked yet.
 */
export function withObject(scene, layout, object) {
  const value = valueOf(scene, layout)
  if (scene.removed.includes(object)) return withRemoved(value, without(scene.removed, object))
  const objects = [...(value.objects ?? []), atPoint(object, freePoint(layout.points))]
  return withRemoved({ objects, relations: value.relations ?? [] }, scene.removed)
}

/** The value without an object. */
export function withoutObject(scene, layout, index) {
  const value = valueOf(scene, layout)
  const gone = [...layout.placed].sort((a, b) => a - b).indexOf(index)
  const shifted = (at) => (at > gone ? at - 1 : at)
  const isLeft = ([a, , b]) => a !== gone && b !== gone
  const objects = value.objects?.filter((_, at) => at !== gone)
  const relations = value.relations?.filter(isLeft).map(([a, name, b]) => [shifted(a), name, b && shifted(b)])
  return withRemoved(objects && gone >= 0 ? { objects, relations } : value, alsoRemoved(scene, index))
}

/** The value in which an object is another, by words of the prompt, and what is asked of it stays. */
export function withName(scene, layout, index, object) {
  const placed = new Set([...layout.placed, index, ...layout.relations.flatMap(([a, , b]) => [a, b])])
  // What the prompt says of its place is said of other words.
  const ofObject = layout.stated.filter(([a]) => a === index)
  const places = new Map([...ofObject, ...layout.places])
  const value = valueOf(scene, { ...layout, placed, places })
  const at = [...placed].sort((a, b) => a - b).indexOf(index)
  const { x, y } = value.objects[at]
  const removed = without(alsoRemoved(scene, index), object)
  return withRemoved({ ...value, objects: value.objects.with(at, { ...object, x, y }) }, removed)
}

/** The objects of the prompt that were taken off, once this one is. */
function alsoRemoved({ objects, own, removed }, index) {
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
    return same.length ? same : [[a, relationBetween(scene.vocabulary, points[a], points[b]), b]]
  })
  const relations = [...ofPairs, ...keep.filter(([a, , b]) => !pairs.has(unordered(a, b)))]
  return { ...layout, placed: new Set([...layout.placed, ...relations.flatMap(([a, , b]) => [a, b])]), relations }
}

function unordered(a, b) {
  return `${Math.min(a, b)},${Math.max(a, b)}`
}
