package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"nsbuild/internal/rawjson"
	"nsbuild/internal/regular"
)

// largest bounds the file of a result, in bytes. That of a build with a thousand packages has some
// hundred KiB.
const largest = 256 << 20

// ErrCut means that a file ends before the result in it does.
var ErrCut = errors.New("it ends in its middle: it was cut, or is still being written")

// ErrLater means that a later version has written a result: its fields may mean something else.
var ErrLater = errors.New("a later version of nsbuild has written it")

// Read reads the result of one build.
func Read(path string) (*Result, error) {
	all, err := ReadAll(path)
	switch {
	case err != nil:
		return nil, err
	case len(all) != 1:
		return nil, fmt.Errorf("reading %s: it has the results of %d builds", path, len(all))
	}
	return all[0], nil
}

// ReadAll reads the results of a file, of one build or of several.
func ReadAll(path string) ([]*Result, error) {
	text, err := regular.ReadFile(path, largest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	all, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return all, nil
}

func decode(text []byte) ([]*Result, error) {
	var several struct {
		Schema  int               `json:"schema"`
		Results []json.RawMessage `json:"results"`
	}
	if err := json.Unmarshal(text, &several); err != nil {
		if e := (*json.SyntaxError)(nil); errors.As(err, &e) && e.Offset >= int64(len(text)) {
			return nil, ErrCut
		}
		return nil, err
	}
	if several.Results == nil {
		one, err := decodeOne(text)
		return []*Result{one}, err
	}
	if err := checkSchema(several.Schema, SeveralSchema); err != nil {
		return nil, err
	}
	var out []*Result
	for _, part := range several.Results {
		one, err := decodeOne(part)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

func decodeOne(text []byte) (*Result, error) {
	var head struct {
		Schema  int             `json:"schema"`
		Outcome json.RawMessage `json:"outcome"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, err
	}
	if head.Outcome == nil {
		return nil, errors.New("it is no result of a build")
	}
	if err := checkSchema(head.Schema, Schema); err != nil {
		return nil, err
	}
	var r Result
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	if err := rawjson.Exact(&r, r.Escaped); err != nil {
		return nil, err
	}
	r.Escaped = nil
	return &r, nil
}

func checkSchema(found, known int) error {
	switch {
	case found > known:
		return fmt.Errorf("it has schema %d, this program knows 1 to %d: %w", found, known,
			ErrLater)
	case found < 1:
		return errors.New("it is no result of a build")
	}
	return nil
}
