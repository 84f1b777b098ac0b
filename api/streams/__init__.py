"""Server-sent events: streams of tasks, comments, approvals, agents, messages and memory."""
