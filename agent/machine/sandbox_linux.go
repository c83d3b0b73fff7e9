package machine

// profile is none: on Linux a program confines itself (Landlock).
func (program) profile() string { return "" }
