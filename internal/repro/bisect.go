package repro

import (
	"slices"
	"strings"
)

// trial tells whether a build with these variations differs from the one without.
type trial func(variations []string) (differs bool, err error)

// bisect finds the causes of a difference that all variations together make. Each cause is one
// variation, or several where it takes them together; any one of the causes makes a build differ.
//
// Halving finds one of n variations with some log₂ n builds. It is then built with that alone, and
// with all the others, so that a second cause is found, too.
func bisect(all []string, try trial) (causes [][]string, err error) {
	s := search{try: try, known: map[string]bool{}}
	s.know(all, true)
	s.know(nil, false)
	for rest := all; ; {
		cause, err := s.one(rest)
		if err != nil {
			return causes, err
		}
		causes = append(causes, cause)
		last := cause[0]
		rest = slices.DeleteFunc(slices.Clone(rest), func(v string) bool { return v == last })
		more, err := s.differs(rest)
		if err != nil || !more {
			return causes, err
		}
	}
}

// search is what is known of the sets of variations.
type search struct {
	try   trial
	known map[string]bool // by the names
}

func key(set []string) string {
	return strings.Join(slices.Sorted(slices.Values(set)), ",")
}

func (s *search) know(set []string, differs bool) { s.known[key(set)] = differs }

func (s *search) differs(set []string) (bool, error) {
	if differs, ok := s.known[key(set)]; ok {
		return differs, nil
	}
	differs, err := s.try(set)
	if err == nil {
		s.know(set, differs)
	}
	return differs, err
}

// one finds a cause among variations that together make a build differ: as few of them as still do.
func (s *search) one(among []string) (cause []string, err error) {
	for {
		// With the cause alone there is no difference yet, with all of among there is: the first
		// one in their order with which there is one is part of it.
		same, differs := 0, len(among)
		for differs-same > 1 {
			middle := (same + differs) / 2
			is, err := s.differs(slices.Concat(cause, among[:middle]))
			switch {
			case err != nil:
				return nil, err
			case is:
				differs = middle
			default:
				same = middle
			}
		}
		cause = append(cause, among[differs-1])
		among = among[:differs-1]
		if len(among) == 0 {
			return cause, nil
		}
		enough, err := s.differs(cause)
		if err != nil || enough {
			return cause, err
		}
	}
}
