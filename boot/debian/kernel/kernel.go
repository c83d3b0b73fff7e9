// Package kernel compiles our own guest kernel from Debian's linux-source and
// keeps it in a cache shared by all checkouts.
//
// A compile takes about 12 minutes on two cores; with the same source and the
// same configuration it gives the same bytes. Its products are keyed by both:
//
//	CACHE/kernel/VERSION-DIGEST/Image        the kernel, a raw arm64 Image
//	CACHE/kernel/VERSION-DIGEST/config       the complete configuration
//	CACHE/kernel/VERSION-DIGEST/kernel.json  what was used, written last
//
// VERSION is the Debian version of the source, DIGEST that of our fragments. A
// compile that is interrupted goes on where it stopped.
package kernel

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Package is the Debian package of the source; its only interesting file is
// usr/src/linux-source-6.12.tar.xz.
const Package = "linux-source-6.12"

//go:embed minimal.config
var minimalConfig string

//go:embed docker.config
var dockerConfig string

// recipe changes whenever the same source and fragments give another kernel.
const recipe = "1"

// Digest names our configuration: 12 hexadecimal digits.
func Digest() string {
	h := sha256.Sum256([]byte(recipe + "\n" + fragments()))
	return hex.EncodeToString(h[:])[:12]
}

// fragments are the options we set; all others are at allnoconfig's value.
func fragments() string { return minimalConfig + dockerConfig }

// A Kernel is a product in the cache, with what it was made of.
type Kernel struct {
	Image string `json:"-"` // its path

	Version       string `json:"version"` // as uname -r shows it
	ImageSHA256   string `json:"image_sha256"`
	Source        string `json:"source"` // file of the source package
	SourceVersion string `json:"source_version"`
	SourceSHA256  string `json:"source_sha256"`
	Compiler      string `json:"compiler"` // first line of gcc --version
}

const (
	imageFile  = "Image"
	configFile = "config"
	recordFile = "kernel.json"
)

// root is where kernels are in a cache.
func root(cache string) string { return filepath.Join(cache, "kernel") }

// Find returns the newest kernel of our present configuration in a cache, its
// Image verified. Without one the error is fs.ErrNotExist; a damaged one counts
// as none.
func Find(cache string) (Kernel, error) {
	dirs, err := filepath.Glob(filepath.Join(root(cache), "*-"+Digest()))
	if err != nil {
		return Kernel{}, err
	}
	var newest Kernel
	for _, dir := range dirs {
		k, err := read(dir)
		if err == nil && (newest.Image == "" || later(k.SourceVersion, newest.SourceVersion)) {
			newest = k
		}
	}
	if newest.Image == "" {
		return Kernel{}, fmt.Errorf("cannot find a kernel of configuration %s in %s: %w", Digest(), root(cache), fs.ErrNotExist)
	}
	return newest, nil
}

// maxRecord bounds a kernel.json, in bytes.
const maxRecord = 64 << 10

// read reads and verifies one product.
func read(dir string) (Kernel, error) {
	f, err := os.Open(filepath.Join(dir, recordFile))
	if err != nil {
		return Kernel{}, err
	}
	defer f.Close()
	k := Kernel{Image: filepath.Join(dir, imageFile)}
	if err := json.NewDecoder(io.LimitReader(f, maxRecord)).Decode(&k); err != nil {
		return Kernel{}, fmt.Errorf("cannot read %s: %w", f.Name(), err)
	}
	sum, err := digestFile(k.Image)
	if err != nil {
		return Kernel{}, err
	}
	if sum != k.ImageSHA256 {
		return Kernel{}, errors.New("the kernel is not the one that was compiled")
	}
	return k, nil
}

// digestFile is the SHA-256 of a file in hexadecimal.
func digestFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

var digits = regexp.MustCompile(`[0-9]+|[^0-9]+`)

// later orders versions of one source package: runs of digits by their value,
// the rest as text.
func later(a, b string) bool {
	x, y := digits.FindAllString(a, -1), digits.FindAllString(b, -1)
	for i := range min(len(x), len(y)) {
		if c := comparePart(x[i], y[i]); c != 0 {
			return c > 0
		}
	}
	return len(x) > len(y)
}

// comparePart compares two runs; of numbers without leading zeroes the longer
// is the greater.
func comparePart(a, b string) int {
	na, nb := strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if isNumber(a) && isNumber(b) && len(na) != len(nb) {
		return len(na) - len(nb)
	}
	return strings.Compare(a, b)
}

func isNumber(s string) bool { return s[0] >= '0' && s[0] <= '9' }
