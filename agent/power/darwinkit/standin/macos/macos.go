// Package macos stands in for darwinkit's.
package macos

import "github.com/progrium/darwinkit/macos/appkit"

// RunApp is the program's main loop.
func RunApp(didLaunch func(appkit.Application, *appkit.ApplicationDelegate)) {
	didLaunch(appkit.Application{}, &appkit.ApplicationDelegate{})
	select {}
}
