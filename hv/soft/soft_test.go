package soft_test

import (
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/hvtest"
	"github.com/arcboxlabs/arcbox-go/hv/soft"
)

func TestConformance(t *testing.T) { hvtest.Run(t, soft.New()) }
