/** The scene that reaches a node, as far as it is known before anything runs. */

import { describe } from "./describe.js"
import { inputNamed, origin, wayEnd, widgetValues } from "./graph.js"
import { STEPS } from "./steps.js"

/** The nodes that read a prompt, which is their widget "text". */
const READERS = ["SpatialSteeringRelationParser", "SpatialSteeringSpatialPrompt"]
/** Inputs whose conditioning is not the one that is sampled towards, or whose relations do not go on. */
const PASSED_OVER = ["conditioning_from", "negative"]

/**
 * Where a node's scene comes from, as plain JSON: what is equal gives equal scenes. It is read from the node's own
 * prompt, or upstream of its relations, or else of its positive conditioning.
 *
 * @returns {{prompt: string | undefined, steps: {type: string, title: string, values: object}[], isUnknown: boolean |
 *   undefined, off: {title: string, isNext: boolean} | undefined} | null} null without a node that reads a prompt; the
 *   prompt is undefined where it comes by a link that tells no text. It is unknown where a node makes relations of what
 *   is known once it runs, such as boxes. It is off where a node that is muted, or bypassed and hands nothing on, stands
 *   where relations should come from; that is the next one where they should come to this node itself.
 */
export function upstream(node) {
  const steps = []
  const seen = new Set()
  let instance = { node, hosts: [] }
  if (READERS.includes(node.type)) return { prompt: widgetValues(instance).text, steps }
  while (!seen.has(instance.node)) {
    seen.add(instance.node)
    const relations = inputNamed(instance, "relations")
    const before = origin(instance, relations) ?? readerOf(instance, inputNamed(instance, "positive"))
    if (!before) {
      const off = wayEnd(instance, relations)?.node
      return off ? { steps: [], off: { title: off.title, isNext: instance.node === node } } : null
    }
    instance = before
    const { type, title } = instance.node
    const values = widgetValues(instance)
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
 *   unsteered: string[], described: string[], read: object[], stands: [number, number][], vocabulary: object[]}>} the
 *   object of a place is null; what was read and is not steered; names that can be meant by their ends; the objects of
 *   the prompt as it was read, and where each stands there
 * @throws {DamagedValue} a node between holds what makes no scene
 */
export async function read({ prompt, steps }) {
  const described = await describe(prompt)
  const scene = { prompt, ...described, read: described.objects }
  return steps.reduce((before, { type, title, values }) => STEPS[type](before, values, title), scene)
}

/** The instance that read the prompt of a conditioning, past the nodes that hand the conditioning on. */
function readerOf(instance, input, seen = new Set()) {
  const before = origin(instance, input)
  if (!before || seen.has(before.node)) return undefined
  seen.add(before.node)
  if (READERS.includes(before.node.type)) return before
  for (const slot of before.node.inputs ?? []) {
    const leads = slot.type === "CONDITIONING" && !PASSED_OVER.includes(slot.name)
    const found = leads && readerOf(before, slot, seen)
    if (found) return found
  }
}
