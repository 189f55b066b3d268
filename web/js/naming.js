/** The line in which a person writes what words of the prompt an object is to have, and which object they mean. */

import { texts } from "./text.js"
import { make } from "./widget.js"

/** Most letters of a name, as steering_core.object_names has it. */
const LONGEST = 300
let count = 0

/**
 * @param onDone called when it closes, so that what it took the place of can be shown again
 */
export function makeNaming(onDone) {
  const words = texts()
  const suggestions = make("datalist", { id: `spatial-steering-words-${count++}` })
  const entry = make("input", { type: "text", className: "name", ariaLabel: words.name, placeholder: words.name })
  entry.maxLength = LONGEST
  entry.setAttribute("list", suggestions.id)
  const done = make("input", { type: "button", value: "✓", title: words.done, ariaLabel: words.done, onclick: finish })
  const wrong = make("p", { className: "wrong", role: "alert" })
  const element = make("div", { className: "naming", hidden: true }, entry, done, suggestions, wrong)
  let use
  /** What had the focus before. */
  let asked

  /**
   * Asks for words.
   *
   * @param named called with what was written; returns what is wrong with it, else undefined
   */
  function ask(prompt, text, named) {
    use = named
    asked = document.activeElement
    wrong.textContent = ""
    suggestions.replaceChildren(...wordsOf(prompt).map((value) => make("option", { value })))
    entry.value = text
    element.hidden = false
    entry.focus()
    entry.select()
  }

  function finish() {
    const fault = use(entry.value.trim())
    wrong.textContent = fault ?? ""
    if (fault === undefined) close()
    else entry.focus()
  }

  function close() {
    element.hidden = true
    onDone()
  }

  element.addEventListener("keydown", (event) => {
    event.stopPropagation()
    if (event.key === "Enter") finish()
    else if (event.key === "Escape") {
      close()
      asked.focus()
    }
  })
  return { element, ask, close }
}

/** The words of a prompt, also where a script does not set them apart. */
function wordsOf(prompt) {
  const parts = [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(prompt)]
  return [...new Set(parts.filter(({ isWordLike }) => isWordLike).map(({ segment }) => segment))]
}
