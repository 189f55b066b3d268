/** The line under a node that runs: the front end shows it under the node of an id in whichever workflow is open. */

import { api } from "../../../scripts/api.js"
import { follow } from "./runs.js"

follow((instance, { id, text }) => {
  if (text !== undefined) api.dispatchCustomEvent("progress_text", { nodeId: id, text })
})
