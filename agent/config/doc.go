// Package config is what a user can set: which settings there are, what each may
// be, where its value came from, and how a file that somebody edits by hand is read,
// changed and watched. Everything of ours that runs as the user may use it.
//
// # Layers
//
// A setting's value is that of the last layer that has it:
//
//	defaults < system file < user file < environment < flags
//
// The system file is /etc/arcbox/config.toml, the user's is config.toml in the home.
// machine.KEY has a variable ARCBOX_MACHINE_KEY, and so on. What is in [machine] is for
// every machine; [machines.NAME] is for one and goes before [machine] of either file,
// but not before the environment and flags, which somebody has just typed.
//
// # What is promised
//
//   - Load always returns settings that can be run with. What cannot be used is left at
//     what the layers below say, and told with file and line. A key that nobody knows,
//     perhaps of a newer version, is only warned of.
//   - Keys is the one list of settings: help, validation, and docs/config.md come from
//     it, and a test fails when they do not.
//   - Set and Unset change one line of the user's file. Comments, order and everything
//     else stay, byte for byte; the file is replaced at once, where it is a link, the
//     file that it points to. What was there before is there until then.
//   - A Watcher tells of changes when they have settled. While a file is broken, what
//     was good last is what counts.
//
// A Config never changes; any goroutine may use it.
package config
