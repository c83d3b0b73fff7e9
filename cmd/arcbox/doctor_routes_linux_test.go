package main

import "testing"

func TestWhoMayRoute(t *testing.T) {
	tests := []struct {
		name, status string
		want         bool
	}{
		{"root", "Name:\tarcboxd\nCapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\n", true},
		{"nobody", "CapPrm:\t0000000000001000\nCapEff:\t0000000000000000\n", false},
		{"that capability alone", "CapEff:\t0000000000001000\n", true},
		{"no status", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mayRoute(tt.status); got != tt.want {
				t.Errorf("%q: %v, want %v", tt.status, got, tt.want)
			}
		})
	}
}
