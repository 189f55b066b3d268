/** What the last run drew of the prompt of a node, and where the model's attention then saw the objects. */

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { after, keyOf, leadsFrom } from "./graph.js"
import { followFor, openWorkflow } from "./runs.js"

/** Pictures of a node whose looks are kept, for runs that take them from ComfyUI's cache. */
const MOST_PICTURES = 16
/**
 * By workflow: ``known``, by node, of the run that told last the run's id, the last picture that a node after it showed,
 * and the last look of a sampler; and the run before that had a picture, for as long as this one has none. ``looks``, by
 * node, the looks of its pictures, by their addresses, the latest last.
 */
const memories = new WeakMap()

/** What is kept for the workflow that is open. */
function memory() {
  const workflow = openWorkflow()
  if (!memories.has(workflow)) memories.set(workflow, { known: new Map(), looks: new Map() })
  return memories.get(workflow)
}

/** Where the first picture of a node's output is; undefined for none, and for sheets and curves of our own nodes. */
function addressOf({ node }, output) {
  const [image] = output?.images ?? []
  if (!image || node.type.startsWith("SpatialSteering")) return undefined
  const { filename, subfolder, type } = image
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`)
}

/** Keeps of a node what a run has told of one that hangs on it; returns whether there is something new. */
function learn(node, instance, told) {
  const address = told.output && addressOf(instance, told.output)
  if ((!address && !told.objects) || !leadsFrom(instance, node)) return false
  const { known } = memory()
  const key = keyOf(node)
  const last = known.get(key) ?? {}
  if (told.isEarlier && pictured(last)) return false
  known.set(key, address ? withPicture(key, last, address, told) : withLook(last, told))
  return true
}

/** What is known once a sampler has looked. */
function withLook(last, { run, objects }) {
  return { ...(last.run === run ? last : { run, before: pictured(last) }), objects }
}

/** What is known of the last run that had a picture. */
function pictured(last) {
  return last.address === undefined ? last.before : last
}

/** What is known once a picture is shown. */
function withPicture(key, last, address, { run, isCached }) {
  const { looks } = memory()
  const ofPictures = looks.get(key) ?? new Map()
  looks.set(key, ofPictures)
  // A run that looks at nothing can have its picture, and what was seen in it, from an earlier one.
  const objects = (last.run === run ? last.objects : undefined) ?? (isCached ? ofPictures.get(address) : undefined)
  ofPictures.delete(address)
  ofPictures.set(address, objects)
  if (ofPictures.size > MOST_PICTURES) ofPictures.delete(ofPictures.keys().next().value)
  return { run, objects, address }
}

/** Of a run that was ended before it had a picture nothing is kept, of whichever graph it was. */
function takeBack(key, run) {
  const { known } = memory()
  const last = known.get(key)
  if (last?.run === run && last.address === undefined) known.set(key, last.before ?? {})
}

/**
 * Follows the runs of what hangs on a node, for as long as the node is in a graph.
 *
 * @param show called when something new is known
 * @returns what is known: the address of a picture, and the objects with name, occurrence, x and y; each may be missing
 */
export function followRuns(node, show) {
  // A new graph gives its nodes the ids of those before; a graph that is loaded, or taken back a step, has its own.
  after(node, "onAdded", () => app.configuringGraph || memory().known.delete(keyOf(node)))
  followFor(node, (instance, told) => {
    if (told.isBroken) takeBack(keyOf(node), told.run)
    if (told.isBroken || told.isOpened || learn(node, instance, told)) show()
  })
  return () => {
    const { address, run, objects } = memory().known.get(keyOf(node)) ?? {}
    // Another run can have written another picture to the same address, which is loaded once.
    return { address: address && `${address}&run=${run ?? ""}`, objects }
  }
}
