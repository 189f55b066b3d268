/** The line under a node that runs: the front end shows it under the node of an id in the graph that is on view. */

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { follow } from "./runs.js"
import { texts } from "./text.js"

/** By run, the lines of its nodes that are at work, by the id that they are shown under. */
const underWay = new Map()

follow((instance, { run, id, text, isUnderWay, isBroken }) => {
  if (text !== undefined) {
    const shownAt = idOnView(instance) ?? id
    const lines = underWay.get(run) ?? new Map()
    underWay.set(run, lines)
    if (isUnderWay) lines.set(shownAt, text)
    else if (lines.delete(shownAt) && !lines.size) underWay.delete(run)
    show(shownAt, text)
  }
  if (isBroken) {
    underWay.get(run)?.forEach((last, shownAt) => show(shownAt, texts().stopped(last)))
    underWay.delete(run)
  }
})

/** Of a node in a subgraph that is not open, the subgraph's node that is on view in its place. */
function idOnView({ node, hosts }) {
  if (node.graph === app.canvas.graph) return undefined
  return hosts.find(({ graph }) => graph === app.canvas.graph)?.id
}

function show(nodeId, text) {
  api.dispatchCustomEvent("progress_text", { nodeId, text })
}
