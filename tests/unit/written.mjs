/** Which object written words mean on a canvas, and where it begins: a line of JSON for each line of it. */

import readline from "node:readline"
import { apart, layoutOf, withObject } from "../../web/js/layout.js"
import { peopled } from "../../web/js/objects.js"
import { writtenObject } from "../../web/js/written.js"

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { scene, asked, written } = JSON.parse(line)
  const read = { ...scene, read: scene.objects }
  let value = {}
  const told = written.map((words) => {
    const shown = apart(peopled(read, value))
    const { object, ...fault } = writtenObject(shown, (index) => asked.includes(index), words)
    if (object) value = withObject(shown, layoutOf(shown, value), object)
    return object ?? fault
  })
  const shown = apart(peopled(read, value))
  console.log(JSON.stringify({ told, value, points: layoutOf(shown, value).points, absent: shown.absent }))
}
