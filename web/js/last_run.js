/** What the last run drew of the prompt of a node, and where the model's attention then saw the objects. */

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { after, instanceById, keyOf, leadsFrom } from "./graph.js"
import { followFor, openWorkflow } from "./runs.js"

/** Pictures of a node whose looks are kept, for runs that take them from ComfyUI's cache. */
const MOST_PICTURES = 16
/**
 * By workflow: ``known``, by node, of the run that told last the run's id, the last looks of its samplers, the last
 * picture that a node after it showed, and its objects as its sampler saw them; or those of a look since, whose picture
 * is not there yet, and ``before``, what was known until then. ``looks``, by node, the looks of its pictures, by their
 * addresses, the latest last.
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
  const looked = last.run === told.run ? (last.looked ?? []) : []
  known.set(key, address ? withPicture(key, looked, address, instance, told) : withLook(last, looked, told))
  return true
}

/** What is known once a sampler has looked: the picture that is there is not the one that it draws. */
function withLook(last, looked, { id, run, objects }) {
  const others = looked.filter((look) => look.id !== id)
  return { run, looked: [...others, { id, objects }], objects, before: pictured(last) }
}

/** What is known of the last picture. */
function pictured(last) {
  return last.address === undefined ? last.before : last
}

/** What is known once a picture is shown, whose objects the last sampler before it saw. */
function withPicture(key, looked, address, instance, { run, isCached }) {
  const { looks } = memory()
  const ofPictures = looks.get(key) ?? new Map()
  looks.set(key, ofPictures)
  const look = looked.findLast(({ id }) => leadsFrom(instance, instanceById(id)?.node))
  // A run that looks at nothing can have its picture, and what was seen in it, from an earlier one.
  const objects = look?.objects ?? (isCached ? ofPictures.get(address) : undefined)
  ofPictures.delete(address)
  ofPictures.set(address, objects)
  if (ofPictures.size > MOST_PICTURES) ofPictures.delete(ofPictures.keys().next().value)
  return { run, looked, objects, address }
}

/** Of a run that was ended before its last look had a picture that look is not kept, of whichever graph it was. */
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
