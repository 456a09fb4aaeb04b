package main

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"time"
)

type Events struct {
	LastID  string // for the next connection, as Retry
	Retry   time.Duration
	On      func(kind, data string)
	Silence *time.Timer
}

func (e *Events) Read(body io.Reader) {
	kind, data, id := "message", "", e.LastID
	lines := bufio.NewScanner(body) // ends of lines: LF, CR LF; a CR alone is allowed too, but no gateway sends it
	for lines.Buffer(nil, 2<<20); lines.Scan(); e.Silence.Reset(60 * time.Second) {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		if lines.Text() == "" {
			if e.LastID = id; data != "" {
				e.On(kind, strings.TrimSuffix(data, "\n"))
			}
			kind, data = "message", ""
		} else if field == "event" && value != "" {
			kind = value
		} else if field == "data" {
			data += value + "\n"
		} else if field == "id" {
			id = value
		} else if ms, err := strconv.ParseUint(value, 10, 31); field == "retry" && err == nil {
			e.Retry = time.Duration(ms) * time.Millisecond
		}
	}
}
