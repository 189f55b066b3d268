/** The buttons under the field of Scene Layout. */

import { texts } from "./text.js"
import { make } from "./widget.js"

/** @param on by each button what it does: ``add``, ``rename``, ``remove``, ``picture``, ``undo``, ``redo``, ``reset`` */
export function makeTools(on) {
  const words = texts()
  const add = button("+", words.add, on.add)
  const rename = button("✎", words.rename, on.rename)
  const remove = button("✕", words.remove, on.remove)
  const picture = button("▣", words.picture, on.picture)
  const undo = button("↶", words.undo, on.undo)
  const redo = button("↷", words.redo, on.redo)
  const reset = button(words.reset, words.resetHint, on.reset)
  const element = make("div", { className: "tools" }, add, rename, remove, picture, undo, redo, reset)

  /** Shows which buttons can be used. */
  function draw({ isChosen, hasPast, hasFuture, isChanged, hasPicture, isPictureShown }) {
    picture.ariaPressed = String(isPictureShown)
    picture.hidden = !hasPicture
    const usable = [isChosen, isChosen, hasPast, hasFuture, isChanged]
    for (const [index, control] of [rename, remove, undo, redo, reset].entries()) {
      // Not "disabled": that would drop the focus, and with it the keys.
      control.ariaDisabled = String(!usable[index])
    }
  }

  return { element, draw, add }
}

function button(value, title, onclick) {
  return make("input", { type: "button", value, title, ariaLabel: title, onclick })
}
