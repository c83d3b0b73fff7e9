package config

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/docker/go-units"
)

// A kind is what a value may be, whoever says it: a variable and a flag say text, a
// file says one of TOML's types.
type kind interface {
	parse(text string) (any, error)
	fromTOML(v any) (any, error)
	// literal is v as TOML has it, textOf as people type it, plain as JSON has it.
	literal(v any) any
	textOf(v any) string
	plain(v any) any
}

// kindOf is a kind of one Go type.
type kindOf[T any] struct {
	takes string
	read  func(text string) (T, error)
	text  func(T) string
	toml  func(v any) (text string, ok bool) // the text of a TOML value of a fitting type
	json  func(T) any                        // nil: as it is
	quote bool                               // a string in TOML
}

func (k kindOf[T]) parse(text string) (any, error) {
	v, err := k.read(text)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (k kindOf[T]) fromTOML(v any) (any, error) {
	text, ok := k.toml(v)
	if !ok {
		return nil, fmt.Errorf("it must be %s", k.takes)
	}
	return k.parse(text)
}

func (k kindOf[T]) textOf(v any) string { return k.text(v.(T)) }

func (k kindOf[T]) literal(v any) any {
	if k.quote {
		return k.textOf(v)
	}
	return v
}

func (k kindOf[T]) plain(v any) any {
	if k.json == nil {
		return v
	}
	return k.json(v.(T))
}

// What TOML's types are as text.
func tomlString(v any) (string, bool) { s, ok := v.(string); return s, ok }

func tomlInt(v any) (string, bool) {
	n, ok := v.(int64)
	return strconv.FormatInt(n, 10), ok
}

func tomlStringOrInt(v any) (string, bool) {
	if s, ok := tomlString(v); ok {
		return s, true
	}
	return tomlInt(v)
}

func yesNo() kindOf[bool] {
	return kindOf[bool]{
		takes: "true or false",
		read: func(text string) (bool, error) {
			switch strings.ToLower(text) {
			case "true", "on", "yes", "1":
				return true, nil
			case "false", "off", "no", "0":
				return false, nil
			}
			return false, errors.New("it must be true or false")
		},
		text: strconv.FormatBool,
		toml: func(v any) (string, bool) { b, ok := v.(bool); return strconv.FormatBool(b), ok },
	}
}

func whole(low, high int) kindOf[int] {
	takes := fmt.Sprintf("a number from %d to %d", low, high)
	return kindOf[int]{
		takes: takes,
		read: func(text string) (int, error) {
			n, err := strconv.Atoi(text)
			if err != nil || n < low || n > high {
				return 0, errors.New("it must be " + takes)
			}
			return n, nil
		},
		text: strconv.Itoa,
		toml: tomlInt,
	}
}

func size(low, high int64) kindOf[int64] {
	takes := fmt.Sprintf("a size from %s to %s, such as %s", sizeText(low), sizeText(high), sizeText(max(low, 4<<30)))
	return kindOf[int64]{
		takes: takes,
		read: func(text string) (int64, error) {
			n, err := units.RAMInBytes(text)
			switch {
			case err != nil || n < 0 || n == math.MinInt64:
				return 0, errors.New("it must be " + takes)
			case n < low:
				return 0, fmt.Errorf("%s is less than %s%s", sizeText(n), sizeText(low), forgot(text))
			case n > high:
				return 0, fmt.Errorf("%s is more than %s", sizeText(n), sizeText(high))
			}
			return n, nil
		},
		text:  sizeText,
		toml:  tomlStringOrInt,
		quote: true,
	}
}

// forgot reminds of units somebody who typed a number alone.
func forgot(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsDigit(r) }) >= 0 || text == "" {
		return ""
	}
	return "; a number alone means bytes: " + text + "MiB?"
}

// sizeText is exact, unlike what is made for people to read.
func sizeText(n int64) string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if by := int64(1) << (40 - 10*i); n != 0 && n%by == 0 {
			return strconv.FormatInt(n/by, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10)
}

func span(low, high time.Duration) kindOf[time.Duration] {
	takes := fmt.Sprintf("a time from %s to %s, such as 90s or 5m", spanText(low), spanText(high))
	return kindOf[time.Duration]{
		takes: takes,
		read: func(text string) (time.Duration, error) {
			d, err := time.ParseDuration(text)
			switch {
			case err != nil && forgot(text) != "":
				return 0, fmt.Errorf("it has no unit: %ss?", text)
			case err != nil:
				return 0, errors.New("it must be " + takes)
			case d < low:
				return 0, fmt.Errorf("%s is less than %s", spanText(d), spanText(low))
			case d > high:
				return 0, fmt.Errorf("%s is more than %s", spanText(d), spanText(high))
			}
			return d, nil
		},
		text:  spanText,
		toml:  tomlStringOrInt, // 0 is a time without a unit
		json:  func(d time.Duration) any { return d.Seconds() },
		quote: true,
	}
}

// spanText leaves out what Duration adds: 5m, not 5m0s.
func spanText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func oneOf[T ~string](words ...T) kindOf[T] {
	var all []string
	for _, w := range words {
		all = append(all, string(w))
	}
	takes := strings.Join(all[:len(all)-1], ", ") + " or " + all[len(all)-1]
	return kindOf[T]{
		takes: takes,
		read: func(text string) (T, error) {
			if !slices.Contains(all, text) {
				return "", errors.New("it must be " + takes + did(nearest(text, all)))
			}
			return T(text), nil
		},
		text:  func(v T) string { return string(v) },
		toml:  tomlString,
		quote: true,
	}
}

func text(limit int) kindOf[string] {
	return kindOf[string]{
		takes: fmt.Sprintf("text of at most %d bytes", limit),
		read: func(text string) (string, error) {
			switch {
			case len(text) > limit:
				return "", fmt.Errorf("it has %d bytes, and at most %d are allowed", len(text), limit)
			case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
				return "", errors.New("it has a control character")
			}
			return text, nil
		},
		text:  func(s string) string { return s },
		toml:  tomlString,
		quote: true,
	}
}

// maxSocket is the longest path that a socket can have on macOS.
const maxSocket = 103

func socketPath() kindOf[string] {
	k := text(maxSocket)
	plain := k.read
	k.takes = fmt.Sprintf("an absolute path of at most %d bytes, or empty", maxSocket)
	k.read = func(text string) (string, error) {
		if rest, ok := strings.CutPrefix(text, "~/"); ok {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", err
			}
			text = filepath.Join(home, rest)
		}
		if text != "" && !filepath.IsAbs(text) {
			return "", errors.New("it must be an absolute path")
		}
		return plain(text)
	}
	return k
}
