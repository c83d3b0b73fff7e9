package main

import (
	"context"
	"errors"
	"os"
	"strings"
)

// appleCommand is none: Apple's are here.
func appleCommand([]string) (status int, other bool) { return 0, false }

// prepare has everything built for the oldest system that the product is for, as scripts/bundle does: what is newer, and called
// unguarded, is an error only then.
func (s *session) prepare(ctx context.Context) (end func() error, err error) {
	if s.rehearse {
		return nil, errors.New("cannot rehearse on a Mac: the stand-ins are built elsewhere")
	}
	oldest, err := s.says(ctx, nil, "plutil", "-extract", "LSMinimumSystemVersion", "raw", "Info.plist")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"CGO_CFLAGS", "CGO_LDFLAGS"} {
		os.Setenv(name, "-O2 -g -mmacosx-version-min="+strings.TrimSpace(oldest))
	}
	s.programs = func(context.Context, *session) (string, error) {
		const dir = "build/ArcBox.app/Contents/MacOS"
		if _, err := os.Stat(dir); err != nil {
			return "", notRunError("there is no bundle: the step bundle makes it")
		}
		return dir, nil
	}
	return func() error { return nil }, nil
}
