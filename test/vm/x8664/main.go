// Command x8664 says what it was built for, in a guest that is something else.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

func main() {
	words := append([]string{runtime.GOARCH, os.Args[0]}, strings.Join(os.Args[1:], "|"))
	fmt.Println(strings.TrimSpace(strings.Join(words, " ")))
}
