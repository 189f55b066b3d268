/** The widget of Scene Layout: the objects of the prompt on a field, where they are dragged to their places. */

import { app } from "../../../scripts/app.js"
import { faultOfLayout, MOST_PLACED } from "./damage.js"
import { apart, layoutOf, moved, valueOf } from "./places.js"
import { labels, sentence, texts } from "./text.js"
import { addSceneWidget, make } from "./widget.js"

/** Okabe and Ito's colours, which people with any colour vision tell apart. */
const COLOURS = ["#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2", "#999999"]
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
const STEP = 0.02
const LARGE_STEP = 0.1

app.registerExtension({
  name: "spatialsteering.SceneLayout",
  getCustomWidgets: () => ({
    SCENE_LAYOUT: (node, name) => ({
      widget: addSceneWidget(node, name, "SCENE_LAYOUT", { minHeight: 240, makeView: layoutView }),
      minWidth: 320,
      minHeight: 380,
    }),
  }),
})

function layoutView(change) {
  const words = texts()
  const lines = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  const stage = make("div", { className: "stage" })
  const field = make("div", { className: "field", role: "group", ariaLabel: words.field }, stage)
  const said = make("p", { className: "said scrolls", ariaLive: "polite" })
  const undo = button("↶", words.undo, () => step(past, future))
  const redo = button("↷", words.redo, () => step(future, past))
  const reset = button(words.reset, words.resetHint, () => commit({}))
  const foot = make("div", { className: "foot" }, said, undo, redo, reset)
  const element = make("div", { className: "layout" }, field, foot)
  element.addEventListener("keydown", onKeyDown)

  let scene, value, layout
  let names = []
  let chips = []
  let past = []
  let future = []

  function show(nextScene, nextValue) {
    const renew = JSON.stringify(nextScene.objects) !== JSON.stringify(scene?.objects)
    ;[scene, value] = [apart(nextScene), nextValue]
    if (renew) {
      names = labels(scene)
      chips = names.map(makeChip)
      stage.replaceChildren(lines, ...chips)
    }
    draw(layoutOf(scene, value))
  }

  function draw(next) {
    layout = next
    const percent = layout.points.map(([x, y]) => [100 * x, 100 * y])
    percent.forEach(([x, y], index) => {
      const chip = chips[index]
      Object.assign(chip.style, { left: `${x}%`, top: `${y}%` })
      chip.ariaLabel = words.place(chip.value, Math.round(x), Math.round(y))
      const isSaid = [...layout.relations, ...scene.places].some(([a, , b]) => a === index || b === index)
      chip.classList.toggle("unplaced", !layout.placed.has(index) && !isSaid)
    })
    lines.replaceChildren(...layout.relations.map(([a, name, b]) => line(percent[a], percent[b], name)))
    said.textContent = [...scene.places, ...layout.relations].map((said) => sentence(scene, names, said)).join("\n")
    for (const [control, usable] of [[undo, past.length], [redo, future.length], [reset, value.objects]]) {
      // Not "disabled": that would drop the focus, and with it the keys.
      control.ariaDisabled = String(!usable)
    }
  }

  /** Makes a change that can be taken back; one that goes on, such as a key held down, joins the one before. */
  function commit(next, goesOn = false) {
    if (JSON.stringify(next) === JSON.stringify(value)) return
    if (!goesOn) past.push(value)
    future = []
    change(next)
  }

  function step(from, to) {
    if (!from.length) return
    to.push(value)
    change(from.pop())
  }

  function makeChip(label, index) {
    // An input and not a button, for ComfyUI leaves Ctrl+Z alone where the focus is on an input.
    const chip = make("input", { type: "button", className: "chip", value: label, title: label })
    chip.style.borderColor = COLOURS[index % COLOURS.length]
    chip.addEventListener("pointerdown", (event) => drag(event, chip, index))
    return chip
  }

  function drag(event, chip, index) {
    if (event.button !== 0) return
    event.stopPropagation()
    chip.focus()
    chip.setPointerCapture(event.pointerId)
    const { width, height } = stage.getBoundingClientRect()
    const [x, y] = layout.points[index]
    const onMove = ({ clientX, clientY }) => {
      const to = [x + (clientX - event.clientX) / width, y + (clientY - event.clientY) / height]
      draw(moved(scene, layout, index, to))
    }
    const onEnd = ({ type }) => {
      chip.removeEventListener("pointermove", onMove)
      if (type === "pointerup") commit(valueOf(scene, layout))
      else draw(layoutOf(scene, value))
    }
    chip.addEventListener("pointermove", onMove)
    for (const end of ["pointerup", "pointercancel"]) chip.addEventListener(end, onEnd, { once: true })
  }

  function onKeyDown(event) {
    const { key, target } = event
    const index = chips.indexOf(target)
    if (event.ctrlKey || event.metaKey) {
      if (key.toLowerCase() === "z") event.shiftKey ? step(future, past) : step(past, future)
      else if (key.toLowerCase() === "y") step(future, past)
      else return
    } else if (key in ARROWS && index >= 0) {
      const [x, y] = layout.points[index]
      const far = event.shiftKey ? LARGE_STEP : STEP
      const to = [x + far * ARROWS[key][0], y + far * ARROWS[key][1]]
      commit(valueOf(scene, moved(scene, layout, index, to)), event.repeat)
    } else if (key === "Escape") {
      target.blur()
    } else return
    event.preventDefault()
    event.stopPropagation()
  }

  return {
    element,
    show,
    fault: faultOfLayout,
    fit: (scene, value) => (isTooMany(scene) ? value : valueOf(scene, layoutOf(apart(scene), value))),
    missing: (scene) => (isTooMany(scene) ? words.tooMany(MOST_PLACED) : scene.objects.length ? undefined : words.noObjects),
  }
}

function isTooMany({ objects }) {
  return objects.length > MOST_PLACED
}

function button(value, title, onclick) {
  return make("input", { type: "button", value, title, ariaLabel: title, onclick })
}

function line([x1, y1], [x2, y2], name) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", "line")
  Object.entries({ x1, y1, x2, y2 }).forEach(([key, number]) => element.setAttribute(key, `${number}%`))
  element.classList.add(name)
  return element
}
