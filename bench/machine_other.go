//go:build !linux

package main

// machineSuites need /proc.
func machineSuites(string) []*suite { return nil }

// keeperVar and keep likewise.
const keeperVar = "ARCBOX_BENCH_KEEPER"

func keep(string) error { return nil }

func frontSuites() []*suite { return nil }

func dockerSuites() []*suite { return nil }
