package home

import (
	"fmt"
	"os"
	"path/filepath"
)

// Beside is the path of what was installed together with the running program: it stands in the same directory, or in the
// Resources of the same application bundle, where what is no program of a Mac's must be. Errors: it is in neither.
func Beside(name string) (string, error) {
	dir, err := programs()
	if err != nil {
		return "", fmt.Errorf("cannot find %s: %w", name, err)
	}
	return beside(dir, name)
}

func beside(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	_, err := os.Stat(path)
	if err == nil {
		return path, nil
	}
	if there, ok := resources(dir); ok {
		if path := filepath.Join(there, name); exists(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("cannot find %s: %w; it belongs into %s", name, err, dir)
}

// programs is the directory of the running program, behind all links.
func programs() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	return filepath.Dir(self), nil
}

// resources is the Resources directory of the bundle whose programs are in dir; false if dir is none's.
func resources(dir string) (string, bool) {
	contents := filepath.Dir(dir)
	if filepath.Base(dir) != "MacOS" || !exists(filepath.Join(contents, "Info.plist")) {
		return "", false
	}
	return filepath.Join(contents, "Resources"), true
}

// bundled is the directory of shared files that came with the application, "" for none.
func bundled(dir string) string {
	if there, ok := resources(dir); ok && exists(filepath.Join(there, "boot")) {
		return there
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
