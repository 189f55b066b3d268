/** The widget of Scene Layout: the objects of the prompt on a field, where they are dragged to their places. */

import { app } from "../../../scripts/app.js"
import { faultOfLayout, MOST_PLACED } from "./damage.js"
import { arrowShift, drag } from "./dragging.js"
import { makeField } from "./field.js"
import { makeHistory } from "./history.js"
import { followRuns } from "./last_run.js"
import { apart, layoutOf, moved, placesOf, valueOf, withName, withObject, withoutObject } from "./layout.js"
import { makeNaming, writtenObject } from "./naming.js"
import { isSame, peopled } from "./objects.js"
import { sentence, texts } from "./text.js"
import { addSceneWidget, make } from "./widget.js"

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
  const history = makeHistory(() => value, change)
  const { commit } = history
  const field = makeField({ onGrab: grab, onName: rename })
  const said = make("p", { className: "said scrolls", ariaLive: "polite" })
  const add = button("+", words.add, () => naming(undefined, addNamed))
  const name = button("✎", words.rename, () => rename(chosen))
  const remove = button("✕", words.remove, () => takeOff(chosen))
  const picture = button("▣", words.picture, () => showPicture(!isPictureShown))
  const undo = button("↶", words.undo, history.undo)
  const redo = button("↷", words.redo, history.redo)
  const reset = button(words.reset, words.resetHint, () => commit({}))
  const tools = make("div", { className: "tools" }, add, name, remove, picture, undo, redo, reset)
  const entry = makeNaming(() => (tools.hidden = false))
  const element = make("div", { className: "layout" }, field.element, said, tools, entry.element)
  element.addEventListener("keydown", onKeyDown)
  element.addEventListener("focusin", ({ target }) => choose(field.indexOf(target)))
  const lastRun = followRuns(node, () => layout && draw(layout))

  let scene, value, layout
  let promptSays = []
  /** What the prompt said when the hand last changed something; what it says since may be overruled unknowingly. */
  let answered = []
  let chosen
  let isPictureShown = true

  function show(nextScene, nextValue) {
    const next = apart(peopled(nextScene, nextValue))
    const renew = JSON.stringify(next.objects) !== JSON.stringify(scene?.objects)
    const isByHand = JSON.stringify(nextValue) !== JSON.stringify(value)
    ;[scene, value] = [next, nextValue]
    const focused = field.indexOf(document.activeElement)
    if (renew) {
      entry.close()
      chosen = undefined
      field.renew(scene)
    }
    promptSays = [...scene.places, ...scene.relations].map((relation) => sentence(scene, relation))
    if (isByHand) answered = promptSays
    draw(layoutOf(scene, value))
    // New chips have no focus, and without it the next Ctrl+Z would be the graph's.
    if (renew && focused >= 0) field.chip(Math.min(focused, scene.objects.length - 1))?.focus()
  }

  function draw(next) {
    layout = next
    const places = placesOf(layout)
    const { address, objects } = lastRun()
    field.draw(scene, layout, places, chosen, isPictureShown ? pointsOf(scene, objects ?? []) : undefined)
    field.lay(address, isPictureShown)
    const asked = [...places, ...layout.relations].map((relation) => sentence(scene, relation))
    const overruled = promptSays.filter((said) => !asked.includes(said) && !answered.includes(said))
    said.textContent = linesOf(scene, asked, overruled).join("\n")
    picture.ariaPressed = String(isPictureShown)
    picture.hidden = address === undefined && objects === undefined
    const isChosen = chosen !== undefined
    const usable = [isChosen, isChosen, history.hasPast(), history.hasFuture(), value.objects ?? value.removed]
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

  function grab(event, index) {
    const before = layout
    const isHeld = drag(event, field.stage, layout.points[index], {
      onMove: (point) => draw(moved(scene, before, index, point)),
      onDrop: () => commit(valueOf(scene, layout)),
      onCancel: () => draw(layoutOf(scene, value)),
    })
    if (isHeld) choose(index)
  }

  /** Asks for the words of an object, which is new or renamed, and uses the object that they mean. */
  function naming(renamed, use) {
    tools.hidden = true
    entry.ask(scene.prompt, renamed?.name ?? "", (written) => {
      if (written && written === renamed?.name) return undefined
      const { object, fault } = writtenObject(scene, written, renamed)
      if (object) use(object)
      return fault
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
    const shift = arrowShift(event)
    if (event.ctrlKey || event.metaKey) {
      if (!history.press(event)) return
    } else if (shift && index >= 0) {
      const to = layout.points[index].map((along, axis) => along + shift[axis])
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

/** For each object of a scene the point at which the last run saw it, or undefined. */
function pointsOf({ objects }, seen) {
  return objects.map((object) => {
    const found = seen.find(isSame(object))
    return found && [found.x, found.y]
  })
}

/** What stands under the field: what is asked, else what a person can do, and what of the prompt and layout is not. */
function linesOf({ objects, unsteered, absent }, asked, overruled) {
  const words = texts()
  const byHand = overruled.length ? [words.overruled(overruled.join("; "))] : []
  const toDo = asked.length ? [] : [objects.length ? words.dragThem : words.noObjects]
  return [...asked, ...byHand, ...toDo, ...unsteered.map(words.notSteered), ...absent.map(words.absent)]
}

function isTooMany({ objects }) {
  return objects.length > MOST_PLACED
}

function button(value, title, onclick) {
  return make("input", { type: "button", value, title, ariaLabel: title, onclick })
}
