//go:build !linux

// Package netns is for Linux.
package netns
