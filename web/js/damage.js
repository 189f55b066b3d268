/**
 * What is wrong with values that come from a workflow, which anybody may have written.
 *
 * steering_core/editing.py and layout.py read the same forms. A fault is said as the place and what stands there, such as
 * ``relations[2].wanted: "over"``, which needs no translation.
 */

/** Most objects of a layout, as steering_core.layout has it. */
export const MOST_PLACED = 64
/** Most letters of what is shown of a damaged part. */
const SHOWN = 60

/** Thrown where a value further up is damaged; the message says which node holds it, and what is wrong. */
export class DamagedValue extends Error {}

/** What the text of a widget holds, or the value itself, as workflows of before have it; what is no JSON is damaged. */
export function parsed(held) {
  if (typeof held !== "string") return held
  try {
    return JSON.parse(held)
  } catch {
    return held
  }
}

/** The first fault of the value of Edit Relations; undefined if there is none. */
export function faultOfEdits({ vocabulary }, value) {
  const [places, relations] = [true, false].map((place) => vocabulary.filter((known) => known.place === place))
  const rowOf = (isObject, known) =>
    object({ subject: isText, relation: oneOf(known), object: isObject, wanted: oneOf(known), on: isSwitch })
  const ofTwo = rowOf(isText, relations)
  const ofPlace = rowOf(isNothing, places)
  const isPlace = (row) => places.some(({ name }) => name === row?.relation)
  const row = (at, row) => (isPlace(row) ? ofPlace : ofTwo)(at, row)
  return object({ relations: optional(list(row)) })("", value)
}

/** The first fault of the value of Scene Layout; undefined if there is none. */
export function faultOfLayout({ vocabulary }, value) {
  const along = leaf((value) => typeof value === "number" && value >= 0 && value <= 1)
  const named = { name: isText, occurrence: isIndex(Infinity) }
  const objects = list(object({ ...named, x: along, y: along }), MOST_PLACED)
  const removed = list(object(named), MOST_PLACED)
  const fault = object({ objects: optional(objects), removed: optional(removed) })("", value)
  if (fault) return fault
  const count = value.objects?.length ?? 0
  const related = list(triplet(isIndex(count), vocabulary))
  return object({ relations: count ? related : optional(related) })("", value)
}

// A check takes the place and the value that stands there, and returns the first fault in it.

function leaf(isRight) {
  return (place, value) => (isRight(value) ? undefined : said(place, value))
}

const isText = leaf((value) => typeof value === "string")
const isNothing = leaf((value) => value === null)
const isSwitch = leaf((value) => typeof value === "boolean")
const isIndex = (end) => leaf((value) => Number.isSafeInteger(value) && value >= 0 && value < end)
const oneOf = (vocabulary) => leaf((value) => vocabulary.some(({ name }) => name === value))

function optional(check) {
  return (place, value) => (value === undefined ? undefined : check(place, value))
}

function object(checks) {
  return (place, value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return said(place, value)
    const own = (key) => (Object.hasOwn(value, key) ? value[key] : undefined)
    return first(Object.entries(checks), ([key, check]) => check(place ? `${place}.${key}` : key, own(key)))
  }
}

function list(check, most = Infinity) {
  return (place, value) => {
    if (!Array.isArray(value)) return said(place, value)
    if (value.length > most) return `${place}: ${value.length} > ${most}`
    return first(value, (part, index) => check(`${place}[${index}]`, part))
  }
}

/** A relation of two, or with null a place of one. */
function triplet(isIndex, vocabulary) {
  return (at, value) => {
    if (!Array.isArray(value) || value.length !== 3 || value[0] === value[2]) return said(at, value)
    const isOfOne = value[2] === null
    const known = oneOf(vocabulary.filter(({ place }) => place === isOfOne))
    return first([isIndex, known, isOfOne ? isNothing : isIndex], (check, i) => check(`${at}[${i}]`, value[i]))
  }
}

function first(items, faultOf) {
  for (const [index, item] of items.entries()) {
    const fault = faultOf(item, index)
    if (fault) return fault
  }
}

function said(place, value) {
  return place ? `${place}: ${shown(value)}` : shown(value)
}

/** A value in short; of what is nested, only its kind. */
function shown(value) {
  if (value === undefined) return "–"
  if (Array.isArray(value)) return `[${value.length}]`
  if (typeof value === "object" && value !== null) return "{…}"
  const text = JSON.stringify(value)
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text
}
