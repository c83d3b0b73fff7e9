module github.com/arcboxlabs/arcbox-go

go 1.26
