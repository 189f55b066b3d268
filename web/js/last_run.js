/** What the last run drew of the prompt of a node, and where the model's attention then saw the objects. */

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { leadsFrom } from "./scene.js"

const LOOKED = "spatial_steering.looked"
/** By node: the first picture that a node after it showed, and the last look of its sampler. */
const known = new Map()
const followers = new Set()

api.addEventListener("executed", ({ detail }) => {
  const [image] = detail.output?.images ?? []
  // Our own nodes show sheets and curves, which are no pictures of the prompt.
  const isOurs = placeOf(detail.display_node ?? detail.node)?.node.type.startsWith("SpatialSteering")
  if (!image || isOurs) return
  const { filename, subfolder, type } = image
  const address = api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`)
  learn(detail.display_node ?? detail.node, { address })
})
api.addEventListener(LOOKED, ({ detail }) => learn(detail.node, { objects: detail.objects }))

/** Keeps what was told by a node that runs, for all nodes that it hangs on. */
function learn(id, told) {
  const place = placeOf(id)
  if (!place) return
  for (const follower of followers) {
    if (leadsFrom(place, follower.node)) {
      known.set(keyOf(follower.node), { ...known.get(keyOf(follower.node)), ...told })
      follower.show()
    }
  }
}

/** The node of an execution's id, in which the ids of subgraph nodes on the way to it come first. */
function placeOf(id) {
  let graph = app.rootGraph ?? app.graph
  const hosts = []
  const ids = String(id).split(":")
  for (const host of ids.slice(0, -1)) {
    const node = graph?.getNodeById(Number(host))
    hosts.push(node)
    graph = node?.subgraph
  }
  const node = graph?.getNodeById(Number(ids.at(-1)))
  return node && { node, hosts }
}

function keyOf(node) {
  return `${node.graph?.id}:${node.id}`
}

/**
 * Follows the runs of what hangs on a node, for as long as the node is in a graph.
 *
 * @param show called when something new is known
 * @returns what is known: the address of a picture, and the objects with name, occurrence, x and y; each may be missing
 */
export function followRuns(node, show) {
  const follower = { node, show }
  const { onAdded, onRemoved } = node
  node.onAdded = function (...args) {
    onAdded?.apply(this, args)
    // A new graph gives its nodes the ids of those before; a graph that is loaded, or taken back a step, has its own.
    if (!app.configuringGraph) known.delete(keyOf(node))
    followers.add(follower)
  }
  node.onRemoved = function (...args) {
    onRemoved?.apply(this, args)
    followers.delete(follower)
  }
  return () => known.get(keyOf(node)) ?? {}
}
