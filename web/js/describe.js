/** What the server reads in a prompt. */

import { api } from "../../../scripts/api.js"

/** The last answers of the server, by prompt, oldest first. */
const answers = new Map()
const MOST_ANSWERS = 50

/** What the server reads in a prompt, and its vocabulary; asked once for each, and again if it failed. */
export function describe(prompt) {
  if (!answers.has(prompt)) {
    const answer = ask(prompt)
    answers.set(prompt, answer)
    if (answers.size > MOST_ANSWERS) answers.delete(answers.keys().next().value)
    answer.catch(() => answers.delete(prompt))
  }
  return answers.get(prompt)
}

async function ask(prompt) {
  const response = await api.fetchApi("/spatial_steering/describe", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ prompt }),
  })
  if (response.ok) return response.json()
  const { error } = await response.json().catch(() => ({}))
  throw new Error(error ?? `${response.status} ${response.statusText}`)
}
