module github.com/arcboxlabs/arcbox-go

go 1.26.0

require github.com/klauspost/compress v1.20.3

require go.uber.org/goleak v1.3.0

require golang.org/x/sys v0.49.0

require (
	github.com/docker/go-units v0.5.0
	github.com/spf13/cobra v1.10.2
	golang.org/x/arch v0.32.0
	golang.org/x/term v0.47.0
)

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
	pgregory.net/rapid v1.3.0 // indirect
)
