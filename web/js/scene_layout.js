/** The widget of Scene Layout: the objects of the prompt on a field, where they are dragged to their places. */

import { app } from "../../../scripts/app.js"
import { faultOfLayout, MOST_PLACED } from "./damage.js"
import { makeField } from "./field.js"
import { followRuns } from "./last_run.js"
import { makeNaming } from "./naming.js"
import { namedAs, occurrences, peopled, told } from "./objects.js"
import { apart, layoutOf, moved, placesOf, valueOf, withName, withObject, withoutObject } from "./places.js"
import { labels, sentence, texts } from "./text.js"
import { addSceneWidget, make } from "./widget.js"

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
const STEP = 0.02
const LARGE_STEP = 0.1
/** Pixels. */
const TREMBLING = 3
/** What a new node is higher than it must be, in pixels; a node of a saved workflow keeps its size. */
const ROOM = 200

app.registerExtension({
  name: "spatialsteering.SceneLayout",
  getCustomWidgets: () => ({
    SCENE_LAYOUT: (node, name) => {
      const makeView = (change) => layoutView(node, change)
      const widget = addSceneWidget(node, name, "SCENE_LAYOUT", { minHeight: 260, makeView })
      return { widget, minWidth: 320, minHeight: node.computeSize()[1] + ROOM }
    },
  }),
})

