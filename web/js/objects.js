/**
 * Which objects a scene has once a layout adds to them and takes some off, and which of them a layout's value means, as
 * steering_core/layout.py and object_names.py find them.
 */

/** Letters of scripts that set no words apart, or no particles. */
export const UNSPACED = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]/u

export const isSame = (one) => (other) => one.name === other.name && one.occurrence === other.occurrence
const isAlike = (one) => (other) => one.name.toLowerCase() === other.name.toLowerCase()

/** What an object is called: its name, with a number from the second of it on, as steering_core.object_names has it. */
export function labelOf({ name, occurrence }) {
  return occurrence ? `${name} ${occurrence + 1}` : name
}

/**
 * All that a phrase stands for among objects: those with this very name, else those whose letters are alike, else those
 * whose names end with it, of the names that are told to be of described things.
 */
export function namedAs(objects, phrase, described = []) {
  const exact = objects.filter(({ name }) => name === phrase)
  if (exact.length) return exact
  const alike = objects.filter(isAlike({ name: phrase }))
  if (alike.length) return alike
  return byNoun(objects, phrase, described)
}

function byNoun(objects, noun, described) {
  const ending = ` ${noun.toLowerCase()}`
  return objects.filter(({ name }) => described.includes(name) && name.toLowerCase().endsWith(ending))
}

/**
 * All places of words in a prompt: of whole words, or of letters where no words are set apart.
 *
 * @returns {{name: string, place: [number, number]}[]} the words as they stand there, and where they begin and end
 */
export function occurrences(prompt, words) {
  const wanted = words.trim()
  if (!wanted) return []
  const escaped = wanted.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")
  const found = (pattern) =>
    [...prompt.matchAll(new RegExp(pattern, "giu"))].map(({ 0: name, index }) => ({ name, place: [index, index + name.length] }))
  const whole = found(`(?<![\\p{L}\\p{N}_])${escaped}(?![\\p{L}\\p{N}_])`)
  return whole.length || !UNSPACED.test(wanted) ? whole : found(escaped)
}

/** Where an object stands in the prompt, from its first letter to after its last; undefined where it does not. */
export function placeOf({ prompt, read, stands }, object) {
  const at = read.findIndex(isSame(object))
  return at >= 0 ? stands[at] : occurrences(prompt, object.name)[object.occurrence]?.place
}

/**
 * A scene with the objects that a layout adds to it, by words of the prompt, and without those that it takes off.
 *
 * @returns {object} also ``own``, how many of its objects are the scene's, which come first; ``removed``, those of the
 *   scene that were taken off; ``held``, for each object of the layout where it is among the objects, -1 if it is not;
 *   and ``absent``, the names of those that the prompt does not name
 */
export function peopled(scene, { objects: placed = [], removed: off = [] }) {
  const gone = off.map((one) => findRemoved(scene, one))
  const [removed, own] = [true, false].map((is) => scene.objects.filter((one) => gone.includes(one) === is))
  const objects = [...own]
  const taken = []
  const absent = []
  const held = placed.map((one) => {
    const meant = meantBy(scene, one, removed)
    if (removed.includes(meant)) return -1
    if (!meant || taken.some(isOne(scene, meant))) {
      absent.push(labelOf(one))
      return -1
    }
    taken.push(meant)
    return own.includes(meant) ? own.indexOf(meant) : objects.push(meant) - 1
  })
  const at = scene.objects.map((one) => own.indexOf(one))
  const relations = scene.relations
    .map(([a, name, b]) => [at[a], name, b === null ? null : at[b]])
    .filter(([a, , b]) => a >= 0 && (b === null || b >= 0))
  return { ...scene, objects, relations, own: own.length, removed, held, absent }
}

/** The object that was taken off by its name, or by its noun; undefined where the scene has it no more. */
function findRemoved({ objects, described = [] }, one) {
  return objects.find(isSame(one)) ?? byNoun(objects, one.name, described)[one.occurrence]
}

/**
 * The object that a layout's object stands for: the scene's own, or one of the prompt's words; undefined if neither. One
 * that was taken off is not meant by its noun, but the words are, which another name of it can be.
 */
function meantBy({ objects, prompt, described }, { name, occurrence }, removed) {
  const known = namedAs(objects, name, described)
  const meant = known[occurrence]
  const isOther = removed.includes(meant) && !isAlike({ name })(meant)
  if (known.length && !isOther) return meant
  const words = occurrences(prompt, name)[occurrence]
  return words && { name: words.name, occurrence }
}

/** Whether another is the same object: of words of the prompt, the same place in it. */
function isOne({ objects }, one) {
  if (objects.includes(one)) return (other) => other === one
  return (other) => isAlike(one)(other) && other.occurrence === one.occurrence
}
