package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Unpack fetches packages with all that they depend on and unpacks them below dst,
// which is made, as one root with a merged /usr. Nothing of them is run: what
// their scripts would make is missing. cache is that of New. It is for tests that
// run Debian's own programs in a guest, and needs apt-get, dpkg-deb and tar.
func Unpack(ctx context.Context, cache, dst string, tell func(line string), packages ...string) error {
	cache, err := filepath.Abs(cache)
	if err != nil {
		return fmt.Errorf("cannot unpack packages: %w", err)
	}
	say := func(format string, args ...any) { tell(fmt.Sprintf(format, args...)) }
	a, err := openApt(ctx, filepath.Join(cache, "apt", Suite), Suite)
	if err != nil {
		return err
	}
	defer a.close()
	if err := a.update(ctx, listsAge, say); err != nil {
		return err
	}
	debs, err := a.getBy(ctx, say, a.resolveAll, packages)
	if err != nil {
		return err
	}
	if err := mergedRoot(dst); err != nil {
		return err
	}
	for _, d := range debs {
		if err := unpackAll(ctx, a.path(d), dst); err != nil {
			return fmt.Errorf("cannot unpack %s: %w", d.File, err)
		}
	}
	return nil
}

// mergedRoot makes the directories and links that a merged /usr begins with.
func mergedRoot(dst string) error {
	for _, dir := range []string{"bin", "sbin", "lib"} {
		if err := os.MkdirAll(filepath.Join(dst, "usr", dir), 0o755); err != nil {
			return fmt.Errorf("cannot make a root: %w", err)
		}
		if err := os.Symlink("usr/"+dir, filepath.Join(dst, dir)); err != nil {
			return fmt.Errorf("cannot make a root: %w", err)
		}
	}
	return nil
}

// unpackAll unpacks one package. The links of a merged /usr stay.
func unpackAll(ctx context.Context, deb, dst string) error {
	from := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	to := exec.CommandContext(ctx, "tar", "--extract", "--keep-directory-symlink", "--no-same-owner", "--directory", dst)
	pipe, err := from.StdoutPipe()
	if err != nil {
		return err
	}
	to.Stdin = pipe
	if err := from.Start(); err != nil {
		return err
	}
	out, err := to.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, lastLines(string(out), 2))
		from.Process.Kill() // it may be blocked writing to tar
	}
	return errors.Join(err, from.Wait())
}
