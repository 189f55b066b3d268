/** Colours of the pack's types of link, on both of the front end's renderers. */

import { app } from "../../../scripts/app.js"

const COLOURS = {
  RELATIONS: "#4dd0c1",
  STEERING_LOSS: "#a5d65b",
  STEERING_SCHEDULE: "#8fa8ff",
  STEERING_TRACE: "#d7a77a",
  SPATIAL_SCORES: "#f2e394",
  RELATION_CLASSIFIER: "#dfa3ff",
  RELATION_DATASET: "#9fb4c7",
}

// Nodes 2.0 reads a property of CSS, which a palette that has the type overrides.
const sheet = new CSSStyleSheet()
const properties = Object.entries(COLOURS).map(([type, colour]) => `--color-datatype-${type}: ${colour};`)
sheet.replaceSync(`:root { ${properties.join(" ")} }`)
document.adoptedStyleSheets.push(sheet)

app.registerExtension({
  name: "spatialsteering.TypeColours",
  setup() {
    // The canvas has a table for links and one for slots.
    for (const table of [LGraphCanvas.link_type_colors, app.canvas.default_connection_color_byType]) {
      for (const [type, colour] of Object.entries(COLOURS)) keepColour(table, type, colour)
    }
  },
})

/** Lets a type have a colour wherever a palette gives it none: each one that is loaded empties the types it lacks. */
function keepColour(table, type, colour) {
  let given = table[type]
  const described = { get: () => given || colour, set: (value) => (given = value) }
  Object.defineProperty(table, type, { ...described, enumerable: true, configurable: true })
}
