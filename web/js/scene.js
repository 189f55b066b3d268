/** The scene that reaches a node, as far as it is known before anything runs. */

import { api } from "../../../scripts/api.js"
import { DamagedValue, faultOfEdits, faultOfLayout, parsed } from "./damage.js"
import { namedAs, occurrences, peopled } from "./objects.js"
import { apart, layoutOf, placesOf, relationNamed } from "./places.js"

const SPATIAL_PROMPT = "SpatialSteeringSpatialPrompt"
/** The nodes that read a prompt, which is their widget "text". */
const READERS = ["SpatialSteeringRelationParser", SPATIAL_PROMPT]

/** What nodes make of a scene, given the values of their widgets. */
const STEPS = {
  [SPATIAL_PROMPT]: laidOut,
  SpatialSteeringSpatialRelation: withRelation,
  SpatialSteeringEditRelations: edited,
  SpatialSteeringSceneLayout: laidOut,
}

/** Nodes that hold one value, and hand it on as it is: the first is the front end's own, which stands beside the graph. */
const HOLDERS = ["PrimitiveNode", "PrimitiveString", "PrimitiveStringMultiline"]

const NEVER = 2
const BYPASS = 4
/** Inputs whose conditioning is not the one that is sampled towards, or whose relations do not go on. */
const ASIDE = ["conditioning_from", "negative"]

/** By what a node is known when it is made anew, as by undo. */
export function keyOf(node) {
  return `${node.graph?.id}:${node.id}`
}

/** Whether a node does nothing: it is muted or bypassed. */
export function isOff({ mode }) {
  return [NEVER, BYPASS].includes(mode)
}

/**
 * Where a node's scene comes from, as plain JSON: what is equal gives equal scenes. It is read from the node's own
 * prompt, or upstream of its relations, or else of its positive conditioning.
 *
 * @returns {{prompt: string | undefined, steps: {type: string, title: string, values: object}[], isUnknown: boolean |
 *   undefined} | null} null without a node that reads a prompt; the prompt is undefined where it comes by a link that
 *   tells no text. It is unknown where a node makes relations of what is known once it runs, such as boxes.
 */
export function upstream(node) {
  const steps = []
  const seen = new Set()
  let place = { node, hosts: [] }
  if (READERS.includes(node.type)) return { prompt: valuesOf(place).text, steps }
  while (!seen.has(place.node)) {
    seen.add(place.node)
    place = origin(place, named(place, "relations")) ?? readerOf(place, named(place, "positive"))
    if (!place) return null
    const { type, title } = place.node
    const values = valuesOf(place)
    if (Object.hasOwn(STEPS, type)) steps.unshift({ type, title, values })
    if (READERS.includes(type)) return { prompt: values.text, steps }
    if (!Object.hasOwn(STEPS, type)) return { steps: [], isUnknown: true }
  }
  return null
}

/**
 * The scene that comes of what is upstream.
 *
 * @returns {Promise<{prompt: string, objects: object[], relations: [number, string, number | null][],
 *   unsteered: string[], described: string[], read: object[], vocabulary: object[]}>} the object of a place is null;
 *   what was read and is not steered; names that can be meant by their ends; the objects of the prompt as it was read
 * @throws {DamagedValue} a node between holds what makes no scene
 */
export async function read({ prompt, steps }) {
  const described = await describe(prompt)
  const scene = { prompt, ...described, read: described.objects }
  return steps.reduce((before, { type, title, values }) => STEPS[type](before, values, title), scene)
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

/** Whether anything that reaches a place comes through a node. */
export function leadsFrom(place, node, seen = new Set()) {
  if (place.node === node) return true
  if (seen.has(place.node)) return false
  seen.add(place.node)
  return (place.node.inputs ?? []).some((input) => {
    const before = origin(place, input)
    return before && leadsFrom(before, node, seen)
  })
}

// A place is a node, and the subgraph nodes that were entered on the way to it.

function named({ node }, name) {
  return node.inputs?.find((input) => input.name === name)
}

/** The place that read the prompt of a conditioning, past the nodes that hand the conditioning on. */
function readerOf(place, input, seen = new Set()) {
  const before = origin(place, input)
  if (!before || seen.has(before.node)) return undefined
  seen.add(before.node)
  if (READERS.includes(before.node.type)) return before
  for (const slot of before.node.inputs ?? []) {
    const leads = slot.type === "CONDITIONING" && !ASIDE.includes(slot.name)
    const found = leads && readerOf(before, slot, seen)
    if (found) return found
  }
}

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
  if (!node || node.mode === NEVER) return undefined
  if (node.mode === BYPASS) return origin(place, node.inputs.find(({ type }) => type === node.outputs[slot]?.type))
  if (node.isSubgraphNode?.()) {
    const inner = node.resolveSubgraphOutputLink(slot)
    return inner && sender({ node: inner.outputNode, hosts: [...hosts, node] }, inner.link.origin_slot)
  }
  return node.isVirtualNode && !HOLDERS.includes(node.type) ? origin(place, node.inputs[0]) : place
}

/** The subgraph node around a place: the one that was entered, else the first that shows this subgraph. */
function outside({ node: { graph }, hosts }) {
  const { rootGraph } = graph
  const nodes = [rootGraph, ...rootGraph.subgraphs.values()].flatMap(({ nodes }) => nodes)
  return { node: hosts.at(-1) ?? nodes.find(({ subgraph }) => subgraph === graph), hosts: hosts.slice(0, -1) }
}

/** The values of a node's widgets, by their names. */
function valuesOf(place) {
  return Object.fromEntries((place.node.widgets ?? []).map((widget) => [widget.name, valueOf(place, widget)]))
}

/** The value of a widget; of one that a subgraph shows outside, that one's; undefined if a node is to make it. */
function valueOf(place, widget, input = place.node.inputs?.find((slot) => slot.widget?.name === widget.name)) {
  const link = place.node.graph.getLink(input?.link)
  if (!link) return widget?.dynamicPrompts ? uncommented(widget.value) : widget?.value
  if (!link.originIsIoNode) {
    const from = origin(place, input)
    return HOLDERS.includes(from?.node.type) ? valueOf(from, from.node.widgets[0]) : undefined
  }
  const host = outside(place)
  const slot = host.node?.inputs[link.origin_slot]
  return slot && valueOf(host, host.node.getWidgetFromSlot(slot), slot)
}

/** A prompt without its comments, which the front end does not send. */
function uncommented(text) {
  return String(text).replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "")
}

/** The last answers of the server, by prompt, oldest first. */
const answers = new Map()
const MOST_ANSWERS = 50

/** What the server reads in a prompt; asked once for each, and again if it failed. */
function describe(prompt) {
  if (!answers.has(prompt)) {
    const answer = ask(prompt)
    answers.set(prompt, answer)
    if (answers.size > MOST_ANSWERS) answers.delete(answers.keys().next().value)
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
  if (response.ok) return response.json()
  const { error } = await response.json().catch(() => ({}))
  throw new Error(error ?? `${response.status} ${response.statusText}`)
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
  return words ? objects.push({ name: words, occurrence: 0 }) - 1 : -1
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
