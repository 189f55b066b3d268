/** What the last run drew of the prompt of a node, and where the model's attention then saw the objects. */

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { instanceById, keyOf, leadsFrom } from "./graph.js"
import { after } from "./widget.js"

const LOOKED = "spatial_steering.looked"
/** Time for the front end to have put a graph's outputs back, once it has been opened again. */
const RESTORE_MILLISECONDS = 300
/** Pictures of a node whose looks are kept, for runs that take them from ComfyUI's cache. */
const MOST_PICTURES = 16
/**
 * By node, of the run that told last: the run's id, the last picture that a node after it showed, and the last look of
 * a sampler; and the run before that had a picture, for as long as this one has none.
 */
const known = new Map()
/** By node, the looks of its pictures, by their addresses, the latest last. */
const looks = new Map()
const followers = new Set()

api.addEventListener("executed", ({ detail }) => {
  const id = detail.display_node ?? detail.node
  const address = addressOf(id, detail.output)
  if (address) learn(id, detail.prompt_id, { address })
})
api.addEventListener(LOOKED, ({ detail: { node, run, objects } }) => learn(node, run, { objects }))
for (const ending of ["execution_interrupted", "execution_error"]) {
  api.addEventListener(ending, ({ detail }) => takeBack(detail.prompt_id))
}

/** Where the first picture of a node's output is; undefined for none, and for sheets and curves of our own nodes. */
function addressOf(id, output) {
  const [image] = output?.images ?? []
  if (!image || instanceById(id)?.node.type.startsWith("SpatialSteering")) return undefined
  const { filename, subfolder, type } = image
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`)
}

/** Keeps what was told by a node that runs, for all nodes that it hangs on. */
function learn(id, run, told) {
  const instance = instanceById(id)
  if (!instance) return
  for (const follower of followers) {
    if (leadsFrom(instance, follower.node)) tell(follower, learned(keyOf(follower.node), run, told))
  }
}

/** What is known of a node once a run has told something. */
function learned(key, run, told) {
  const { before, ...last } = known.get(key) ?? {}
  const isSame = last.run === run
  if (told.address === undefined) {
    return { ...(isSame ? last : { run }), ...told, before: isSame || last.address === undefined ? before : last }
  }
  const ofPictures = looks.get(key) ?? new Map()
  looks.set(key, ofPictures)
  // A run that looks at nothing can have its picture, and what was seen in it, from an earlier one.
  const objects = (isSame ? last.objects : undefined) ?? ofPictures.get(told.address)
  ofPictures.delete(told.address)
  ofPictures.set(told.address, objects)
  if (ofPictures.size > MOST_PICTURES) ofPictures.delete(ofPictures.keys().next().value)
  return { run, objects, ...told }
}

function tell(follower, told) {
  known.set(keyOf(follower.node), told)
  follower.show()
}

/** Of a run that was ended before it had a picture nothing is kept, of whichever graph it was. */
function takeBack(run) {
  for (const [key, last] of known) {
    if (last.run === run && last.address === undefined) known.set(key, last.before ?? {})
  }
  followers.forEach((follower) => follower.show())
}

/** What a run drew while another graph was open. */
function catchUp(follower) {
  const outputs = app.nodeOutputs ?? {}
  const hangsOn = (instance) => instance && leadsFrom(instance, follower.node)
  const ids = Object.keys(outputs).filter((id) => hangsOn(instanceById(id)))
  const addresses = ids.flatMap((id) => addressOf(id, outputs[id]) ?? [])
  const { address, before } = known.get(keyOf(follower.node)) ?? {}
  if (addresses.length && !addresses.includes(address ?? before?.address)) tell(follower, { address: addresses.at(-1) })
}

/**
 * Follows the runs of what hangs on a node, for as long as the node is in a graph.
 *
 * @param show called when something new is known
 * @returns what is known: the address of a picture, and the objects with name, occurrence, x and y; each may be missing
 */
export function followRuns(node, show) {
  const follower = { node, show }
  after(node, "onAdded", () => {
    // A new graph gives its nodes the ids of those before; a graph that is loaded, or taken back a step, has its own.
    if (app.configuringGraph) setTimeout(() => followers.has(follower) && catchUp(follower), RESTORE_MILLISECONDS)
    else known.delete(keyOf(node))
    followers.add(follower)
  })
  after(node, "onRemoved", () => followers.delete(follower))
  return () => known.get(keyOf(node)) ?? {}
}
