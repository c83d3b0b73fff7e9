package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/arcboxlabs/arcbox-go/agent/home"
)

// Context is what the docker context that leads to our socket is called.
const Context = "arcbox"

// ErrTaken: there is such a context, and it is somebody else's.
var ErrTaken = errors.New("there is a docker context of that name already, which leads elsewhere")

// fileMode is of what we write there: it may hold credentials, so nobody else reads it.
const fileMode = 0o600

// A Client is the configuration of Docker's command line, which is files in a directory.
type Client struct{ dir string }

// FindClient is the user's: $DOCKER_CONFIG, or .docker in their home.
func FindClient() (Client, error) {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		return Client{dir}, nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return Client{}, fmt.Errorf("cannot find Docker's configuration: %w", err)
	}
	return Client{filepath.Join(user, ".docker")}, nil
}

// meta is a context's file as Docker has it. What was selected before ours is kept in it.
type meta struct {
	Name     string
	Metadata struct {
		Description string
		Before      string `json:"arcbox.before,omitempty"`
	}
	Endpoints map[string]endpoint
}

type endpoint struct {
	Host          string
	SkipTLSVerify bool
}

// path is where the context is described: Docker names the directory after the digest of its name.
func (c Client) path() string {
	sum := sha256.Sum256([]byte(Context))
	return filepath.Join(c.dir, "contexts", "meta", hex.EncodeToString(sum[:]), "meta.json")
}

// read is our context, nil if there is none.
func (c Client) read() (*meta, error) {
	text, err := os.ReadFile(c.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	m := &meta{}
	if err == nil {
		err = json.Unmarshal(text, m)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the docker context %s: %w", Context, err)
	}
	return m, nil
}

// A Found is what there is of our context.
type Found struct {
	Host     string // where it leads, as unix:///path; "" when there is none
	Selected bool   // Docker's command line uses it
}

// Find says what there is. It changes nothing.
func (c Client) Find() (Found, error) {
	m, err := c.read()
	if err != nil {
		return Found{}, err
	}
	s, err := c.settings()
	if err != nil {
		return Found{}, err
	}
	f := Found{Selected: s.current() == Context}
	if m != nil {
		f.Host = m.Endpoints["docker"].Host
	}
	return f, nil
}

// Publish makes the context, which leads to the socket at path, and with choose selects it. Repeated, it mends. Errors: ErrTaken.
func (c Client) Publish(path string, choose bool) error {
	host := "unix://" + path
	m, err := c.read()
	if err != nil {
		return err
	}
	if m != nil && m.Endpoints["docker"].Host != host {
		return fmt.Errorf("cannot make the docker context %s: %w: %s; docker context rm %s removes it", Context, ErrTaken, m.Endpoints["docker"].Host, Context)
	}
	if m == nil {
		m = &meta{Name: Context, Endpoints: map[string]endpoint{"docker": {Host: host}}}
		m.Metadata.Description = "Docker in an ArcBox machine"
	}
	settings, err := c.settings()
	if err != nil {
		return err
	}
	current := settings.current()
	choose = choose && current != Context
	if choose {
		m.Metadata.Before = current
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := home.Replace(c.path(), text, fileMode); err != nil {
		return fmt.Errorf("cannot make the docker context %s: %w", Context, err)
	}
	if choose {
		return c.choose(settings, Context)
	}
	return nil
}

// Withdraw removes the context, if it leads to the socket at path; where it is selected, what was before it is again.
func (c Client) Withdraw(path string) error {
	m, err := c.read()
	if m == nil || err != nil || m.Endpoints["docker"].Host != "unix://"+path {
		return err
	}
	settings, err := c.settings()
	if err != nil {
		return err
	}
	if settings.current() == Context {
		if err := c.choose(settings, m.Metadata.Before); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(filepath.Dir(c.path())); err != nil {
		return fmt.Errorf("cannot remove the docker context %s: %w", Context, err)
	}
	return nil
}

// settings are config.json: Docker's, of which only one field is ours to touch.
type settings map[string]json.RawMessage

const currentField = "currentContext"

func (c Client) settings() (settings, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, "config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return settings{}, nil
	}
	s := settings{}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read Docker's configuration: %w", err)
	}
	return s, nil
}

// current is the context that is selected, "" for Docker's own default.
func (s settings) current() (name string) {
	json.Unmarshal(s[currentField], &name) // what is no text names nothing
	return name
}

// choose selects a context, "" for Docker's own default.
func (c Client) choose(s settings, name string) error {
	delete(s, currentField)
	if name != "" {
		text, err := json.Marshal(name)
		if err != nil {
			return err
		}
		s[currentField] = text
	}
	text, err := json.MarshalIndent(s, "", "\t") // as Docker writes it
	if err != nil {
		return err
	}
	if err := home.Replace(filepath.Join(c.dir, "config.json"), text, fileMode); err != nil {
		return fmt.Errorf("cannot select the docker context %q: %w", name, err)
	}
	return nil
}
