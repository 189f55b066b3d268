/** The lines under the field: what is asked, else what a person can do, and what of the prompt and layout is not. */

import { UNSPACED } from "./objects.js"
import { sentence, texts } from "./text.js"
import { make } from "./widget.js"

export function makeLines() {
  const words = texts()
  const element = make("p", { className: "said scrolls", ariaLive: "polite" })
  let promptSays = []
  /** What the prompt said when the hand last changed something; what it says since may be overruled unknowingly. */
  let answered = []

  /** Takes in what the prompt says, as ``apart`` gives it; and whether the hand has changed something just now. */
  function hear(scene, isByHand) {
    promptSays = [...scene.places, ...scene.relations].map((relation) => sentence(scene, relation))
    if (isByHand) answered = promptSays
  }

  /** Shows what is asked. */
  function draw(scene, relations) {
    const asked = relations.map((relation) => sentence(scene, relation))
    const overruled = promptSays.filter((said) => !asked.includes(said) && !answered.includes(said))
    const byHand = overruled.length ? [words.overruled(overruled.join("; "))] : []
    const drag = scene.objects.length ? words.dragThem : words.noObjects
    // What is read of such a prompt is seldom an object.
    const toDo = asked.length ? [] : [UNSPACED.test(scene.prompt) ? words.nameThem : drag]
    const others = [...scene.unsteered.map(words.notSteered), ...scene.absent.map(words.absent)]
    element.textContent = [...asked, ...byHand, ...toDo, ...others].join("\n")
  }

  return { element, hear, draw }
}
