package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// value is a JSON value that keeps the order of its fields.
type value struct {
	literal string // of a string, number, true, false or null, as JSON
	keys    []string
	items   []*value // of an array, or of an object in the order of keys
	object  bool
	array   bool
}

func parseValue(text string) (*value, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	parsed, err := nextValue(decoder)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one JSON value")
	}
	return parsed, nil
}

func nextValue(decoder *json.Decoder) (*value, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return literal(token)
	}
	v := &value{object: delim == '{', array: delim == '['}
	for decoder.More() {
		if v.object {
			key, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			v.keys = append(v.keys, fmt.Sprint(key))
		}
		item, err := nextValue(decoder)
		if err != nil {
			return nil, err
		}
		v.items = append(v.items, item)
	}
	_, err = decoder.Token() // the closing bracket
	return v, err
}

// literal writes &, < and > as they are: nobody reads the examples as HTML.
func literal(of any) (*value, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(of)
	return &value{literal: strings.TrimSpace(text.String())}, err
}

// print writes the value in lines of at most width where that is possible.
func (v *value) print(width int) string { return v.printAt("", width) }

func (v *value) printAt(indent string, width int) string {
	if line := v.line(); len(v.items) == 0 || len(indent)+len(line) <= width {
		return line
	}
	var lines []string
	for i, item := range v.items {
		key := ""
		if v.object {
			key = quoted(v.keys[i]) + ": "
		}
		lines = append(lines, indent+"  "+key+item.printAt(indent+"  ", width-len(key)))
	}
	open, end := v.brackets()
	return open + "\n" + strings.Join(lines, ",\n") + "\n" + indent + end
}

func (v *value) line() string {
	if v.literal != "" {
		return v.literal
	}
	var parts []string
	for i, item := range v.items {
		if v.object {
			parts = append(parts, quoted(v.keys[i])+": "+item.line())
		} else {
			parts = append(parts, item.line())
		}
	}
	open, end := v.brackets()
	return open + strings.Join(parts, ", ") + end
}

func (v *value) brackets() (open, end string) {
	if v.object {
		return "{", "}"
	}
	return "[", "]"
}

func quoted(key string) string {
	text, err := literal(key)
	if err != nil {
		return `""`
	}
	return text.literal
}
