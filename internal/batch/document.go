package batch

import "time"

// DocumentSchema is the number of the format of Document. Fields may be added under it.
const DocumentSchema = 1

// Document is what programs are told of a batch.
type Document struct {
	Schema  int            `json:"schema"`
	Name    string         `json:"name"`
	Created time.Time      `json:"created"`
	State   string         `json:"state"` // running, stopped, ended, cancelled
	Counts  DocumentCounts `json:"counts"`
	Change  *Change        `json:"change,omitempty"` // of one that nsbuild rdeps has begun
	Sources []SourceStatus `json:"sources"`
}

// DocumentCounts are Counts for programs.
type DocumentCounts struct {
	Total      int `json:"total"`
	Waiting    int `json:"waiting"`
	Running    int `json:"running"`
	Successful int `json:"successful"`
	Skipped    int `json:"skipped"`
	Failed     int `json:"failed"`
	GivenBack  int `json:"given_back"`
}

// SourceStatus is how far a source is.
type SourceStatus struct {
	Source string `json:"source"`
	Phase  Phase  `json:"phase"`
	Tries  int    `json:"tries"`
	Last   *Ended `json:"last,omitempty"`
	// Verdict is what the batch's change does to it.
	Verdict Verdict `json:"verdict,omitempty"`
	// BaselineOf is the source that this one is, built without the change: its index in Sources.
	BaselineOf *int `json:"baseline_of,omitempty"`
}

// Document is what programs are told, of a batch in a state.
func (b *Batch) Document(state string) Document {
	d := Document{Schema: DocumentSchema, Name: b.Name, Created: b.Created, State: state,
		Counts: DocumentCounts(b.Count()), Change: b.Change, Sources: []SourceStatus{}}
	verdicts := make([]Verdict, len(b.Items))
	if b.Change != nil {
		verdicts = b.Verdicts()
	}
	for i, it := range b.Items {
		s := SourceStatus{Source: it.Spec, Phase: it.Phase, Tries: it.Tries, Last: it.Last,
			Verdict: verdicts[i]}
		if it.Baseline > 0 {
			of := it.Baseline - 1
			s.BaselineOf = &of
		}
		d.Sources = append(d.Sources, s)
	}
	return d
}
