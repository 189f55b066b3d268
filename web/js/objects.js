/** Which objects a scene has once a layout adds to them and takes some off, and which of them a layout's value means. */

/** Where the objects of a value are among those of a scene; -1 for those that are absent. */
export function positions({ objects }, value) {
  const found = (value.objects ?? []).map((one) => {
    if (objects.some(({ name }) => name === one.name)) return objects.findIndex(isSame(one))
    const alike = objects.flatMap((object, index) => (isAlike(one)(object) ? [index] : []))
    return alike[one.occurrence] ?? -1
  })
  return found.map((index, at) => (found.indexOf(index) === at ? index : -1))
}

const isSame = (one) => (other) => one.name === other.name && one.occurrence === other.occurrence
const isAlike = (one) => (other) => one.name.toLowerCase() === other.name.toLowerCase()

/** The objects of a value that the scene does not have: nothing is asked of them. */
export function absentOf(scene, value) {
  const at = positions(scene, value)
  const absent = (value.objects ?? []).filter((_, index) => at[index] < 0)
  return absent.map(({ name, occurrence }) => (occurrence ? `${name} ${occurrence + 1}` : name))
}

/**
 * A scene with the objects that a layout adds to it, by words of the prompt, and without those that it takes off.
 *
 * @returns {object} also ``own``, how many of its objects are the scene's, which come first; and ``removed``, those of
 *   the scene that were taken off
 */
export function peopled(scene, { objects: placed = [], removed: off = [] }) {
  const [removed, own] = [true, false].map((is) => scene.objects.filter((one) => off.some(isSame(one)) === is))
  const added = placed.filter((one) => !scene.objects.some(isAlike(one)) && stands(scene.prompt, one))
  const objects = [...own, ...added.map(({ name, occurrence }) => ({ name, occurrence }))]
  const at = scene.objects.map((one) => objects.findIndex(isSame(one)))
  const relations = scene.relations
    .map(([a, name, b]) => [at[a], name, b === null ? null : at[b]])
    .filter(([a, , b]) => a >= 0 && (b === null || b >= 0))
  return { ...scene, objects, relations, own: own.length, removed }
}

/** Whether words stand in a prompt so often that the one that is meant is among them. */
function stands(prompt, { name, occurrence }) {
  return name.trim() !== "" && prompt.toLowerCase().split(name.toLowerCase()).length > occurrence + 1
}
