/** The widget of Scene Layout: the objects of the prompt on a field, where they are dragged to their places. */

import { app } from "../../../scripts/app.js"
import { faultOfLayout, MOST_PLACED } from "./damage.js"
import { arrowShift, drag } from "./dragging.js"
import { makeField } from "./field.js"
import { makeHistory } from "./history.js"
import { followRuns } from "./last_run.js"
import { apart, asksOf, layoutOf, moved, placesOf, valueOf, withName, withObject, withoutObject } from "./layout.js"
import { makeLines } from "./lines.js"
import { makeNaming } from "./naming.js"
import { isSame, peopled } from "./objects.js"
import { texts } from "./text.js"
import { makeTools } from "./tools.js"
import { addSceneWidget, make } from "./widget.js"
import { writtenObject } from "./written.js"

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
  const history = makeHistory(() => value, change)
  const { commit, undo, redo } = history
  const field = makeField({ onGrab: grab, onName: rename })
  const lines = makeLines()
  const tools = makeTools({
    add: () => naming(undefined, (object) => commit(withObject(scene, layout, object))),
    rename: () => rename(chosen),
    remove: () => takeOff(chosen),
    picture: () => showPicture(!isPictureShown),
    undo,
    redo,
    reset: () => commit({}),
  })
  const entry = makeNaming(() => (tools.element.hidden = false))
  const element = make("div", { className: "layout" }, field.element, lines.element, tools.element, entry.element)
  element.addEventListener("keydown", onKeyDown)
  element.addEventListener("focusin", ({ target }) => choose(field.indexOf(target)))
  const lastRun = followRuns(node, () => layout && draw(layout))

  let scene, value, layout
  let chosen
  let isPictureShown = true
  let isHeld = false
  /** The scene and value that are to be shown, once no chip is held: another prompt would take it from the hand. */
  let next

  function show(...shown) {
    next = shown
    if (!isHeld) showNext()
  }

  function showNext() {
    const [nextScene, nextValue] = next
    const { objects } = scene ?? {}
    const isByHand = JSON.stringify(nextValue) !== JSON.stringify(value)
    ;[scene, value] = [apart(peopled(nextScene, nextValue)), nextValue]
    lines.hear(scene, isByHand)
    const renew = JSON.stringify(scene.objects) !== JSON.stringify(objects)
    const focused = field.indexOf(document.activeElement)
    if (renew) {
      entry.close()
      chosen = undefined
      field.renew(scene)
    }
    draw(layoutOf(scene, value))
    // New chips have no focus, and without it the next Ctrl+Z would be the graph's.
    if (renew && focused >= 0) (field.chip(Math.min(focused, scene.objects.length - 1)) ?? tools.add).focus()
  }

  function draw(drawn) {
    layout = drawn
    const places = placesOf(layout)
    const { address, objects } = lastRun()
    field.draw(scene, layout, places, chosen, isPictureShown ? pointsOf(scene, objects ?? []) : undefined)
    field.lay(address, isPictureShown)
    lines.draw(scene, [...places, ...layout.relations])
    tools.draw({
      isChosen: chosen !== undefined,
      hasPast: history.hasPast(),
      hasFuture: history.hasFuture(),
      isChanged: value.objects ?? value.removed,
      hasPicture: address !== undefined || objects !== undefined,
      isPictureShown,
    })
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
    if (isHeld) return
    const before = layout
    isHeld = drag(event, field.stage, layout.points[index], {
      onMove: (point) => draw(moved(scene, before, index, point)),
      onDrop: () => release(() => commit(valueOf(scene, layout))),
      onCancel: () => release(() => {}),
    })
    if (isHeld) choose(index)
  }

  function release(use) {
    isHeld = false
    use()
    showNext()
  }

  /** Asks for the words of an object, which is new or renamed, and uses the object that they mean. */
  function naming(renamed, use) {
    tools.element.hidden = true
    entry.ask(scene.prompt, renamed?.name ?? "", (written) => {
      if (written && written === renamed?.name) return undefined
      const { object, ...fault } = writtenObject(scene, (index) => asksOf(layout, index), written, renamed)
      if (!object) return wordsFor(fault, written)
      use(object)
      field.chip(scene.objects.findIndex(isSame(object)))?.focus()
    })
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

  return { element, show, fault: faultOfLayout, missing }
}

/** For each object of a scene the point at which the last run saw it, or undefined. */
function pointsOf({ objects }, seen) {
  return objects.map((object) => {
    const found = seen.find(isSame(object))
    return found && [found.x, found.y]
  })
}

/** Why written words are no object's, as ``writtenObject`` tells it. */
function wordsFor({ there, isFull }, written) {
  const words = texts()
  if (isFull) return words.noRoom(MOST_PLACED)
  return there === undefined ? words.notInPrompt(written) : words.there(there)
}

/** What to say of a scene for which the field is not shown. */
function missing({ objects, prompt }) {
  const words = texts()
  if (objects.length > MOST_PLACED) return words.tooMany(MOST_PLACED)
  return prompt.trim() ? undefined : words.noPromptYet
}
