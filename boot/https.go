package boot

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// StallLimit is how long a server may be silent before the transfer is given
// up and tried again. There is no limit on the whole: lines are slow.
const StallLimit = 60 * time.Second

// maxRedirects is what browsers' servers need at most in practice, and then some.
const maxRedirects = 10

var (
	errStalled  = errors.New("no byte came for too long")
	errInsecure = errors.New("only https is taken")
)

// HTTPS is a source on a web server: a folder with the manifest, its signature
// and the files.
type HTTPS struct {
	base   *url.URL
	client *http.Client
	stall  time.Duration
}

// NewHTTPS gives the source at a folder's address. A client other than nil
// brings its transport; redirects are followed by our rules.
func NewHTTPS(address string, client *http.Client) (*HTTPS, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("cannot fetch from %q: %w", address, err)
	}
	if u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("cannot fetch from %q: %w: give https://HOST/FOLDER", address, errInsecure)
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	if client == nil {
		client = &http.Client{Transport: newTransport()}
	}
	c := *client
	c.CheckRedirect = checkRedirect
	return &HTTPS{base: u, client: &c, stall: StallLimit}, nil
}

// newTransport is Go's default with compression off: the files are compressed
// where that helps, and byte ranges count stored bytes.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: StallLimit,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true,
	}
}

// checkRedirect keeps redirects few and encrypted.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if req.URL.Scheme != "https" {
		return fmt.Errorf("it redirects to %s: %w", req.URL, errInsecure)
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("it redirects more than %d times", maxRedirects)
	}
	return nil
}

// Remote says that a server is not believed without a signature.
func (h *HTTPS) Remote() bool { return true }

// Manifest fetches the manifest and its signature.
func (h *HTTPS) Manifest(ctx context.Context) (raw, sig []byte, err error) {
	if raw, err = h.small(ctx, ManifestName); err != nil {
		return nil, nil, err
	}
	sig, err = h.small(ctx, SignatureName)
	return raw, sig, err
}

// small fetches a file of at most MaxManifest bytes.
func (h *HTTPS) small(ctx context.Context, name string) ([]byte, error) {
	r, _, err := h.get(ctx, name, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, MaxManifest+1))
	if err == nil && len(b) > MaxManifest {
		err = fmt.Errorf("cannot fetch %s: it has more than %d bytes", name, MaxManifest)
	}
	return b, err
}

// Open asks for a file from offset on.
func (h *HTTPS) Open(ctx context.Context, f File, offset int64) (io.ReadCloser, int64, error) {
	return h.get(ctx, f.Name, offset)
}

// get asks for a file from offset on and sees to it that silence ends it.
func (h *HTTPS) get(ctx context.Context, name string, offset int64) (io.ReadCloser, int64, error) {
	address := h.base.JoinPath(name).String()
	ctx, cancel := context.WithCancelCause(ctx)
	b := &body{cancel: cancel, stall: h.stall, name: address, ctx: ctx}
	b.timer = time.AfterFunc(h.stall, func() { cancel(errStalled) })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		b.end()
		return nil, 0, fmt.Errorf("cannot fetch %s: %w", address, err)
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := h.client.Do(req)
	if err != nil {
		err = b.explain(err)
		b.end()
		return nil, 0, err
	}
	b.r = resp.Body
	at, err := begins(resp, offset)
	if err != nil {
		b.Close()
		return nil, 0, fmt.Errorf("cannot fetch %s: %w", address, err)
	}
	return b, at, nil
}

// begins says at which byte of the file a response begins.
func begins(resp *http.Response, offset int64) (at int64, err error) {
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		return 0, nil
	case code == http.StatusPartialContent && offset > 0:
		want := fmt.Sprintf("bytes %d-", offset)
		if r := resp.Header.Get("Content-Range"); !strings.HasPrefix(r, want) {
			return 0, fmt.Errorf("the server gave the range %q for %q", r, want)
		}
		return offset, nil
	case code == http.StatusRequestedRangeNotSatisfiable:
		return 0, errRange
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		return 0, &temporaryError{fmt.Errorf("the server says %s", resp.Status)}
	}
	return 0, fmt.Errorf("the server says %s", resp.Status)
}

// errRange: the server's file ends before the offset asked for.
var errRange = errors.New("the server's file is shorter than what is here of it")

// A body is a response that ends in an error once nothing came for stall.
type body struct {
	r      io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
	name   string
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if n > 0 {
		b.timer.Reset(b.stall)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.explain(err)
	}
	return n, err
}

// Close ends the request. It does not fail.
func (b *body) Close() error {
	b.end()
	return b.r.Close()
}

func (b *body) end() {
	b.timer.Stop()
	b.cancel(nil)
}

// explain turns an error of the transfer into one that says what was fetched
// and, unless the caller gave up or the address is wrong for good, that it may
// work later.
func (b *body) explain(err error) error {
	cause := context.Cause(b.ctx)
	switch {
	case errors.Is(cause, errStalled):
		return &temporaryError{fmt.Errorf("cannot fetch %s: %w (%v)", b.name, errStalled, b.stall)}
	case cause != nil:
		return fmt.Errorf("cannot fetch %s: %w", b.name, cause)
	case errors.Is(err, errInsecure), isCertificate(err):
		return fmt.Errorf("cannot fetch %s: %w", b.name, err)
	}
	return &temporaryError{fmt.Errorf("cannot fetch %s: %w", b.name, err)}
}

// isCertificate tells whether the server could not prove who it is.
func isCertificate(err error) bool {
	var bad *tls.CertificateVerificationError
	return errors.As(err, &bad)
}
