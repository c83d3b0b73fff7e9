//go:build macshim && !darwin

package rules_test

import _ "github.com/arcboxlabs/arcbox-go/hv/hvf/standin" // what is tested
