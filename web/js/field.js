/** The field of Scene Layout: objects as chips, what is asked of them as lines and words, and the last picture below. */

import { asksOf } from "./layout.js"
import { labelOf } from "./objects.js"
import { texts } from "./text.js"
import { hasDirection, relationNamed } from "./vocabulary.js"
import { make } from "./widget.js"

/** Okabe and Ito's colours, which people with any colour vision tell apart. */
const COLOURS = ["#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2", "#999999"]
/** Most letters of a name that are shown on the field; the whole is told beside the pointer and to screen readers. */
const MOST_LETTERS = 60
/** In pixels, the height of a name of one line and of the stage, for what is not laid out yet. */
const NAME_HEIGHT = 24
const STAGE_HEIGHT = 200
/** In pixels, the height of a relation's words, how far they reach below their line, and what is free under them. */
const WORDS_HEIGHT = 17
const BELOW_LINE = 4
const FREE = 2

/** The share of the field, in width and height, that a stage in the proportions of a picture may have. */
const SHARE = [0.7, 0.8]

/**
 * @param onGrab called with an event and the index of the chip that it takes hold of
 * @param onName called with the index of a chip that is to have another name
 */
export function makeField({ onGrab, onName }) {
  const words = texts()
  const drawn = svg("svg")
  const picture = make("img", { className: "picture", alt: "", draggable: false, hidden: true })
  const stage = make("div", { className: "stage" })
  const element = make("div", { className: "field", role: "group", ariaLabel: words.field }, stage)
  picture.addEventListener("load", fit)
  new ResizeObserver(fit).observe(element)
  let chips = []

  /** Makes the stage as large as the proportions of the picture let it be. */
  function fit() {
    const { naturalWidth, naturalHeight } = picture
    if (!naturalWidth) return
    stage.classList.add("of-picture")
    const [most, highest] = [SHARE[0] * element.clientWidth, SHARE[1] * element.clientHeight]
    const width = Math.min(most, (highest * naturalWidth) / naturalHeight)
    Object.assign(stage.style, { width: `${width}px`, height: `${(width * naturalHeight) / naturalWidth}px` })
  }

  function makeChip(object, index) {
    const label = labelOf(object)
    // An input and not a button, for ComfyUI leaves Ctrl+Z alone where the focus is on an input.
    const value = label.length > MOST_LETTERS ? `${label.slice(0, MOST_LETTERS)}…` : label
    const chip = make("input", { type: "button", className: "chip", value, title: label })
    chip.style.borderColor = colourOf(index)
    chip.addEventListener("pointerdown", (event) => onGrab(event, index))
    chip.addEventListener("dblclick", () => onName(index))
    return chip
  }

  /** Makes a chip for each object of a scene. */
  function renew(scene) {
    chips = scene.objects.map(makeChip)
    stage.replaceChildren(picture, drawn, ...chips)
  }

  /**
   * Shows where objects are, and what is asked of them.
   *
   * @param places as ``placesOf`` gives them
   * @param chosen the index of the object of which the place is drawn as an area; undefined for none
   * @param seen a point for each object where attention saw it, or undefined
   */
  function draw({ vocabulary }, layout, places, chosen, seen) {
    const { points, relations } = layout
    const percent = points.map(([x, y]) => [100 * x, 100 * y])
    const placeByIndex = new Map(places.map(([index, name]) => [index, relationNamed(vocabulary, name)]))
    chips.forEach((chip, index) => {
      const [x, y] = percent[index]
      Object.assign(chip.style, { left: `${x}%`, top: `${y}%` })
      chip.ariaLabel = words.place(chip.title, Math.round(x), Math.round(y))
      chip.classList.toggle("unplaced", !asksOf(layout, index))
      chip.classList.toggle("chosen", index === chosen)
    })
    const area = placeByIndex.has(chosen) ? [areaOf(placeByIndex.get(chosen), colourOf(chosen))] : []
    const lines = relations.flatMap(([a, name, b]) => {
      const said = words.phrase(relationNamed(vocabulary, name))
      return lineOf(percent[a], percent[b], name, said, heightOf(a, b))
    })
    const placeWords = [...placeByIndex].map(([index, place]) => word(percent[index], words.phrase(place), "place"))
    const marks = (seen ?? []).flatMap((point, index) => (point ? [markOf(point, colourOf(index))] : []))
    drawn.replaceChildren(...area, ...marks, ...lines, ...placeWords)
  }

  /** Of the higher of two names, in percent of the stage, and of one pixel. */
  function heightOf(a, b) {
    const pixel = 100 / (stage.clientHeight || STAGE_HEIGHT)
    return { name: pixel * Math.max(NAME_HEIGHT, chips[a].offsetHeight, chips[b].offsetHeight), pixel }
  }

  /** Lays a picture under the objects, which then stand in its proportions, also while it is not shown. */
  function lay(address, isShown) {
    picture.hidden = !isShown || address === undefined
    if (address !== undefined && picture.getAttribute("src") !== address) picture.src = address
  }

  return { element, stage, renew, draw, lay, chip: (index) => chips[index], indexOf: (chip) => chips.indexOf(chip) }
}

function colourOf(index) {
  return COLOURS[index % COLOURS.length]
}

/**
 * A line between two objects, with the relation's words on it. Where the names leave no room between them for these
 * words, from above to below, they stand above the upper name.
 *
 * @param height of the higher name and of a pixel, in percent
 */
function lineOf([x1, y1], [x2, y2], name, words, height) {
  const ends = { x1: `${x1}%`, y1: `${y1}%`, x2: `${x2}%`, y2: `${y2}%` }
  // A wider one beneath tells it from a picture.
  const line = [svg("line", ends, "under"), svg("line", ends, name)]
  const hasRoom = Math.abs(y2 - y1) >= height.name + WORDS_HEIGHT * height.pixel
  const y = hasRoom ? (y1 + y2) / 2 + BELOW_LINE * height.pixel : above(Math.min(y1, y2), height)
  return [...line, word([(x1 + x2) / 2, y], words, "relation")]
}

/** Where words stand above a name. */
function above(y, height) {
  return y - height.name / 2 - (BELOW_LINE + FREE) * height.pixel
}

/** The part of the picture in which a place is. */
function areaOf(place, fill) {
  const { direction, reach } = place
  if (!hasDirection(place)) {
    return svg("ellipse", { cx: "50%", cy: "50%", rx: `${100 * reach}%`, ry: `${100 * reach}%`, fill }, "area")
  }
  const [x, y] = direction.map((sign) => (sign > 0 ? "50%" : "0%"))
  const [width, height] = direction.map((sign) => (sign ? "50%" : "100%"))
  return svg("rect", { x, y, width, height, fill }, "area")
}

/** A ring where attention saw an object. */
function markOf([x, y], stroke) {
  return svg("circle", { cx: `${100 * x}%`, cy: `${100 * y}%`, r: 9, stroke }, "seen")
}

function word([x, y], text, name) {
  const element = svg("text", { x: `${x}%`, y: `${y}%` }, name)
  element.textContent = text
  return element
}

function svg(tag, attributes = {}, name = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag)
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value))
  if (name) element.classList.add(name)
  return element
}
