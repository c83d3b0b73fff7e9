package image

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// gunzip decompresses one gzip stream and at most max bytes. What follows it is
// ignored: EFI zboot and some packagers pad or append.
func gunzip(b []byte, max int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("its gzip header is damaged: %w", err)
	}
	z.Multistream(false)
	return drain(z, Gzip, max)
}

// unzstd decompresses a zstd stream of at most max bytes.
func unzstd(b []byte, max int64) ([]byte, error) {
	z, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(uint64(max)), zstd.WithDecoderMaxWindow(uint64(max)))
	if err != nil {
		return nil, fmt.Errorf("its zstd header is damaged: %w", err)
	}
	defer z.Close()
	return drain(z, Zstd, max)
}

// drain reads z to its end, or fails once it gives more than max bytes.
func drain(z io.Reader, how string, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(z, max+1))
	switch {
	case int64(len(data)) > max || errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return nil, fmt.Errorf("it decompresses to more than the %d MiB allowed", max>>20)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("its %s data is truncated after %d bytes; fetch it again", how, len(data))
	case err != nil:
		return nil, fmt.Errorf("its %s data is damaged after %d bytes: %w", how, len(data), err)
	}
	return data, nil
}
