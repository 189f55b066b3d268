/** What nodes make of the scene that reaches them, as steering_core/editing.py and layout.py do on the server. */

import { DamagedValue, faultOfEdits, faultOfLayout, parsed } from "./damage.js"
import { apart, layoutOf, placesOf } from "./layout.js"
import { namedAs, occurrences, peopled } from "./objects.js"
import { relationNamed } from "./vocabulary.js"

/** By the type of a node, its step: called with a scene, the values of the node's widgets, and the node's title. */
export const STEPS = {
  SpatialSteeringSpatialPrompt: laidOut,
  SpatialSteeringSpatialRelation: withRelation,
  SpatialSteeringEditRelations: edited,
  SpatialSteeringSceneLayout: laidOut,
}

/** For each relation of a scene the edit that it has, or undefined, as steering_core.editing finds them. */
export function editsOf({ objects, relations }, edits) {
  const key = (...read) => JSON.stringify(read)
  const left = new Map()
  for (const edit of (edits.relations ?? []).toReversed()) {
    const read = key(edit.subject, edit.relation, edit.object)
    if (!left.has(read)) left.set(read, [])
    left.get(read).push(edit)
  }
  // Of two relations in the same words, each has an edit of its own.
  const name = (index) => (index === null ? null : objects[index].name)
  return relations.map(([a, relation, b]) => left.get(key(name(a), relation, name(b)))?.pop())
}

function withRelation(scene, { subject, relation, object }, title) {
  const place = relationNamed(scene.vocabulary, relation)?.place
  if (place === undefined) throw damaged(title, JSON.stringify(relation))
  const objects = [...scene.objects]
  const position = (phrase) => positionOf(String(phrase ?? "").trim(), objects, scene)
  const [a, b] = [position(subject), place ? null : position(object)]
  if (a < 0 || (b !== null && b < 0) || a === b) return scene
  return { ...scene, objects, relations: distinct([...scene.relations, [a, relation, b]]) }
}

/** Where an object is among others; one that only the prompt names, or that was taken off, is added to them. */
function positionOf(phrase, objects, { prompt, read, described }) {
  const [words] = occurrences(prompt, phrase)
  // What a canvas has added by the same words is the same object.
  const added = namedAs(objects.filter((one) => !read.includes(one) && !one.occurrence), phrase)[0]
  const known = namedAs(read, phrase, described)[0] ?? added
  if (known) return objects.includes(known) ? objects.indexOf(known) : objects.push(known) - 1
  return words ? objects.push({ name: words.name, occurrence: 0 }) - 1 : -1
}

function edited(scene, { edits: held }, title) {
  const edits = parsed(held) ?? {}
  const fault = faultOfEdits(scene, edits)
  if (fault) throw damaged(title, fault)
  const found = editsOf(scene, edits)
  const relations = scene.relations.flatMap(([a, relation, b], index) => {
    const { wanted, on } = found[index] ?? { wanted: relation, on: true }
    return on ? [[a, wanted, b]] : []
  })
  return { ...scene, relations: distinct(relations) }
}

function laidOut(scene, { layout: held }, title) {
  const layout = parsed(held) ?? {}
  const fault = faultOfLayout(scene, layout)
  if (fault) throw damaged(title, fault)
  const shown = peopled(scene, layout)
  if (!layout.objects?.length) return shown
  const asked = layoutOf(apart(shown), layout)
  return { ...shown, relations: [...placesOf(asked), ...asked.relations] }
}

function damaged(title, fault) {
  return new DamagedValue(`${title}: ${fault}`)
}

function distinct(relations) {
  return [...new Map(relations.map((relation) => [relation.join(), relation])).values()]
}
