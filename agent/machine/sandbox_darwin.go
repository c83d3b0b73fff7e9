package machine

// profile is the sandbox in which prog is started.
func (prog program) profile() string {
	if prog.name == vmProgram.name {
		return vmProfile
	}
	return "" // arcbox-net makes connections to wherever the guest wants
}
