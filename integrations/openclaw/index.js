import { defineToolPlugin } from "openclaw/plugin-sdk/tool-plugin";

// The tools are those of the MCP server that openclaw.plugin.json names, beside the skill.
export default defineToolPlugin({
  id: "taskferry",
  name: "TaskFerry",
  description: "Receive and hand over tasks between AI agents, sealed end to end.",
  activation: { onStartup: false },
  tools: () => [],
});
