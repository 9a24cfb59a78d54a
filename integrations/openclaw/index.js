// Tools and skill are declared in openclaw.plugin.json; there is nothing to register.
export default {
  id: "taskferry",
  name: "TaskFerry",
  description: "Receive and hand over tasks between AI agents, sealed end to end.",
  register() {},
};
