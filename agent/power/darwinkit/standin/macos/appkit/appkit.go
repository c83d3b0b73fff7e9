// Package appkit stands in for darwinkit's.
package appkit

import (
	"github.com/progrium/darwinkit/macos/foundation"
	"github.com/progrium/darwinkit/objc"
)

type (
	// ApplicationActivationPolicy is an NSApplicationActivationPolicy.
	ApplicationActivationPolicy int
	// Application is an NSApplication.
	Application struct{ objc.Object }
	// ApplicationDelegate is an NSApplicationDelegate.
	ApplicationDelegate struct{}
	// Workspace is an NSWorkspace.
	Workspace struct{ objc.Object }
)

// ApplicationActivationPolicyProhibited is for programs without windows.
const ApplicationActivationPolicyProhibited ApplicationActivationPolicy = 2

// SetActivationPolicy says what the program shows.
func (Application) SetActivationPolicy(ApplicationActivationPolicy) bool { return true }

var workspaceCenter = foundation.NewCenter()

// Workspace_SharedWorkspace is the process's.
func Workspace_SharedWorkspace() Workspace { return Workspace{} }

// NotificationCenter is where the workspace tells of sleep and wake.
func (Workspace) NotificationCenter() foundation.NotificationCenter { return workspaceCenter }
