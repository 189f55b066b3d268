/** The widget of Edit Relations: a line for each relation, with a switch and a menu. */

import { app } from "../../../scripts/app.js"
import { faultOfEdits } from "./damage.js"
import { labelOf } from "./objects.js"
import { editsOf } from "./steps.js"
import { sentence, texts } from "./text.js"
import { addSceneWidget, make } from "./widget.js"

app.registerExtension({
  name: "spatialsteering.EditRelations",
  getCustomWidgets: () => ({
    RELATION_EDITS: (node, name) => ({
      widget: addSceneWidget(node, name, "RELATION_EDITS", { minHeight: 80, makeView: editsView }),
      minWidth: 380,
      minHeight: 220,
    }),
  }),
})

function editsView(change) {
  const words = texts()
  const element = make("div", { className: "rows scrolls" })
  let shown
  let rows = []

  function show(scene, value) {
    const key = JSON.stringify([scene.objects, scene.relations])
    if (key !== shown) {
      rows = scene.relations.map((relation) => makeRow(scene, relation, commit))
      element.replaceChildren(...rows.map((row) => row.element))
      shown = key
    }
    editsOf(scene, value).forEach((edit, index) => rows[index].show(edit))
  }

  function commit() {
    change(edits(rows.map((row) => row.read())))
  }

  return {
    element,
    show,
    fault: faultOfEdits,
    missing: ({ relations }) => (relations.length ? undefined : words.noRelations),
  }
}

/** The value that holds those edits that change something. */
function edits(all) {
  const relations = all.filter(({ relation, wanted, on }) => !on || wanted !== relation)
  return relations.length ? { relations } : {}
}

function makeRow(scene, relation, onchange) {
  const words = texts()
  const said = sentence(scene, relation)
  const [subject, name, object] = relation
  const on = make("input", { type: "checkbox", ariaLabel: words.on(said), title: words.on(said), onchange })
  const isPlace = object === null
  const choices = scene.vocabulary.filter(({ place }) => place === isPlace)
  const options = choices.map((known) => make("option", { value: known.name }, words.phrase(known)))
  const wanted = make("select", { ariaLabel: words.wanted(said), onchange }, ...options)
  const other = isPlace ? undefined : make("span", {}, labelOf(scene.objects[object]))
  const parts = words.inOrder(make("span", {}, labelOf(scene.objects[subject])), wanted, other)
  const element = make("div", { className: "row" }, on, ...parts)
  return {
    element,
    read: () => ({
      subject: scene.objects[subject].name,
      relation: name,
      object: isPlace ? null : scene.objects[object].name,
      wanted: wanted.value,
      on: on.checked,
    }),
    show: (edit) => {
      on.checked = edit?.on ?? true
      wanted.value = edit?.wanted ?? name
      element.classList.toggle("off", !on.checked)
      element.classList.toggle("changed", wanted.value !== name)
    },
  }
}
