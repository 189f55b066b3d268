/**
 * What runs tell, handed to the workflow that was run: at once while it is open, else once it is opened again.
 *
 * The front end hands what it is told to the graph that is open, where other nodes can have the same ids.
 */

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { after, instanceById, isLive, rootGraph } from "./graph.js"

const LOOK_MILLISECONDS = 300
/** Of what is told of a workflow that is not open, and of runs that were queued, the last so many are kept. */
const MOST_KEPT = 256

/** Where the session keeps, for the page that is loaded anew, where the runs were queued that go on. */
const STORED = "spatialsteering.queued"

/** By run of this page, until it has ended, where it was queued: {workflow, graph}, the latter an id. */
const queued = new Map()
/** The same of the page before this one, whose workflows come back later, and are known by {path, graph} until then. */
const queuedBefore = new Map(JSON.parse(sessionStorage.getItem(STORED) ?? "[]"))
/** Nodes of the run that is going on whose outputs are those of a run before. */
let cached = []
/** By workflow, what is to be handed to it once it is opened. */
const kept = new WeakMap()
/** Workflows that were open when another was run: what the front end knows of their nodes can be that one's. */
const disturbed = new WeakSet()
const followers = new Set()
/** The workflow that was open when this was looked at last. */
let shown

const queuePrompt = api.queuePrompt
api.queuePrompt = async function (...args) {
  const from = open()
  const answer = await queuePrompt.apply(this, args)
  queued.set(answer.prompt_id, from)
  // Of a run that is taken out of the queue no ending is told.
  if (queued.size > MOST_KEPT) queued.delete(queued.keys().next().value)
  return answer
}

api.addEventListener("execution_cached", ({ detail }) => (cached = detail.nodes))
listen("executed", ({ display_node, node, output, prompt_id: run }) => {
  return { id: display_node ?? node, run, output, isCached: cached.includes(node) }
})
listen("spatial_steering.looked", ({ node: id, run, objects }) => ({ id, run, objects }))
listen("spatial_steering.said", ({ node: id, run, text, under_way: isUnderWay }) => ({ id, run, text, isUnderWay }))
listen("execution_interrupted", broken)
listen("execution_error", broken)
for (const ending of ["execution_interrupted", "execution_error", "execution_success"]) {
  api.addEventListener(ending, ({ detail }) => {
    queued.delete(detail.prompt_id)
    queuedBefore.delete(detail.prompt_id)
  })
}

sessionStorage.removeItem(STORED)
window.addEventListener("pagehide", () => {
  const known = [...queued].map(([run, { workflow, graph }]) => [run, { path: workflow.path, graph }])
  sessionStorage.setItem(STORED, JSON.stringify([...queuedBefore, ...known]))
})

app.registerExtension({ name: "spatialsteering.Runs", onNodeOutputsUpdated: handEarlier })

/** Hands on what is told by an event of the server. */
function listen(event, toldBy) {
  api.addEventListener(event, ({ detail }) => {
    const told = toldBy(detail)
    hand(told, placeOf(told.run))
  })
}

function broken({ prompt_id: run }) {
  return { run, isBroken: true }
}

/** Where a run was queued; undefined if it is not known. */
function placeOf(run) {
  const before = queuedBefore.get(run)
  if (!before) return queued.get(run)
  // One that has not come back is none of those that are open.
  return { workflow: app.extensionManager.workflow.getWorkflowByPath(before.path) ?? {}, graph: before.graph }
}

/** The workflow that is open, and the id of its graph, which changes a moment before while another is opened. */
function open() {
  return { workflow: openWorkflow(), graph: rootGraph().id }
}

export function openWorkflow() {
  return app.extensionManager.workflow.activeWorkflow ?? app
}

/** Hands over what is told, if the workflow is open that it is told of; of a run that is not known, to the open one. */
function hand(told, from = open()) {
  look()
  const { workflow, graph } = open()
  if (workflow === from.workflow && graph === from.graph) return deliver(told)
  disturbed.add(workflow)
  const later = kept.get(from.workflow) ?? new Map()
  kept.set(from.workflow, later)
  // Of what is told again and again, such as a line of text, the last is enough.
  const key = JSON.stringify([told.run, told.id, Object.keys(told)])
  later.delete(key)
  later.set(key, { told, from })
  if (later.size > MOST_KEPT) later.delete(later.keys().next().value)
}

function deliver(told) {
  const instance = instanceById(told.id)
  if (instance || told.isBroken) followers.forEach((tell) => tell(instance, told))
}

/** Hands over what was kept for a workflow, once it has come to be open. */
function look() {
  const workflow = openWorkflow()
  if (workflow === shown) return
  shown = workflow
  const later = kept.get(workflow) ?? new Map()
  kept.delete(workflow)
  later.forEach(({ told, from }) => hand(told, from))
  followers.forEach((tell) => tell(undefined, { isOpened: true }))
}

setInterval(look, LOOK_MILLISECONDS)

/** Hands over the outputs of a run before that the front end has brought back, as for a job that is opened again. */
function handEarlier(outputs) {
  look()
  if (disturbed.has(openWorkflow())) return
  Object.entries(outputs).forEach(([id, output]) => deliver({ id, output, isEarlier: true }))
}

/**
 * Follows what is told of the workflow that is open.
 *
 * @param tell called with the instance that something is told of, and with what is told:
 *   - ``run``: the run's id
 *   - ``output``: what a node shows; ``isCached`` if it is of a run before, ``isEarlier`` if no run tells it
 *   - ``objects``: where attention saw the objects when a sampler looked last
 *   - ``text``: a line on how a node gets on; ``isUnderWay`` if more is to come
 *   - ``isBroken``: the run has ended before its end, ``isOpened``: the workflow has come to be open; of no instance
 */
export function follow(tell) {
  followers.add(tell)
}

/** The same, for as long as a node is in its graph. */
export function followFor(node, tell) {
  const follower = (...told) => (isLive(node) ? tell(...told) : followers.delete(follower))
  after(node, "onAdded", () => followers.add(follower))
  after(node, "onRemoved", () => followers.delete(follower))
}