function layoutView(node, change) {
  const words = texts()
  const field = makeField({ onGrab: drag, onName: rename })
  const said = make("p", { className: "said scrolls", ariaLive: "polite" })
  const add = button("+", words.add, () => naming(undefined, addNamed))
  const name = button("✎", words.rename, () => rename(chosen))
  const remove = button("✕", words.remove, () => takeOff(chosen))
  const picture = button("▣", words.picture, () => showPicture(!isPictureShown))
  const undo = button("↶", words.undo, () => step(past, future))
  const redo = button("↷", words.redo, () => step(future, past))
  const reset = button(words.reset, words.resetHint, () => commit({}))
  const tools = make("div", { className: "tools" }, add, name, remove, picture, undo, redo, reset)
  const entry = makeNaming(() => (tools.hidden = false))
  const element = make("div", { className: "layout" }, field.element, said, tools, entry.element)
  element.addEventListener("keydown", onKeyDown)
  element.addEventListener("focusin", ({ target }) => choose(field.indexOf(target)))
  const lastRun = followRuns(node, () => layout && draw(layout))

  let scene, value, layout
  let names = []
  let stated = []
  /** What the prompt said when the hand last changed something; what it says since may be overruled unknowingly. */
  let answered = []
  let chosen
  let isPictureShown = true
  let past = []
  let future = []

  function show(nextScene, nextValue) {
    const next = apart(peopled(nextScene, nextValue))
    const renew = JSON.stringify(next.objects) !== JSON.stringify(scene?.objects)
    const isByHand = JSON.stringify(nextValue) !== JSON.stringify(value)
    ;[scene, value] = [next, nextValue]
    const focused = field.indexOf(document.activeElement)
    if (renew) {
      entry.close()
      names = labels(scene)
      chosen = undefined
      field.renew(scene)
    }
    stated = [...scene.places, ...scene.relations].map((said) => sentence(scene, names, said))
    if (isByHand) answered = stated
    draw(layoutOf(scene, value))
    // New chips have no focus, and without it the next Ctrl+Z would be the graph's.
    if (renew && focused >= 0) field.chip(Math.min(focused, names.length - 1))?.focus()
  }

  function draw(next) {
    layout = next
    const places = placesOf(layout)
    const { address, objects } = lastRun()
    const seen = scene.objects.map((object) => {
      const found = objects?.find((one) => one.name === object.name && one.occurrence === object.occurrence)
      return found && [found.x, found.y]
    })
    field.draw(scene, layout, places, chosen, isPictureShown ? seen : undefined)
    field.lay(address, isPictureShown)
    const asked = [...places, ...layout.relations].map((said) => sentence(scene, names, said))
    const overruled = stated.filter((said) => !asked.includes(said) && !answered.includes(said))
    const toDo = asked.length ? [] : [scene.objects.length ? words.dragThem : words.noObjects]
    const notAsked = [...scene.unsteered.map(words.notSteered), ...scene.absent.map(words.absent)]
    const byHand = overruled.length ? [words.overruled(overruled.join("; "))] : []
    said.textContent = [...asked, ...byHand, ...toDo, ...notAsked].join("\n")
    picture.ariaPressed = String(isPictureShown)
    picture.hidden = address === undefined && objects === undefined
    const isChosen = chosen !== undefined
    const usable = [isChosen, isChosen, past.length, future.length, value.objects ?? value.removed]
    for (const [index, control] of [name, remove, undo, redo, reset].entries()) {
      // Not "disabled": that would drop the focus, and with it the keys.
      control.ariaDisabled = String(!usable[index])
    }
  }

  function choose(index) {
    if (index < 0 || index === chosen) return
    chosen = index
    draw(layout)
  }

  function showPicture(is) {
    isPictureShown = is
    draw(layout)
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

  function drag(event, index) {
    const { width, height } = field.stage.getBoundingClientRect()
    if (event.button !== 0 || !width || !height) return
    event.stopPropagation()
    const chip = field.chip(index)
    chip.focus()
    choose(index)
    chip.setPointerCapture(event.pointerId)
    const [x, y] = layout.points[index]
    const before = layout
    const onMove = ({ clientX, clientY }) => {
      // A click may tremble.
      if (layout === before && Math.hypot(clientX - event.clientX, clientY - event.clientY) < TREMBLING) return
      const to = [x + (clientX - event.clientX) / width, y + (clientY - event.clientY) / height]
      draw(moved(scene, before, index, to))
    }
    const onEnd = ({ type }) => {
      chip.removeEventListener("pointermove", onMove)
      if (type === "pointercancel") draw(layoutOf(scene, value))
      else if (layout !== before) commit(valueOf(scene, layout))
    }
    chip.addEventListener("pointermove", onMove)
    for (const end of ["pointerup", "pointercancel"]) chip.addEventListener(end, onEnd, { once: true })
  }

  /** Asks for the words of an object, new or renamed, and uses them where they are the prompt's, and no other object's. */
  function naming(renamed, use) {
    tools.hidden = true
    entry.ask(scene.prompt, renamed?.name ?? "", (written) => {
      if (written && written === renamed?.name) return undefined
      const isWritten = (name) => name.toLowerCase() === written.toLowerCase()
      const others = scene.objects.filter((one) => one !== renamed)
      const isThere = namedAs(others, written, scene.described).length > 0
      const off =
        scene.removed.find((one) => isWritten(one.name) || isWritten(told(one))) ??
        (isThere ? undefined : namedAs(scene.removed, written, scene.described)[0])
      const [found] = occurrences(scene.prompt, written)
      if (!off && !found) return words.notInPrompt(written)
      if (!off && isThere) return words.there(written)
      if (!renamed && scene.objects.length >= MOST_PLACED) return words.noRoom(MOST_PLACED)
      use(off ?? { name: found, occurrence: 0 })
    })
  }

  function addNamed(object) {
    commit(withObject(scene, layout, object))
  }

  function rename(index) {
    if (index === undefined) return
    naming(scene.objects[index], (object) => commit(withName(scene, layout, index, object)))
  }

  function takeOff(index) {
    if (index !== undefined) commit(withoutObject(scene, layout, index))
  }

  function onKeyDown(event) {
    const { key, target } = event
    const index = field.indexOf(target)
    if (event.ctrlKey || event.metaKey) {
      if (key.toLowerCase() === "z") event.shiftKey ? step(future, past) : step(past, future)
      else if (key.toLowerCase() === "y") step(future, past)
      else return
    } else if (key in ARROWS && index >= 0) {
      const [x, y] = layout.points[index]
      const far = event.shiftKey ? LARGE_STEP : STEP
      const to = [x + far * ARROWS[key][0], y + far * ARROWS[key][1]]
      commit(valueOf(scene, moved(scene, layout, index, to)), event.repeat)
    } else if (["F2", "Enter"].includes(key) && index >= 0) {
      rename(index)
    } else if (["Delete", "Backspace"].includes(key) && index >= 0) {
      takeOff(index)
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
    missing: (scene) =>
      isTooMany(scene) ? words.tooMany(MOST_PLACED) : scene.prompt.trim() ? undefined : words.noObjects,
  }
}

function isTooMany({ objects }) {
  return objects.length > MOST_PLACED
}

function button(value, title, onclick) {
  return make("input", { type: "button", value, title, ariaLabel: title, onclick })
}
