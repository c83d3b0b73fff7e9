package config

import (
	"bytes"
	"strings"

	"github.com/BurntSushi/toml"
)

// A statement is one `key = value` or `[table]` of a file, and where it is.
type statement struct {
	path   toml.Key // of the value or the table, from the root
	table  bool     // a header
	line   int      // the first one is 1
	start  int      // of its first line
	end    int      // after its last line
	key    int      // where the key begins
	value  int      // where the value begins and ends
	valEnd int
}

// layout finds the statements of a document that the TOML parser has accepted. The
// parser does not tell where things are; what is found here is only used to tell
// lines and to edit, and an edit is checked by parsing its outcome.
func layout(data []byte) []statement {
	s := scanner{data: data}
	var all []statement
	var table toml.Key
	line, counted := 1, 0 // lines before counted
	for s.skipBlank(); s.pos < len(data); s.skipBlank() {
		st := statement{start: bytes.LastIndexByte(data[:s.pos], '\n') + 1, key: s.pos}
		line, counted = line+bytes.Count(data[counted:s.pos], []byte("\n")), s.pos
		st.line = line
		if s.peek() == '[' {
			for s.peek() == '[' {
				s.pos++
			}
			st.path, st.table = s.keys(), true
			table = st.path
		} else {
			st.path = append(append(toml.Key{}, table...), s.keys()...)
			if s.peek() == '=' {
				s.pos++
			}
			s.skipSpace()
			st.value = s.pos
			s.skipValue()
			st.valEnd = s.pos
		}
		s.skipLine()
		st.end = s.pos
		all = append(all, st)
	}
	return all
}

type scanner struct {
	data []byte
	pos  int
}

func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) has(prefix string) bool {
	return bytes.HasPrefix(s.data[s.pos:], []byte(prefix))
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.data) && strings.IndexByte(" \t", s.data[s.pos]) >= 0 {
		s.pos++
	}
}

// skipBlank goes past white space, line ends and comments.
func (s *scanner) skipBlank() {
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} { // as the parser does
		if s.pos == 0 && s.has(mark) {
			s.pos = len(mark)
		}
	}
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		case '#':
			s.skipLine()
		default:
			return
		}
	}
}

func (s *scanner) skipLine() {
	if i := bytes.IndexByte(s.data[s.pos:], '\n'); i >= 0 {
		s.pos += i + 1
		return
	}
	s.pos = len(s.data)
}

// keys reads a dotted key.
func (s *scanner) keys() (path toml.Key) {
	for {
		s.skipSpace()
		start := s.pos
		if c := s.peek(); c == '"' || c == '\'' {
			s.skipString()
			path = append(path, unquote(s.data[start:s.pos]))
		} else {
			for s.pos < len(s.data) && strings.IndexByte(" \t.=]\r\n", s.data[s.pos]) < 0 {
				s.pos++
			}
			path = append(path, string(s.data[start:s.pos]))
		}
		s.skipSpace()
		if s.peek() != '.' {
			return path
		}
		s.pos++
	}
}

// unquote lets the parser say what a quoted key is.
func unquote(quoted []byte) string {
	var doc struct{ K string }
	if _, err := toml.Decode("K="+string(quoted), &doc); err != nil {
		return string(quoted)
	}
	return doc.K
}

// skipString goes past a string of any of the four forms.
func (s *scanner) skipString() {
	quote := s.data[s.pos : s.pos+1]
	escapes := quote[0] == '"'
	if triple := bytes.Repeat(quote, 3); s.has(string(triple)) {
		quote = triple
	}
	for s.pos += len(quote); s.pos < len(s.data); s.pos++ {
		if escapes && s.data[s.pos] == '\\' {
			s.pos++
			continue
		}
		if s.has(string(quote)) {
			s.pos += len(quote)
			for n := 0; len(quote) == 3 && n < 2 && s.peek() == quote[0]; n++ {
				s.pos++ // up to two quotes may stand before the closing three
			}
			return
		}
	}
	s.pos = min(s.pos, len(s.data))
}

// skipValue goes past a value, which may have several lines.
func (s *scanner) skipValue() {
	depth := 0
	start := s.pos
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"' || c == '\'':
			s.skipString()
			if depth == 0 {
				return
			}
		case c == '[' || c == '{':
			depth++
			s.pos++
		case c == ']' || c == '}':
			depth--
			s.pos++
			if depth <= 0 {
				return
			}
		case c == '#' && depth > 0:
			s.skipLine()
		case depth == 0 && (c == '#' || c == '\n'):
			s.pos = start + len(bytes.TrimRight(s.data[start:s.pos], " \t\r"))
			return
		default:
			s.pos++
		}
	}
	s.pos = start + len(bytes.TrimRight(s.data[start:s.pos], " \t\r"))
}
