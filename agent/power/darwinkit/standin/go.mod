// What source.go and arcboxd use of darwinkit, for a machine that is no Mac.
module github.com/progrium/darwinkit

go 1.26.0
