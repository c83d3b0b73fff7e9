package config

import (
	"fmt"
	"strings"
)

// Markdown is the table of all settings: the one in docs/config.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| setting | is | default | takes effect | |\n| --- | --- | --- | --- | --- |\n")
	for _, k := range Keys {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Name, k.Takes, k.Default, k.Effect, k.Doc)
	}
	return b.String()
}

// Help is what a person in a terminal is told of one setting.
func (k *Key) Help() string {
	return fmt.Sprintf("%s\n  %s\n  It is %s; default: %s.\n  Takes effect: %s. Variable: %s.\n", k.Name, k.Doc, k.Takes, k.Default, k.Effect, k.Variable())
}
