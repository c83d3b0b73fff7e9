package main

// confine does nothing: on macOS the agent starts the process within a sandbox, agent/machine/arcbox-vm.sb.
func confine() string { return "none of its own: the agent starts it within a profile" }
