/** The front end's graph: what reaches a node's inputs, and what its widgets hold. */

import { app } from "../../../scripts/app.js"

/** Nodes that hold one value, and hand it on as it is: the first is the front end's own, beside the graph. */
const HOLDERS = ["PrimitiveNode", "PrimitiveString", "PrimitiveStringMultiline"]

const NEVER = 2
const BYPASS = 4

/** The outermost graph of those that are open. */
export function rootGraph() {
  return app.rootGraph ?? app.graph
}

/**
 * Whether a node is in the graph that is open, or in one of its subgraphs. The front end tells a node within a subgraph
 * nothing when all goes, as by undo.
 */
export function isLive({ graph }) {
  const root = rootGraph()
  return graph === root || (graph && root.subgraphs?.get(graph.id) === graph)
}

/** By what a node is known when it is made anew, as by undo. */
export function keyOf(node) {
  return `${node.graph?.id}:${node.id}`
}

/** Does something after a method of a node, which there need not be. */
export function after(node, method, then) {
  const before = node[method]
  node[method] = function (...args) {
    before?.apply(this, args)
    then(...args)
  }
}

/** Whether a node does nothing: it is muted or bypassed. */
export function isOff({ mode }) {
  return [NEVER, BYPASS].includes(mode)
}

// An instance {node, hosts} is a node, and the subgraph nodes that were entered on the way to it, the outermost first:
// a subgraph that stands in several places has its nodes once.

/**
 * The instance of an execution's id, in which the ids of subgraph nodes on the way to it come first; or of the id by
 * which the front end keeps a node's outputs, in which the id of its subgraph comes first.
 */
export function instanceById(id) {
  let graph = rootGraph()
  const hosts = []
  const ids = String(id).split(":")
  if (graph.subgraphs?.has(ids[0])) graph = graph.subgraphs.get(ids.shift())
  for (const host of ids.slice(0, -1)) {
    const node = graph?.getNodeById(asId(host))
    hosts.push(node)
    graph = node?.subgraph
  }
  const node = graph?.getNodeById(asId(ids.at(-1)))
  return node && { node, hosts }
}

/** An id as its graph has it: a number, or in a graph that was opened from the API's format perhaps a name. */
function asId(text) {
  return Number.isNaN(Number(text)) ? text : Number(text)
}

/** The input of an instance that has a name. */
export function inputNamed({ node }, name) {
  return node.inputs?.find((input) => input.name === name)
}

/** Whether anything that reaches an instance comes through a node. */
export function leadsFrom(instance, node, seen = new Set()) {
  if (instance.node === node) return true
  if (seen.has(instance.node)) return false
  seen.add(instance.node)
  return (instance.node.inputs ?? []).some((input) => {
    const before = origin(instance, input)
    return before && leadsFrom(before, node, seen)
  })
}

/** The instance that the values of an input come from, past reroutes, bypassed nodes and borders of subgraphs. */
export function origin(instance, input) {
  const end = wayEnd(instance, input)
  return end && !isOff(end.node) ? end : undefined
}

/** The same; or the instance at which the way there ends, which is muted, or bypassed and hands nothing on. */
export function wayEnd({ node, hosts }, input) {
  const link = input && node.graph?.getLink(input.link)
  if (!link) return undefined
  if (!link.originIsIoNode) return sender({ node: node.graph.getNodeById(link.origin_id), hosts }, link.origin_slot)
  const host = outside({ node, hosts })
  return wayEnd(host, host.node?.inputs[link.origin_slot])
}

/** The instance whose values an output of another hands on, or at which the way there ends. */
function sender(instance, slot) {
  const { node, hosts } = instance
  if (!node) return undefined
  if (node.mode === NEVER) return instance
  if (node.mode === BYPASS) {
    const through = node.inputs.find(({ type }) => type === node.outputs[slot]?.type)
    return wayEnd(instance, through) ?? instance
  }
  if (node.isSubgraphNode?.()) {
    const inner = node.resolveSubgraphOutputLink(slot)
    return inner && sender({ node: inner.outputNode, hosts: [...hosts, node] }, inner.link.origin_slot)
  }
  return node.isVirtualNode && !HOLDERS.includes(node.type) ? wayEnd(instance, node.inputs[0]) : instance
}

/** The subgraph node around an instance: the one that was entered, else the first that shows this subgraph. */
function outside({ node: { graph }, hosts }) {
  const { rootGraph } = graph
  const nodes = [rootGraph, ...rootGraph.subgraphs.values()].flatMap(({ nodes }) => nodes)
  return { node: hosts.at(-1) ?? nodes.find(({ subgraph }) => subgraph === graph), hosts: hosts.slice(0, -1) }
}

/** The values of a node's widgets, by their names. */
export function widgetValues(instance) {
  const widgets = instance.node.widgets ?? []
  return Object.fromEntries(widgets.map((widget) => [widget.name, widgetValue(instance, widget)]))
}

/** The value of a widget; of one that a subgraph shows outside, that one's; undefined if a node is to make it. */
function widgetValue(instance, widget, input = inputOf(instance, widget)) {
  const link = instance.node.graph.getLink(input?.link)
  if (!link) return widget?.dynamicPrompts ? uncommented(widget.value) : widget?.value
  if (!link.originIsIoNode) {
    const from = origin(instance, input)
    return HOLDERS.includes(from?.node.type) ? widgetValue(from, from.node.widgets[0]) : undefined
  }
  const host = outside(instance)
  const slot = host.node?.inputs[link.origin_slot]
  return slot && widgetValue(host, host.node.getWidgetFromSlot(slot), slot)
}

/** The input that takes the place of a widget once something is connected to it. */
function inputOf({ node }, widget) {
  return node.inputs?.find((input) => input.widget?.name === widget.name)
}

/** A prompt without its comments, which the front end does not send. */
function uncommented(text) {
  return String(text).replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "")
}
