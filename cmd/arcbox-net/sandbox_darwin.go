package main

// confine does nothing here: on macOS the agent starts the process with a sandbox profile.
func confine() string { return "none: the agent's sandbox profile does it on macOS" }
