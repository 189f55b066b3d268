/** What the widgets of this pack share: a value, a look upstream, and elements to show both. */

import { app } from "../../../scripts/app.js"
import { DamagedValue, parsed } from "./damage.js"
import { after, isLive, isOff, keyOf } from "./graph.js"
import { followFor } from "./runs.js"
import { read, upstream } from "./scene.js"
import "./style.js"
import { texts } from "./text.js"

const LOOK_MILLISECONDS = 300
/** After a failure, how long until the server is asked again. */
const RETRY_MILLISECONDS = 3000
/** What the front end leaves free around such a widget, in pixels. */
const MARGIN = 10

/** An element with properties and children; a shorthand. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties)
  element.append(...children)
  return element
}

/**
 * Gives a node a widget that shows the scene which reaches the node.
 *
 * A value can come from anybody's workflow. One that is damaged stays as it is until a person resets it; the server
 * refuses what hangs on it, and runs the rest.
 *
 * @param makeView called with ``change(value)``, for changes by a person; returns the view:
 *   - ``element``: what is shown
 *   - ``fault(scene, value)``: what is damaged in a value, else undefined; the other below is given sound ones
 *   - ``show(scene, value)``: show what is left of a value in a scene. The value itself stays as it is, for the scene
 *     can be that of a prompt half written, of one of several alternatives, or of another tab's run
 *   - ``missing(scene)``: what to say if there is nothing to show, else undefined
 */
export function addSceneWidget(node, name, type, { minHeight, makeView }) {
  const words = texts()
  const said = make("p", { textContent: words.reading })
  const reset = make("input", { type: "button", value: words.reset, onclick: () => change({}) })
  const hint = make("div", { className: "hint" }, said)
  const view = makeView(change)
  const element = make("div", { className: "spatial-steering" }, view.element, hint)
  view.element.hidden = true
  // Nodes 2.0 share a node's height out among its widgets by what their elements ask for.
  element.style.minHeight = `${minHeight - 2 * MARGIN}px`
  element.addEventListener("wheel", zoomCanvas)

  let value = {}
  let scene = null
  followScene(node, words.noParser, (next, missing) => {
    scene = isOff(node) ? null : next
    if (scene) hold(value)
    else say(isOff(node) ? wordsForOff(node) : missing[0])
  })

  const widget = node.addDOMWidget(name, type, element, {
    // A text: where a value is an object, comfy-cli sends none of the node's values.
    getValue: () => JSON.stringify(value),
    setValue: (next) => hold(parsed(next)),
    getMinHeight: () => minHeight,
    socketless: true,
  })
  widget.serializeValue = () => value
  keepNodesWidth(widget)
  stayInView(node, element)

  function hold(next) {
    value = next ?? {}
    if (!scene) return
    const fault = view.fault(scene, value)
    const missing = fault === undefined ? view.missing(scene) : words.damaged(fault)
    if (missing === undefined) view.show(scene, value)
    say(missing, fault !== undefined)
  }

  /** Shows a text in the place of the view, or the view where there is none to show. */
  function say(text, damaged = false) {
    said.textContent = text ?? ""
    hint.replaceChildren(...(damaged ? [said, reset] : [said]))
    hint.hidden = text === undefined
    view.element.hidden = text !== undefined
  }

  function change(next) {
    app.canvas.emitBeforeChange()
    widget.value = next
    app.canvas.emitAfterChange()
  }

  return widget
}

/** Keeps a widget as wide as its node; the front end's properties panel sets it to its own width, and leaves it so. */
export function keepNodesWidth(widget) {
  Object.defineProperty(widget, "width", { get: () => undefined, set: () => {} })
}

/** By node the element that stands for it, for as long as something else holds it. */
const shown = new Map()

/**
 * Puts a node's element where the one before stands, if that is still to be seen once the node was made anew.
 *
 * An app takes a widget's element once. Undo and the like make all nodes anew, and it would show a dead one.
 */
function stayInView(node, element) {
  after(node, "onAdded", () => {
    const key = keyOf(node)
    const before = shown.get(key)?.deref()
    shown.set(key, new WeakRef(element))
    setTimeout(() => {
      if (before?.isConnected && shown.get(key).deref() === element) before.replaceWith(element)
    }, LOOK_MILLISECONDS)
  })
}

/**
 * Follows the scene of a node for as long as the node is in a graph.
 *
 * @param unconnected what to say where nothing upstream reads a prompt
 * @param show called with each new scene, or with null and the lines to say in its place
 */
export function followScene(node, unconnected, show) {
  const words = texts()
  let followed

  function found() {
    const source = upstream(node)
    const kept = source?.isUnknown || source?.off ? undefined : node.properties.prompt
    return JSON.stringify({ mode: node.mode, source: source && { ...source, prompt: source.prompt ?? kept } })
  }

  async function follow(json) {
    if (json === followed) return
    followed = json
    const { source } = JSON.parse(json)
    let next = null
    let missing = linesWithout(source, unconnected)
    if (source?.prompt !== undefined) {
      try {
        next = await read(source)
      } catch (error) {
        missing = [(error instanceof DamagedValue ? words.damagedBefore : words.failed)(error.message)]
        if (!(error instanceof DamagedValue)) setTimeout(() => json === followed && (followed = undefined), RETRY_MILLISECONDS)
      }
    }
    if (json === followed) show(next, missing)
  }

  // Nothing tells a node of what changes further up, so it looks, and follows once the change has come to rest.
  let seen, timer
  function look() {
    if (!isLive(node)) return clearInterval(timer)
    const now = found()
    if (now === seen) follow(now)
    seen = now
  }

  after(node, "onAdded", () => (timer = setInterval(look, LOOK_MILLISECONDS)))
  after(node, "onRemoved", () => clearInterval(timer))
  // A prompt that comes by a link is known from the last run only, and kept with the node for the next session.
  followFor(node, (instance, { output }) => {
    const isToKeep = instance?.node === node && output?.prompt && upstream(node)?.prompt === undefined
    if (isToKeep) [node.properties.prompt] = output.prompt
  })
}

/** What to say of a node that is bypassed or muted; one that reads a prompt then hands on none. */
function wordsForOff({ outputs }) {
  const words = texts()
  return outputs.some(({ type }) => type === "CONDITIONING") ? words.offWithPrompt : words.off
}

/** What to say where no prompt is known. */
function linesWithout(source, unconnected) {
  const words = texts()
  if (!source) return [unconnected]
  if (!source.off) return [source.isUnknown ? words.unknownRelations : words.unknownPrompt]
  // Without a node that is off, a run goes on where the next one does not ask for relations; else it is refused.
  const { title, isNext } = source.off
  return isNext ? [words.offBefore(title), unconnected] : [words.offBefore(title)]
}

/** Lets the wheel zoom the canvas as elsewhere on a node, unless what is under it scrolls. */
function zoomCanvas(event) {
  const box = event.target.closest(".scrolls")
  if (box && box.scrollHeight > box.clientHeight) return
  event.preventDefault()
  app.canvas.processMouseWheel(event)
}
