/** Which object is meant by words that a person writes: one that was taken off, or words of the prompt that are free. */

import { MOST_PLACED } from "./damage.js"
import { labelOf, namedAs, occurrences, placeOf } from "./objects.js"

/**
 * The object that written words mean: one that was taken off, else words of the prompt that are no other object's.
 *
 * @param scene as ``peopled`` gives it
 * @param isAsked called with an index; whether something is asked of that object
 * @param renamed the object that is to have these words; undefined for a new one
 * @returns {{object: object} | {there: string} | {isMissing: true} | {isFull: true}} there: what the words, or some of
 *   them, stand for already
 */
export function writtenObject(scene, isAsked, written, renamed) {
  const { objects, removed, prompt, described } = scene
  const isWritten = (name) => name.toLowerCase() === written.toLowerCase()
  const others = objects.filter((one) => one !== renamed)
  const namesake = namedAs(others, written, described).find((one) => isOwn(scene, one))
  const off =
    removed.find((one) => isWritten(one.name) || isWritten(labelOf(one))) ??
    (namesake ? undefined : namedAs(removed, written, described)[0])
  const isFull = !renamed && objects.length >= MOST_PLACED
  if (off) return isFull ? { isFull } : { object: off }
  const places = occurrences(prompt, written)
  if (!places.length) return { isMissing: true }
  if (namesake) return { there: written }
  const holders = places.map(({ place }) => others.find((one) => holds(scene, isAsked, one, place)))
  const free = holders.indexOf(undefined)
  if (free < 0) return { there: labelOf(holders[0]) }
  if (isFull) return { isFull }
  return { object: { name: places[free].name, occurrence: free } }
}

/** Whether a place of the prompt is an object's already, or a part of it is. */
function holds(scene, isAsked, object, [start, end]) {
  const { objects, read, described } = scene
  const [from, to] = placeOf(scene, object) ?? [0, 0]
  if (start >= to || from >= end) return false
  // What was read as one phrase can be a whole clause in other languages, and then its words are to be had.
  const isClause = read.includes(object) && !described.includes(object.name) && !isAsked(objects.indexOf(object))
  return !isClause || start < from || end > to || end - start === to - from
}

/** Whether an object is the scene's, and not of this layout. */
function isOwn({ own, objects }, object) {
  return objects.indexOf(object) < own
}
