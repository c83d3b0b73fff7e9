module github.com/arcboxlabs/arcbox-go

go 1.26.0

require github.com/klauspost/compress v1.20.3

require go.uber.org/goleak v1.3.0

require golang.org/x/sys v0.49.0
