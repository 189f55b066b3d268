/** What the canvas makes of moves on one prompt, and then says of another: a line of JSON for each line of it. */

import readline from "node:readline"
import { apart, layoutOf, moved, placesOf, valueOf, withName, withObject } from "../../web/js/layout.js"
import { labelOf, peopled } from "../../web/js/objects.js"

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { scene, moves, takenOff, comesBack, renamed, other } = JSON.parse(line)
  let value = takenOff === null ? {} : { removed: [scene.objects[takenOff]] }
  for (const [index, point] of moves) {
    const shown = apart(peopled(scene, value))
    if (index < shown.objects.length) value = valueOf(shown, moved(shown, layoutOf(shown, value), index, point))
  }
  if (comesBack) {
    const shown = apart(peopled(scene, value))
    value = withObject(shown, layoutOf(shown, value), shown.removed[0])
  }
  if (renamed) {
    const shown = apart(peopled(scene, value))
    value = withName(shown, layoutOf(shown, value), ...renamed)
  }
  const shown = apart(peopled(other, value))
  const layout = layoutOf(shown, value)
  const named = (index) => (index === null ? null : labelOf(shown.objects[index]))
  const said = [...placesOf(layout), ...layout.relations].map(([a, relation, b]) => [named(a), relation, named(b)])
  console.log(JSON.stringify({ value, said, absent: shown.absent }))
}
