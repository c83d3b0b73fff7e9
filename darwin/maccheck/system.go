package main

import "context"

// A system is where the check runs: a Mac, or the stage of a rehearsal.
type system struct {
	rehearsal bool
	tags      []string // of every build
	// programs gives the directory with a user's programs.
	programs func(context.Context, *session) (string, error)
}

// underLaunchd runs an agent under the Mac's launchd. A rehearsal has none: it executes what speaks to launchd.
func underLaunchd(ctx context.Context, s *session) error {
	if !s.rehearsal {
		return s.test(ctx, suite{pkg: "./launchd", run: "^TestLaunchd$", root: "TestLaunchd"})
	}
	return s.test(ctx, suite{pkg: "./launchd", run: "^(TestSocketsOfLaunchd|TestInstallStartStopUninstall)$"})
}
