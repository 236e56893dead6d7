package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"
)

// pick reads members of an object by their very names, each as what it is to be. A member that is
// not there, and null, leave what there is. encoding/json by itself would take "Subject" for
// "subject".
func pick(object json.RawMessage, members map[string]any) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(object, &all); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if text, ok := all[name]; ok {
			if err := json.Unmarshal(text, members[name]); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// unambiguous refuses text that programs read differently: of a member that an object has twice
// some take the first one and some the last.
func unambiguous(text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("it is not UTF-8")
	}
	type level struct {
		names map[string]bool // nil: a list
		value bool            // a name was read, and its value comes
	}
	var open []level
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		token, err := d.Token()
		if err != nil {
			return err
		}
		var in *level
		if len(open) > 0 {
			in = &open[len(open)-1]
		}
		name, isText := token.(string)
		switch {
		case token == json.Delim('}') || token == json.Delim(']'):
			if open = open[:len(open)-1]; len(open) == 0 {
				return nil
			}
			continue
		case in != nil && in.names != nil && !in.value && isText:
			if in.names[name] {
				return fmt.Errorf("it has %q twice", name)
			}
			in.names[name], in.value = true, true
			continue
		case in != nil:
			in.value = false
		}
		switch token {
		case json.Delim('{'):
			open = append(open, level{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, level{})
		default:
			if in == nil {
				return nil // a number or a text, and no object
			}
		}
	}
}

// parse reads a statement. Others may add members (in-toto Attestation Framework, parsing rules).
func parse(text []byte) (*Statement, error) {
	if err := unambiguous(text); err != nil {
		return nil, err
	}
	var s Statement
	var subjects []json.RawMessage
	err := pick(text, map[string]any{"_type": &s.Type, "subject": &subjects,
		"predicateType": &s.PredicateType, "predicate": &s.Predicate})
	if err != nil {
		return nil, err
	}
	s.Subject, err = descriptors(subjects)
	return &s, err
}

func descriptors(texts []json.RawMessage) (all []Descriptor, err error) {
	for _, text := range texts {
		var d Descriptor
		var content []byte
		var annotations map[string]json.RawMessage
		err := pick(text, map[string]any{"name": &d.Name, "uri": &d.URI, "digest": &d.Digest,
			"downloadLocation": &d.DownloadLocation, "mediaType": &d.MediaType,
			"content": &content, "annotations": &annotations})
		if err == nil {
			err = d.check()
		}
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// run is what is read of a predicate of SLSA provenance.
type run struct {
	buildType, builder string
	source             sourceName
}

// parseSLSA reads a predicate of SLSA provenance v1, and requires of it what level 1 requires.
func parseSLSA(predicate json.RawMessage) (r run, err error) {
	var definition, details json.RawMessage
	err = pick(predicate, map[string]any{"buildDefinition": &definition, "runDetails": &details})
	if err != nil {
		return r, err
	}
	if definition == nil || details == nil {
		return r, errors.New("it lacks buildDefinition or runDetails")
	}
	if err := r.parseDefinition(definition); err != nil {
		return r, err
	}
	return r, r.parseDetails(details)
}

func (r *run) parseDefinition(text json.RawMessage) error {
	var used []json.RawMessage
	var external, internal map[string]json.RawMessage
	err := pick(text, map[string]any{"buildType": &r.buildType, "externalParameters": &external,
		"internalParameters": &internal, "resolvedDependencies": &used})
	if err != nil {
		return err
	}
	if r.buildType == "" || len(external) == 0 {
		return errors.New("it lacks buildType or externalParameters")
	}
	if source, ok := external["source"]; ok {
		if r.source, err = parseSource(source); err != nil {
			return err
		}
	}
	_, err = descriptors(used)
	return err
}

func parseSource(text json.RawMessage) (s sourceName, err error) {
	err = pick(text, map[string]any{"name": &s.Name, "version": &s.Version})
	return s, err
}

func (r *run) parseDetails(text json.RawMessage) error {
	var by, about json.RawMessage
	var byproducts, needed []json.RawMessage
	err := pick(text, map[string]any{"builder": &by, "metadata": &about,
		"byproducts": &byproducts})
	if err != nil {
		return err
	}
	if by == nil {
		return errors.New("it lacks runDetails.builder")
	}
	var version map[string]string
	err = pick(by, map[string]any{"id": &r.builder, "version": &version,
		"builderDependencies": &needed})
	if err != nil {
		return err
	}
	if r.builder == "" {
		return errors.New("it lacks runDetails.builder.id")
	}
	if about != nil {
		var id string
		var started, finished time.Time
		err = pick(about, map[string]any{"invocationId": &id, "startedOn": &started,
			"finishedOn": &finished})
		if err != nil {
			return err
		}
	}
	_, err = descriptors(append(byproducts, needed...))
	return err
}
