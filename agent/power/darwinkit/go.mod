// A module of its own: only a Mac can fetch and build darwinkit, and the product does without it.
module github.com/arcboxlabs/arcbox-go/agent/power/darwinkit

go 1.26.0

require (
	github.com/arcboxlabs/arcbox-go v0.0.0
	github.com/progrium/darwinkit v0.5.0
)

replace github.com/arcboxlabs/arcbox-go => ../../..
