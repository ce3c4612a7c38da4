// Package jsonlines lets a test drive a program: one JSON object a line on stdin, one answer a line on stdout.
//
// A request is {"id":1,"op":"name","params":{…}}, its answer {"id":1,"result":…} or {"id":1,"error":"text"}.
// Requests run at the same time, so answers may come in another order. Lines without an id are events.
package jsonlines

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Operation serves one kind of request.
type Operation func(ctx context.Context, params json.RawMessage) (any, error)

type request struct {
	ID     int             `json:"id"`
	Op     string          `json:"op"`
	Params json.RawMessage `json:"params"`
}

type answer struct {
	ID     int    `json:"id"`
	Result any    `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Writer writes whole lines, from any goroutine.
type Writer struct {
	mutex   sync.Mutex
	encoder *json.Encoder
}

// NewWriter writes to out.
func NewWriter(out io.Writer) *Writer {
	return &Writer{encoder: json.NewEncoder(out)}
}

// Event reports something that no request asked for.
func (w *Writer) Event(name string, value any) {
	w.write(map[string]any{"event": name, "value": value})
}

func (w *Writer) write(value any) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	// A closed stdout means that the test is gone; there is nobody to tell.
	_ = w.encoder.Encode(value)
}

// Op turns a typed function into an Operation; parameters that don't fit are the request's error.
func Op[P any](serve func(ctx context.Context, params P) (any, error)) Operation {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		var params P
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &params); err != nil {
				return nil, fmt.Errorf("bad parameters: %w", err)
			}
		}
		return serve(ctx, params)
	}
}

// Serve answers requests until the input ends.
func Serve(ctx context.Context, in io.Reader, out *Writer, operations map[string]Operation) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 1<<20), 64<<20)
	for lines.Scan() {
		var req request
		if err := json.Unmarshal(lines.Bytes(), &req); err != nil {
			return fmt.Errorf("not a request: %w", err)
		}
		operation, ok := operations[req.Op]
		if !ok {
			out.write(answer{ID: req.ID, Error: fmt.Sprintf("no such operation: %q", req.Op)})
			continue
		}
		go func() {
			result, err := operation(ctx, req.Params)
			if err != nil {
				out.write(answer{ID: req.ID, Error: err.Error()})
				return
			}
			out.write(answer{ID: req.ID, Result: result})
		}()
	}
	return lines.Err()
}
