/** How a person moves an object on the field, with a pointer or with arrow keys. Points are shares of the stage. */

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
const STEP = 0.02
const LARGE_STEP = 0.1
/** How far a pointer may move in a click, in pixels: a hand trembles. */
const TREMBLING = 3

/**
 * Follows the pointer that has pressed a chip, until it lets go.
 *
 * @param event the press
 * @param {[number, number]} from the point at which the chip stands
 * @param onMove called with each point that the chip is dragged to
 * @param onDrop called when a chip that was dragged is let go
 * @param onCancel called when a chip is let go that was only pressed, when another finger comes down, or when the
 *   browser takes the pointer away
 * @returns {boolean} whether the press takes hold of the chip: with the main button, on a stage that is seen
 */
export function drag(event, stage, [x, y], { onMove, onDrop, onCancel }) {
  const { width, height } = stage.getBoundingClientRect()
  if (event.button !== 0 || !width || !height) return false
  event.stopPropagation()
  const chip = event.currentTarget
  chip.focus()
  chip.setPointerCapture(event.pointerId)
  const following = new AbortController()
  const on = (type, listener) => chip.addEventListener(type, listener, { signal: following.signal })
  let isDragged = false
  on("pointermove", ({ clientX, clientY }) => {
    const [right, down] = [clientX - event.clientX, clientY - event.clientY]
    if (!isDragged && Math.hypot(right, down) < TREMBLING) return
    isDragged = true
    onMove([x + right / width, y + down / height])
  })
  const end = (then) => () => {
    following.abort()
    then()
  }
  // A second finger zooms the canvas, and then the first drags nothing.
  window.addEventListener("pointerdown", end(onCancel), { capture: true, signal: following.signal })
  on("pointerup", end(() => (isDragged ? onDrop : onCancel)()))
  on("pointercancel", end(onCancel))
  on("lostpointercapture", end(onCancel))
  return true
}

/** How far an arrow key moves an object, right and down, with Shift further; undefined for another key. */
export function arrowShift({ key, shiftKey }) {
  return ARROWS[key]?.map((sign) => sign * (shiftKey ? LARGE_STEP : STEP))
}
