//go:build !linux

package main

import "errors"

var daemonWays = []string{""}

// openDaemon: vhost-user needs memfd and eventfd.
func openDaemon(_, _ string) (*blkDriver, error) { return nil, errors.ErrUnsupported }
