package logfile

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// numbers lists the N of PATH.N that exist, rising.
func numbers(path string) []int {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil // as good as none: the next call that needs the directory says why
	}
	var all []int
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+".")
		if !ok {
			continue
		}
		if n, err := strconv.Atoi(digits); err == nil && n > 0 && strconv.Itoa(n) == digits {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

func last(numbers []int) int {
	if len(numbers) == 0 {
		return 0
	}
	return numbers[len(numbers)-1]
}

func numbered(path string, n int) string { return path + "." + strconv.Itoa(n) }

// isAt says whether the open file is the one at path now.
func isAt(f *os.File, path string) bool {
	is, err := f.Stat()
	if err != nil {
		return false
	}
	at, err := os.Stat(path)
	return err == nil && os.SameFile(is, at)
}
