// Asks Mission Control before opencode calls a tool, and reports sessions and usage.
// opencode has no hook that waits, but it waits for plugins: an error that is thrown blocks the call.
import { readFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"

const MAX_ANSWER = 1_000_000 // characters
const SIGNAL_TIMEOUT = 3_000 // ms, for what asks nothing
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

let version // of opencode, as far as it has said so

// The settings come first: files of a project could set variables.
function readConnection() {
  const folder = process.env.XDG_CONFIG_HOME || join(homedir(), ".config")
  try {
    const saved = JSON.parse(readFileSync(join(folder, "mission-control", "client.json"), "utf8"))
    if (saved.clients.opencode) return saved.clients.opencode
  } catch (error) {
    if (error.code !== "ENOENT") throw error
  }
  const { MC_URL: url, MC_TOKEN, MC_TOKEN_FILE } = process.env
  const token = MC_TOKEN || (MC_TOKEN_FILE && readFileSync(MC_TOKEN_FILE, "utf8").trim())
  if (!url || !token) throw new Error("it is not connected: use `client.py connect opencode`")
  return { url, token }
}

async function post(event, body, { isAsking = false } = {}) {
  const { url, token, wait = 570, insecure_http: isInsecure = false } = readConnection()
  const { protocol, hostname } = new URL(url)
  if (protocol !== "https:" && !isInsecure && !LOOPBACK.test(hostname))
    throw new Error("its address is not https")
  const answer = await fetch(`${url}/hooks/opencode${isAsking ? `?wait=${wait}` : ""}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${token}`,
      "x-hook-event": event,
      ...(version && { "x-client-version": version }),
    },
    body: JSON.stringify({ hook_event_name: event, ...body }),
    redirect: "error", // it would send the token to another server
    signal: AbortSignal.timeout(isAsking ? (wait + 15) * 1000 : SIGNAL_TIMEOUT),
    timeout: false, // Bun ends a request without traffic after five minutes otherwise
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`it answered ${answer.status}`)
  if (text.length > MAX_ANSWER) throw new Error("its answer is too long")
  return JSON.parse(text)
}

// What asks nothing may fail.
async function report(event, body) {
  await post(event, body).catch(() => {})
}

export const MissionControl = async ({ directory: cwd }) => {
  const busy = new Set() // sessions that were reported to work
  return {
    "tool.execute.before": async (input, output) => {
      let answer
      try {
        const call = { session_id: input.sessionID, tool_use_id: input.callID }
        const tool = { tool_name: input.tool, tool_input: output.args }
        answer = await post("tool.execute.before", { ...call, ...tool, cwd }, { isAsking: true })
      } catch (error) {
        throw new Error(`Mission Control did not decide: ${error.message}. The call is blocked.`)
      }
      if (answer?.decision !== "allow")
        throw new Error(answer?.reason || "Mission Control did not decide. The call is blocked.")
    },
    "tool.execute.after": async (input) => {
      const call = { session_id: input.sessionID, tool_use_id: input.callID }
      await report("tool.execute.after", { ...call, tool_name: input.tool, cwd })
    },
    event: async ({ event: { type, properties = {} } }) => {
      const { info, sessionID: session_id = info?.sessionID ?? info?.id, status } = properties
      // A message of the assistant is one call of the model; its last event has the tokens.
      if (type === "message.updated" && info?.role === "assistant" && info.time?.completed) {
        const { id: message_id, providerID: provider, modelID: model, tokens } = info
        await report("usage", { session_id, message_id, provider, model, tokens, cwd })
      }
      if (type === "session.created") version = info?.version
      const isBusy = type === "session.status" && status?.type !== "idle" && !busy.has(session_id)
      if (isBusy) busy.add(session_id)
      if (type === "session.idle") busy.delete(session_id)
      if (isBusy || /^session\.(created|idle|deleted)$/.test(type))
        await report(type, { session_id, cwd })
    },
  }
}
