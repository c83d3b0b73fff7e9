package ipc

import "strconv"

// scan reads the messages that there are most of, calls and their answers as this package
// writes them, without a copy and without the cost of a general reader of JSON. It is false for
// whatever else, which says nothing about the message. The body is only looked at
// as far as its end, so whoever reads it must say whether it is JSON.
func (m *message) scan(text []byte) bool {
	s := scanner{text}
	if !s.skip(`{`) {
		return false
	}
	for {
		key, ok := s.word()
		if !ok || !s.skip(":") || !m.field(&s, key) {
			return false
		}
		if s.skip("}") {
			return len(s.rest) == 0
		}
		if !s.skip(",") {
			return false
		}
	}
}

// field reads the value of one field.
func (m *message) field(s *scanner, key []byte) bool {
	switch string(key) {
	case "type":
		word, ok := s.word()
		m.Type = typeName(word)
		return ok && m.Type != ""
	case "method":
		word, ok := s.word()
		m.Method = string(word)
		return ok
	case "id":
		n, ok := s.number()
		m.ID = n
		return ok
	case "timeout_ms":
		n, ok := s.number()
		m.TimeoutMS = int64(n)
		return ok && n < 1<<62
	case "credit":
		n, ok := s.number()
		m.Credit = int(n)
		return ok && n <= Window
	case "body":
		m.Body = s.object()
		return m.Body != nil
	}
	return false
}

// typeName is the constant that word spells, or "".
func typeName(word []byte) string {
	switch string(word) {
	case typeCall:
		return typeCall
	case typeReply:
		return typeReply
	case typeCancel:
		return typeCancel
	case typeNote:
		return typeNote
	}
	return ""
}

// A scanner takes pieces of JSON without white space from the front of a text.
type scanner struct{ rest []byte }

func (s *scanner) skip(what string) bool {
	if len(s.rest) < len(what) || string(s.rest[:len(what)]) != what {
		return false
	}
	s.rest = s.rest[len(what):]
	return true
}

// word takes a string of plain ASCII without escapes.
func (s *scanner) word() ([]byte, bool) {
	if !s.skip(`"`) {
		return nil, false
	}
	for i, b := range s.rest {
		switch {
		case b == '"':
			word := s.rest[:i]
			s.rest = s.rest[i+1:]
			return word, true
		case b < ' ' || b >= 0x7f || b == '\\':
			return nil, false
		}
	}
	return nil, false
}

// number takes a number that is not negative and has at most 18 digits.
func (s *scanner) number() (uint64, bool) {
	n := 0
	for n < len(s.rest) && s.rest[n] >= '0' && s.rest[n] <= '9' {
		n++
	}
	if n == 0 || n > 18 || n > 1 && s.rest[0] == '0' {
		return 0, false
	}
	v, err := strconv.ParseUint(string(s.rest[:n]), 10, 64)
	s.rest = s.rest[n:]
	return v, err == nil
}

// object takes an object as far as its closing brace, or nothing when it has none.
func (s *scanner) object() []byte {
	if len(s.rest) == 0 || s.rest[0] != '{' {
		return nil
	}
	depth := 0
	for i := 0; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				object := s.rest[:i+1]
				s.rest = s.rest[i+1:]
				return object
			}
		case '"':
			n := stringEnd(s.rest[i+1:])
			if n < 0 {
				return nil
			}
			i += n + 1
		}
	}
	return nil
}

// stringEnd is where the closing quote of a string is, -1 when nowhere.
func stringEnd(p []byte) int {
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return -1
}
