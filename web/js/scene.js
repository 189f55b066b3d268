/** The scene that reaches a node, as far as it is known before anything runs. */

import { api } from "../../../scripts/api.js"

const PARSER = "SpatialSteeringRelationParser"

/** What the nodes after the parser make of a scene, given the values of their widgets. */
const STEPS = {
  SpatialSteeringSpatialRelation: withRelation,
  SpatialSteeringEditRelations: edited,
  SpatialSteeringSceneLayout: laidOut,
}

const NEVER = 2
const BYPASS = 4

/**
 * What is upstream of a node's relations, as plain JSON: what is equal gives equal scenes.
 *
 * @returns {{prompt: string | undefined, steps: {type: string, values: object}[]} | null} null without a parser; the
 *   prompt is undefined where it comes by a link.
 */
export function upstream(node) {
  const steps = []
  const seen = new Set()
  let place = { node, hosts: [] }
  while (!seen.has(place.node)) {
    seen.add(place.node)
    place = origin(place, place.node.inputs.find(({ name }) => name === "relations"))
    const values = () => Object.fromEntries(place.node.widgets.map((widget) => [widget.name, valueOf(place, widget)]))
    if (place?.node.type === PARSER) return { prompt: values().text, steps }
    if (!(place?.node.type in STEPS)) return null
    steps.unshift({ type: place.node.type, values: values() })
  }
  return null
}

/**
 * The scene that comes of what is upstream.
 *
 * @returns {Promise<{prompt: string, objects: object[], relations: [number, string, number][], vocabulary: object[]}>}
 */
export async function read({ prompt, steps }) {
  const described = await describe(prompt)
  return steps.reduce((scene, { type, values }) => STEPS[type](scene, values), { prompt, ...described })
}

/** For each relation of a scene the edit that it has, or undefined, as steering_core.editing finds them. */
export function editsOf({ objects, relations }, edits) {
  const left = [...(edits?.relations ?? [])]
  return relations.map(([subject, relation, object]) => {
    const index = left.findIndex(
      (edit) =>
        edit.subject === objects[subject].name && edit.relation === relation && edit.object === objects[object].name,
    )
    // Of two relations in the same words, each has an edit of its own.
    return index < 0 ? undefined : left.splice(index, 1)[0]
  })
}

/** Where the objects of a layout are among those of a scene; -1 for those that are gone. */
export function positions({ objects }, layout) {
  return (layout.objects ?? []).map(({ name, occurrence }) =>
    objects.findIndex((object) => object.name === name && object.occurrence === occurrence),
  )
}

// A place is a node, and the subgraph nodes that were entered on the way to it.

/** The place that the values of an input come from, past reroutes, bypassed nodes and borders of subgraphs. */
function origin({ node, hosts }, input) {
  const link = input && node.graph?.getLink(input.link)
  if (!link) return undefined
  if (!link.originIsIoNode) return sender({ node: node.graph.getNodeById(link.origin_id), hosts }, link.origin_slot)
  const host = outside({ node, hosts })
  return origin(host, host.node?.inputs[link.origin_slot])
}

function sender(place, slot) {
  const { node, hosts } = place
  if (node.mode === NEVER) return undefined
  if (node.mode === BYPASS) return origin(place, node.inputs.find(({ type }) => type === node.outputs[slot].type))
  if (node.isSubgraphNode?.()) {
    const inner = node.resolveSubgraphOutputLink(slot)
    return inner && sender({ node: inner.outputNode, hosts: [...hosts, node] }, inner.link.origin_slot)
  }
  return node.isVirtualNode ? origin(place, node.inputs[0]) : place
}

/** The subgraph node around a place: the one that was entered, else the first that shows this subgraph. */
function outside({ node: { graph }, hosts }) {
  const { rootGraph } = graph
  const nodes = [rootGraph, ...rootGraph.subgraphs.values()].flatMap(({ nodes }) => nodes)
  return { node: hosts.at(-1) ?? nodes.find(({ subgraph }) => subgraph === graph), hosts: hosts.slice(0, -1) }
}

/** The value of a widget; of one that a subgraph shows outside, that one's; undefined if it comes from a node. */
function valueOf(place, widget, input = place.node.inputs.find((slot) => slot.widget?.name === widget.name)) {
  const link = place.node.graph.getLink(input?.link)
  if (!link) return widget?.value
  if (!link.originIsIoNode) return undefined
  const host = outside(place)
  const slot = host.node?.inputs[link.origin_slot]
  return slot && valueOf(host, host.node.getWidgetFromSlot(slot), slot)
}

const answers = new Map()

/** What the server reads in a prompt; asked once for each, and again if it failed. */
function describe(prompt) {
  if (!answers.has(prompt)) {
    const answer = ask(prompt)
    answers.set(prompt, answer)
    answer.catch(() => answers.delete(prompt))
  }
  return answers.get(prompt)
}

async function ask(prompt) {
  const response = await api.fetchApi("/spatial_steering/describe", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ prompt }),
  })
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`)
  return response.json()
}

function withRelation(scene, { subject, relation, object }) {
  const objects = [...scene.objects]
  const [a, b] = [subject, object].map((phrase) => positionOf(phrase?.trim(), objects, scene.prompt))
  if (a < 0 || b < 0 || a === b) return scene
  return { ...scene, objects, relations: distinct([...scene.relations, [a, relation, b]]) }
}

/** Where an object is among others; one that only the prompt names is added to them. */
function positionOf(phrase, objects, prompt) {
  if (!phrase) return -1
  const known = objects.findIndex(({ name }) => name.toLowerCase() === phrase.toLowerCase())
  const start = prompt.toLowerCase().indexOf(phrase.toLowerCase())
  if (known >= 0 || start < 0) return known
  return objects.push({ name: prompt.slice(start, start + phrase.length), occurrence: 0 }) - 1
}

function edited(scene, { edits }) {
  const found = editsOf(scene, edits)
  const relations = scene.relations.flatMap(([a, relation, b], index) => {
    const { wanted, on } = found[index] ?? { wanted: relation, on: true }
    return on ? [[a, wanted, b]] : []
  })
  return { ...scene, relations: distinct(relations) }
}

function laidOut(scene, { layout }) {
  if (!layout?.objects?.length) return scene
  const at = positions(scene, layout)
  const relations = layout.relations.map(([a, relation, b]) => [at[a], relation, at[b]])
  return { ...scene, relations: distinct(relations.filter(([a, , b]) => a >= 0 && b >= 0)) }
}

function distinct(relations) {
  return [...new Map(relations.map((relation) => [relation.join(), relation])).values()]
}
