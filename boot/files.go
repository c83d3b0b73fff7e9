package boot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// copyBlock is how many bytes are copied or digested between two looks at the
// context.
const copyBlock = 1 << 20

// readSmall reads a file of at most max bytes.
func readSmall(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(b)) > max {
		err = fmt.Errorf("%s has more than %d bytes", name, max)
	}
	return b, err
}

// digest gives the SHA-256 and the number of bytes of what r holds. step is
// told how many bytes are done.
func digest(ctx context.Context, r io.Reader, step func(done int64)) (sum string, n int64, err error) {
	h := sha256.New()
	n, err = copyAll(ctx, h, r, step)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// copyAll copies r to w until r ends or ctx does.
func copyAll(ctx context.Context, w io.Writer, r io.Reader, step func(done int64)) (n int64, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return n, context.Cause(ctx)
		}
		m, err := io.CopyN(w, r, copyBlock)
		n += m
		if m > 0 {
			step(n)
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// checkFile reads the file at path and compares it to what f says. The error
// says what is wrong; it is fs.ErrNotExist for a missing file.
func checkFile(ctx context.Context, path string, f File, step func(done int64)) error {
	r, err := os.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := checkSize(r, f); err != nil {
		return err
	}
	sum, _, err := digest(ctx, r, step)
	switch {
	case err != nil:
		return err
	case sum != f.SHA256:
		return fmt.Errorf("%w: its SHA-256 is %s, not %s", ErrDamaged, sum, f.SHA256)
	}
	return nil
}

// checkSize compares an open file's kind and size to what f says.
func checkSize(r *os.File, f File) error {
	st, err := r.Stat()
	switch {
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return fmt.Errorf("%w: it is no regular file", ErrDamaged)
	case st.Size() != f.Size:
		return fmt.Errorf("%w: it has %d bytes, not %d", ErrDamaged, st.Size(), f.Size)
	}
	return nil
}

// writeDurable writes a small file and sees it to the disk.
func writeDurable(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// replaceDurable puts b in place of the file name: whoever looks, and whenever
// the power fails, there is the old file or the new one.
func replaceDurable(name string, b []byte) error {
	tmp := name + ".new"
	if err := writeDurable(tmp, b); err != nil {
		return err
	}
	if err := os.Rename(tmp, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// syncFile sees the contents of a file, or the names in a directory, to the
// disk. On macOS File.Sync is F_FULLFSYNC.
func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func syncDir(name string) error { return syncFile(name) }

// exists tells whether there is something at path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
