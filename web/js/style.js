/** The look of the widgets, in the colours of the front end's theme. */

const sheet = new CSSStyleSheet()
sheet.replaceSync(`
.spatial-steering, .spatial-steering-reading {
  display: flex; flex-direction: column; box-sizing: border-box; overflow: hidden;
  font: 12px/1.4 sans-serif; color: var(--input-text);
}
.spatial-steering [hidden] { display: none !important; }
.spatial-steering > * { flex: 1; min-height: 0; }
.spatial-steering .hint {
  display: grid; place-content: center; justify-items: center; gap: 8px; padding: 12px; text-align: center;
  color: var(--input-text); background: var(--comfy-input-bg);
  border: 1px dashed var(--border-color); border-radius: 6px;
}
.spatial-steering .hint p { margin: 0; white-space: pre-line; overflow-wrap: anywhere; }
.spatial-steering :focus-visible { outline: 2px solid var(--input-text); outline-offset: 2px; }

.spatial-steering .layout { display: flex; flex-direction: column; gap: 6px; }
.spatial-steering .field {
  position: relative; flex: 1; min-height: 0; overflow: hidden; touch-action: none;
  background: var(--comfy-input-bg); border: 1px solid var(--border-color); border-radius: 6px;
}
/* Room around the centres, so that names at the border are seen whole. */
.spatial-steering .stage { position: absolute; inset: 10% 15%; outline: 1px dotted var(--border-color); }
.spatial-steering .stage.of-picture { margin: auto; }
.spatial-steering .stage svg { position: absolute; width: 100%; height: 100%; overflow: visible; }
.spatial-steering .stage .picture { position: absolute; width: 100%; height: 100%; opacity: 0.6; }
.spatial-steering .stage line { stroke: var(--input-text); stroke-width: 1.5; }
.spatial-steering .stage line.under { stroke: var(--comfy-input-bg); stroke-width: 4; }
.spatial-steering .stage line.near { stroke-dasharray: 2 4; }
.spatial-steering .stage text {
  text-anchor: middle; font-size: 10px; fill: var(--input-text); paint-order: stroke;
  stroke: var(--comfy-input-bg); stroke-width: 3px; stroke-linejoin: round;
}
@media (forced-colors: active) {
  .spatial-steering .stage line { stroke: CanvasText; }
  .spatial-steering .stage line.under { stroke: Canvas; }
  .spatial-steering .stage text { fill: CanvasText; stroke: Canvas; }
}
.spatial-steering .stage text.place { transform: translateY(24px); }
.spatial-steering .stage .area { opacity: 0.18; }
.spatial-steering .stage .seen { fill: none; stroke-width: 2.5; stroke-dasharray: 4 2; }
.spatial-steering .chip {
  position: absolute; transform: translate(-50%, -50%); width: max-content; max-width: max(42%, 96px);
  padding: 2px 8px;
  font: inherit; line-height: 1.3; white-space: normal; overflow-wrap: break-word;
  color: var(--input-text); background: var(--comfy-menu-bg);
  border: 2px solid; border-radius: 12px; cursor: grab; touch-action: none; user-select: none;
}
.spatial-steering .chip:active { cursor: grabbing; }
.spatial-steering .chip.unplaced { border-style: dashed; }
.spatial-steering .chip.chosen { z-index: 1; outline: 1px solid var(--input-text); outline-offset: 1px; }
.spatial-steering .tools, .spatial-steering .naming { display: flex; flex-wrap: wrap; gap: 4px; align-items: center; }
.spatial-steering .naming .name {
  flex: 1; min-width: 0; padding: 2px 6px; font: inherit; color: var(--input-text); background: var(--comfy-input-bg);
  border: 1px solid var(--border-color); border-radius: 4px;
}
.spatial-steering .naming .wrong { flex-basis: 100%; margin: 0; font-size: 11px; color: var(--error-text); }
.spatial-steering .said {
  margin: 0; max-height: 6em; overflow: auto; font-size: 11px; white-space: pre-line; overflow-wrap: anywhere;
  color: var(--input-text);
}
.spatial-steering .tools input, .spatial-steering .hint input, .spatial-steering .naming input[type="button"] {
  padding: 1px 7px; font: inherit; color: var(--input-text); background: var(--comfy-input-bg);
  border: 1px solid var(--border-color); border-radius: 4px; cursor: pointer;
}
.spatial-steering .tools input[aria-pressed="true"] { border-color: var(--input-text); }
.spatial-steering .tools input[aria-disabled="true"] { opacity: 0.4; cursor: default; }

.spatial-steering-reading p {
  flex: 1; min-height: 0; margin: 0; padding: 0 10px; overflow: auto; font-size: 11px; white-space: pre-line; overflow-wrap: anywhere;
  color: var(--input-text);
}
.spatial-steering-reading p.nothing { font-style: italic; }

.spatial-steering .rows { display: flex; flex-direction: column; gap: 4px; overflow: auto; }
.spatial-steering .row { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; padding: 2px; }
.spatial-steering .row.off > :not(input) { opacity: 0.4; text-decoration: line-through; }
.spatial-steering .row.changed select { border-color: var(--input-text); }
.spatial-steering .row select {
  padding: 2px 4px; font: inherit; color: var(--input-text); background: var(--comfy-input-bg);
  border: 1px solid var(--border-color); border-radius: 4px;
}
`)
document.adoptedStyleSheets.push(sheet)
