/** What was read of the prompt, and is going to be steered, said on the nodes themselves. */

import { app } from "../../../scripts/app.js"
import { isOff } from "./graph.js"
import { sentence, texts } from "./text.js"
import { followScene, keepNodesWidth, make } from "./widget.js"

/** In pixels, what is free around it included: two lines, and more are scrolled to. */
const HEIGHT = 40
const MARGIN = 4
const PARSER = "SpatialSteeringRelationParser"
/** What each node says where nothing that reads a prompt is connected to it; the parser reads its own. */
const UNCONNECTED = {
  [PARSER]: "noRelations",
  SpatialSteeringSteeredKSampler: "noPrompt",
  SpatialSteeringApplySpatialSteering: "fromPositive",
}

app.registerExtension({
  name: "spatialsteering.Reading",
  nodeCreated(node) {
    if (Object.hasOwn(UNCONNECTED, node.comfyClass)) addReading(node, UNCONNECTED[node.comfyClass])
  },
})

/** Adds the line; it holds no value, so that neither the workflow nor what is sent to the server has it. */
function addReading(node, unconnected) {
  const words = texts()
  const said = make("p", { ariaLive: "polite", textContent: words.reading })
  const element = make("div", { className: "spatial-steering-reading" }, said)
  const height = () => HEIGHT
  const widget = node.addDOMWidget("reading", "SPATIAL_STEERING_READING", element, {
    serialize: false,
    margin: MARGIN,
    getMinHeight: height,
    getMaxHeight: height,
  })
  widget.serialize = false
  keepNodesWidth(widget)
  followScene(node, words[unconnected], (scene, missing) => {
    const isParser = node.comfyClass === PARSER
    const lines = isOff(node) ? [words.off] : scene ? linesOf(words, scene, isParser) : missing
    said.textContent = lines.join(" · ")
    said.title = lines.join("\n")
    said.classList.toggle("nothing", isOff(node) || !scene?.relations.length)
  })
}

/**
 * What is going to be steered, and depth, which is read and not steered. The parser speaks of the prompt's words alone,
 * for a node after it can say where things are.
 */
function linesOf(words, scene, isParser) {
  const { relations, unsteered } = scene
  const steered = relations.map((relation) => sentence(scene, relation))
  const read = [...steered, ...unsteered.map(words.notSteered)]
  if (steered.length || (isParser && read.length)) return read
  if (isParser) return [words.noneInWords]
  return [unsteered.length ? words.onlyRead(unsteered.join("; ")) : words.nothingToSteer]
}
