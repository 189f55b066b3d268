/** What a person has changed on a canvas, to be taken back and made again there, apart from the graph's own undo. */

/**
 * @param held returns the value as it is now
 * @param change called with the value that is to take its place
 */
export function makeHistory(held, change) {
  const past = []
  const future = []

  /** Makes a change that can be taken back; one that goes on, such as a key held down, joins the one before. */
  function commit(next, goesOn = false) {
    if (JSON.stringify(next) === JSON.stringify(held())) return
    if (!goesOn) past.push(held())
    future.length = 0
    change(next)
  }

  function step(from, to) {
    if (!from.length) return
    to.push(held())
    change(from.pop())
  }

  const undo = () => step(past, future)
  const redo = () => step(future, past)

  /** Takes back or makes again by a key that is pressed with Ctrl; returns whether it is one of those that do. */
  function press({ key, shiftKey }) {
    const letter = key.toLowerCase()
    if (letter === "z" && !shiftKey) undo()
    else if (letter === "z" || letter === "y") redo()
    else return false
    return true
  }

  return { commit, undo, redo, press, hasPast: () => past.length > 0, hasFuture: () => future.length > 0 }
}
